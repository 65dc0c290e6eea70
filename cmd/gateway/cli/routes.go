package cli

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/admin"
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
				var topics []admin.Topic
				if err := c.get(cmd.Context(), "topics/"+url.PathEscape(v.Name), &topics); err != nil {
					return err
				}
				all = append(all, topics...)
			}
			return show(cmd, all, func(w io.Writer) {
				fmt.Fprintln(w, "VIRTUAL CLUSTER\tTOPIC\tHOME\tWANTED\tPARTITIONS\tOFFSETS IN USE\tCOPIES")
				for _, t := range all {
					var copies []string
					for _, k := range t.Copies {
						copies = append(copies, k.Cluster+": "+standing(k))
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", t.VirtualCluster, t.Name, t.Home, t.Wanted, len(t.Partitions), known(t.Records()), strings.Join(copies, ", "))
				}
			})
		},
	}
	takesFile(cmd, &file, "the YAML file of the running gateway; its admin API is asked")
	return cmd
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
