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
	var file string
	cmd := &cobra.Command{
		Use:   "validate [-c] FILE",
		Short: "Check a file and print everything that is wrong with it",
		Long: `Check a file without serving it. Everything wrong is printed as file:line:col: message; the exit
code is then 1. What is probably not meant is printed too, as a warning. Clusters are not asked.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checked, err := gateway.Inspect(cmd.Context(), file, specs)
			var errs config.Errors
			if err != nil && !errors.As(err, &errs) {
				return located(file, err)
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
			fmt.Fprintln(cmd.OutOrStdout(), file+": ok")
			return nil
		},
	}
	takesFile(cmd, &file, "the YAML file")
	return cmd
}
