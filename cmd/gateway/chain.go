package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/plugins"
)

func chainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "chain FILE",
		Short: "Show, per Kafka API, which interceptors stand in its row",
		Args:  exactArgs(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			chains, err := gateway.Check(cmd.Context(), args[0], plugins.Builtin())
			if err != nil {
				return err
			}
			for _, c := range chains {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\n", c.VirtualCluster)
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				for _, api := range kafka.APIs() {
					row := "pass-through"
					switch api.GoesTo {
					case kafka.Refused:
						row = "refused (not offered to clients)"
					case kafka.Gateway:
						row = "answered by the gateway"
					default:
						var names []string
						for _, m := range c.Chain.Members(api.Key) {
							names = append(names, m.Name)
						}
						if len(names) > 0 {
							row = strings.Join(names, " > ")
						}
					}
					fmt.Fprintf(w, "  %d\t%s\t%s\n", api.Key, api.Name, row)
				}
				if err := w.Flush(); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
