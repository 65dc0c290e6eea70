package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/doctor"
	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/core/plugin"
)

func doctorCommand(specs []plugin.Spec) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "doctor [-c] FILE", Short: "Look for what would keep a gateway from serving or failing over, and say what to fix",
		Long: `Reach every cluster that a file names, and look at versions and features, node ids, advertised addresses, the rights of
this machine, the clock, the addresses that clients are told, and whether copies of topics match. Nothing is changed, and the
gateway need not run. The exit code is 1 if something does not work.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checked, err := gateway.Check(cmd.Context(), file, specs)
			if err != nil {
				return located(file, err)
			}
			snap, err := config.Load(file)
			if err != nil {
				return err
			}
			var chains []doctor.Chain
			for _, c := range checked {
				chains = append(chains, doctor.Chain(c))
			}
			all := []doctor.Finding{}
			count := map[doctor.Level]int{}
			err = doctor.Examine(cmd.Context(), snap, chains, func(f doctor.Finding) {
				all = append(all, f)
				count[f.Level]++
				if wantsJSON(cmd) {
					return
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%-4s  %s, %s: %s\n", f.Level, f.Subject, f.Check, plain(f.Message))
				if f.Fix != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "      fix: %s\n", f.Fix)
				}
			})
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				err = encode(cmd, all)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "%d ok, %d to look at, %d to fix\n", count[doctor.OK], count[doctor.Warn], count[doctor.Fail])
			}
			if err == nil && count[doctor.Fail] > 0 {
				return errFailed
			}
			return err
		},
	}
	takesFile(cmd, &file, "the YAML file")
	return cmd
}
