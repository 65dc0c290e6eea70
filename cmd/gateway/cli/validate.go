package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/core/plugin"
)

func validateCommand(specs []plugin.Spec) *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a file and print everything that is wrong with it",
		Long: `Check a file without serving it. Everything wrong is printed as file:line:col: message; the exit
code is then 1. Clusters are not asked.`,
		Args: exactArgs(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := gateway.Check(cmd.Context(), args[0], specs)
			var errs config.Errors
			if positioned := errors.As(err, &errs); wantsJSON(cmd) && (positioned || err == nil) {
				if errs == nil {
					errs = config.Errors{}
				}
				if err := encode(cmd, errs); err != nil || len(errs) == 0 {
					return err
				}
				return errFailed
			}
			if len(errs) > 0 {
				for _, e := range errs {
					fmt.Fprintln(os.Stderr, e)
				}
				return errFailed
			}
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), args[0]+": ok")
			}
			return err
		},
	}
}
