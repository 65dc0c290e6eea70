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
			all := []admin.Topic{}
			for _, v := range s.VirtualClusters {
				var list []admin.Topic
				if wantsJSON(cmd) {
					list, err = c.topicsInFull(cmd.Context(), v.Name, v.Topics)
				} else {
					list, err = c.topics(cmd.Context(), v.Name)
				}
				if err != nil {
					return err
				}
				all = append(all, list...)
			}
			return show(cmd, all, func(w io.Writer) {
				fmt.Fprintln(w, "VIRTUAL CLUSTER\tTOPIC\tHOME\tWANTED\tPARTITIONS\tOFFSETS IN USE\tCOPIES")
				for _, t := range all {
					fmt.Fprintln(w, route(t))
				}
			})
		},
	}
	takesFile(cmd, &file, "the YAML file of the running gateway; its admin API is asked")
	return cmd
}

// topics lists the topics of a virtual cluster by name, without their partitions: with them, the
// list of a gateway that has many is ten times as large.
func (c *client) topics(ctx context.Context, virtualCluster string) (list []admin.Topic, err error) {
	err = c.get(ctx, "topics/"+url.PathEscape(virtualCluster)+"?sort=name&partitions=false", &list)
	return list, err
}

// groups lists the consumer groups of a virtual cluster.
func (c *client) groups(ctx context.Context, virtualCluster string) (list []admin.Group, err error) {
	var all admin.Groups
	err = c.get(ctx, "groups/"+url.PathEscape(virtualCluster), &all)
	return all.Groups, err
}

// pagesAtOnce is how many pages are asked for side by side: for each the gateway asks the clusters,
// which may be far away.
const pagesAtOnce = 8

// topicsInFull lists the topics of a virtual cluster by name, of which there were so many, page by
// page: the gateway does not have all of it in memory at once.
func (c *client) topicsInFull(ctx context.Context, virtualCluster string, were int) (all []admin.Topic, err error) {
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
				return nil, errs[i]
			}
			if all = append(all, page...); len(page) < admin.PageSize {
				return all, nil
			}
		}
		next += n
	}
}

// route is the line of a topic.
func route(t admin.Topic) string {
	var copies []string
	for _, k := range t.Copies {
		copies = append(copies, k.Cluster+": "+stands(k))
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\t%s", t.VirtualCluster, t.Name, t.Home, t.Wanted, t.PartitionCount, known(t.Records), strings.Join(copies, ", "))
}

// stands says how a copy stands.
func stands(c admin.Copy) string {
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
