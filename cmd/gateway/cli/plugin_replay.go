package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/cmd/gateway/workbench"
)

func pluginReplay() *cobra.Command {
	var settings string
	cmd := &cobra.Command{
		Use: "replay CAPTURE.yaml BEFORE.wasm AFTER.wasm", Short: "Show a capture to two versions of a plugin, and what the second does differently",
		Args: exactArgs(3, "a capture and two modules"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cases, err := workbench.LoadCases(args[0])
			if err != nil {
				return err
			}
			if settings != "" {
				if err := json.Unmarshal([]byte(settings), &cases.Config); err != nil {
					return &usageError{fmt.Errorf("--config: %w", err)}
				}
			}
			differences, err := workbench.Replay(cmd.Context(), args[1], args[2], cases, guestLog(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			err = show(cmd, differences, func(w io.Writer) {
				for _, d := range differences {
					fmt.Fprintf(w, "case %d, %s: %s\n", d.Case, d.Name, d.Diff)
				}
				fmt.Fprintf(w, "%d cases, %d different\n", len(cases.Cases), len(differences))
			})
			if err != nil {
				return err
			}
			if len(differences) > 0 {
				return errFailed
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&settings, "config", "", "the plugin's configuration, JSON; default: that of the capture")
	return cmd
}
