package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/cmd/gateway/workbench"
	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry/otlp"
)

func devCommand(specs []plugin.Spec) *cobra.Command {
	var file, watch string
	cmd := &cobra.Command{
		Use: "dev -c FILE --watch FOLDER", Short: "Serve, build a plugin again on every change of its source, and show what it does to each record",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			first := make(chan error, 1)
			changed := func(file string, took time.Duration, err error) {
				if err != nil {
					fmt.Fprintf(out, "not built, the version before stays:\n%v\n", err)
				} else {
					fmt.Fprintf(out, "built %s in %s\n", file, took.Round(time.Millisecond))
				}
				select {
				case first <- err:
				default:
				}
			}
			guard.Go(func() { workbench.Watch(cmd.Context(), watch, changed) })
			select {
			case err := <-first:
				if err != nil {
					return errFailed
				}
			case <-cmd.Context().Done():
				return nil
			}
			g, err := gateway.Start(cmd.Context(), gateway.Options{Path: file, Specs: workbench.Traced(specs, out), Exporters: otlp.Exporters{}, Release: release})
			if err != nil {
				return located(file, err)
			}
			return errors.Join(g.Run(cmd.Context()), g.Close())
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "sluice.yaml", "the YAML file, which names the plugin's module")
	cmd.Flags().StringVar(&watch, "watch", ".", "the folder of the plugin's project")
	return cmd
}
