package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/guard"
)

func routesCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "routes [-c] FILE", Short: "Show where each topic lives, where the file wants it, and how its copies stand",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient(file)
			if err != nil {
				return err
			}
			var s admin.Status
			if err := c.get(cmd.Context(), "status", &s); err != nil {
				return err
			}
			all, header := []admin.Topic{}, "VIRTUAL CLUSTER\tTOPIC\tHOME\tWANTED\tPARTITIONS\tOFFSETS IN USE\tCOPIES\n"
			for _, v := range s.VirtualClusters {
				err := c.topics(cmd.Context(), v.Name, v.Topics, func(page []admin.Topic) error {
					if wantsJSON(cmd) {
						all = append(all, page...)
						return nil
					}
					return show(cmd, page, func(w io.Writer) {
						_, _ = fmt.Fprint(w, header)
						header = ""
						for _, t := range page {
							fmt.Fprintln(w, route(t))
						}
					})
				})
				if err != nil {
					return err
				}
			}
			if !wantsJSON(cmd) {
				return nil
			}
			return encode(cmd, all)
		},
	}
	takesFile(cmd, &file, "the YAML file of the running gateway; its admin API is asked")
	return cmd
}

// pagesAtOnce is how many pages are asked for side by side: for each the gateway asks the clusters,
// which may be far away.
const pagesAtOnce = 8

// topics visits the topics of a virtual cluster, of which there were so many, page by page: a
// gateway may have many.
func (c *client) topics(ctx context.Context, virtualCluster string, were int, visit func(page []admin.Topic) error) error {
	for next := 1; ; {
		n := max(min(were/admin.PageSize+2-next, pagesAtOnce), 1)
		pages, errs := make([][]admin.Topic, n), make([]error, n)
		var wg guard.Group
		for i := range n {
			wg.Go(func() {
				errs[i] = c.get(ctx, fmt.Sprintf("topics/%s?sort=name&page=%d", url.PathEscape(virtualCluster), next+i), &pages[i])
			})
		}
		wg.Wait()
		for i, page := range pages {
			if errs[i] != nil {
				return errs[i]
			}
			if err := visit(page); err != nil || len(page) < admin.PageSize {
				return err
			}
		}
		next += n
	}
}

// route is the line of a topic.
func route(t admin.Topic) string {
	var copies []string
	for _, k := range t.Copies {
		copies = append(copies, k.Cluster+": "+standing(k))
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\t%s", t.VirtualCluster, t.Name, t.Home, t.Wanted, len(t.Partitions), known(t.Records()), strings.Join(copies, ", "))
}

// standing says how a copy stands.
func standing(c admin.Copy) string {
	switch {
	case c.Problem != "":
		return c.Problem
	case c.Lag < 0:
		return "unknown"
	case c.Lag > 0:
		return fmt.Sprintf("%d behind", c.Lag)
	}
	return "complete"
}
