package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"

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
code is then 1. What is probably not meant is printed too, as a warning. Clusters are not asked.`,
		Args: exactArgs(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			checked, err := gateway.Inspect(cmd.Context(), args[0], specs)
			var errs config.Errors
			if err != nil && !errors.As(err, &errs) {
				return err
			}
			all := append(slices.Clone(errs), checked.Warnings...)
			all.Sort()
			if wantsJSON(cmd) {
				if all == nil {
					all = config.Errors{}
				}
				if err := encode(cmd, all); err != nil || len(errs) == 0 {
					return err
				}
				return errFailed
			}
			for _, e := range all {
				fmt.Fprintln(os.Stderr, e)
			}
			if len(errs) > 0 {
				return errFailed
			}
			fmt.Fprintln(cmd.OutOrStdout(), args[0]+": ok")
			return nil
		},
	}
}
