package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/plugins/wasm/workbench"
)

func captureCommand() *cobra.Command {
	var file, cluster, topic, out string
	var records int
	var fetch bool
	cmd := &cobra.Command{
		Use: "capture -c FILE --topic TOPIC -o CAPTURE.yaml", Short: "Copy the newest records of a topic on a cluster into a file, for gateway plugin replay",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			snap, err := config.Load(file)
			if err != nil {
				return err
			}
			from := snap.Clusters[0].Name
			if cluster != "" {
				from = cluster
			}
			c, ok := snap.Cluster(from)
			if !ok {
				return &usageError{fmt.Errorf("%s has no cluster %q", file, from)}
			}
			kind := "produce"
			if fetch {
				kind = "fetch"
			}
			done, end := progress(cmd, "records", records)
			cases, err := workbench.Capture(cmd.Context(), c.Bootstrap, topic, kind, records, done)
			end()
			if err != nil {
				return err
			}
			n := 0
			for _, k := range cases.Cases {
				n += len(k.Records)
			}
			if err := cases.Save(out); err != nil {
				return err
			}
			return show(cmd, map[string]any{"records": n, "topic": topic, "cluster": c.Name, "file": out}, func(w io.Writer) {
				fmt.Fprintf(w, "%d records of %s on %s\n", n, topic, c.Name)
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "config", "c", "sluice.yaml", "the YAML file that names the cluster")
	f.StringVar(&cluster, "cluster", "", "the cluster; default: the first")
	f.StringVar(&topic, "topic", "", "the topic's name there")
	f.IntVar(&records, "records", 1000, "how many records, per partition the newest ones")
	f.BoolVar(&fetch, "fetch", false, "show them to plugins as a consumer gets them, not as a producer sends them")
	f.StringVarP(&out, "out", "o", "capture.yaml", "the file")
	_ = cmd.MarkFlagRequired("topic")
	return cmd
}

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
