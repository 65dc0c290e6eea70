package cli

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel"

	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry/otlp"
)

func runCommand(specs []plugin.Spec) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run [-c] FILE",
		Short: "Serve, and follow edits of the file",
		Example: `  gateway run -c configs/failover.yaml

SIGHUP looks at the file at once; otherwise a change is noticed by itself.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := gateway.Start(cmd.Context(), gateway.Options{Path: file, Specs: specs, Exporters: otlp.Exporters{}, Release: release})
			if err != nil {
				return located(file, err)
			}
			// What libraries print belongs into the log, too.
			slog.SetDefault(g.Log())
			otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { g.Log().Warn("telemetry not exported", "error", err) }))
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			guard.Go(func() {
				for range hup {
					g.Reload()
				}
			})
			if err := g.Run(cmd.Context()); err != nil {
				return err
			}
			return g.Close()
		},
	}
	takesFile(cmd, &file, "the YAML file")
	return cmd
}
