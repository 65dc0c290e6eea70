package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

func chainCommand(specs []plugin.Spec) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "chain [-c] FILE",
		Short: "Show, per Kafka API, which interceptors stand in its row",
		RunE: func(cmd *cobra.Command, _ []string) error {
			chains, err := gateway.Check(cmd.Context(), file, specs)
			if err != nil {
				return located(file, err)
			}
			type row struct {
				VirtualCluster string   `json:"virtual_cluster"`
				Key            int16    `json:"key"`
				API            string   `json:"api"`
				Row            string   `json:"row"`
				Interceptors   []string `json:"interceptors"`
			}
			var rows []row
			for _, c := range chains {
				for _, api := range kafka.APIs() {
					r := row{c.VirtualCluster, int16(api.Key), api.Name, "pass-through", []string{}}
					switch api.GoesTo {
					case kafka.Refused:
						r.Row = "refused (not offered to clients)"
					case kafka.Gateway:
						r.Row = "answered by the gateway"
					default:
						for _, m := range c.Chain.Members(api.Key) {
							r.Interceptors = append(r.Interceptors, m.Name)
						}
						if len(r.Interceptors) > 0 {
							r.Row = strings.Join(r.Interceptors, " > ")
						}
					}
					rows = append(rows, r)
				}
			}
			return show(cmd, rows, func(w io.Writer) {
				for i, r := range rows {
					if i == 0 || rows[i-1].VirtualCluster != r.VirtualCluster {
						fmt.Fprintf(w, "%s\n", r.VirtualCluster)
					}
					fmt.Fprintf(w, "  %d\t%s\t%s\n", r.Key, r.API, r.Row)
				}
			})
		},
	}
	takesFile(cmd, &file, "the YAML file")
	return cmd
}
