package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
)

// failoverFlags are what plan and run are told.
type failoverFlags struct {
	file, virtual, from, to string
	unplanned, atomic       bool
	timeout                 time.Duration
}

func failoverCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "failover", Short: "Plan and run moves of topics from one cluster to another"}
	cmd.AddCommand(failoverPlan(), failoverRun())
	return cmd
}

func (f *failoverFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "config", "c", "sluice.yaml", "the YAML file of the running gateway; its admin API is asked")
	cmd.Flags().StringVar(&f.virtual, "virtual-cluster", "", "the virtual cluster, if there are several")
	cmd.Flags().StringVar(&f.from, "from", "", "move every topic that lives on this cluster")
	cmd.Flags().StringVar(&f.to, "to", "", "the new home")
	_ = cmd.MarkFlagRequired("to")
}

func failoverPlan() *cobra.Command {
	var f failoverFlags
	cmd := &cobra.Command{
		Use:   "plan -c FILE (TOPIC... | --from CLUSTER) --to CLUSTER",
		Short: "Show the moves, the end offsets of both sides, the lag, and what blocks them",
		RunE: func(cmd *cobra.Command, topics []string) error {
			var plans []failover.Plan
			if err := f.post(cmd, "/failover/plan", topics, &plans); err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "TOPIC\tPARTITION\tFROM\tEND\tTO\tEND\tLAG\tBLOCKED BY")
			blocked := false
			for _, p := range plans {
				blocked = blocked || p.Blocked != ""
				for i, x := range p.Partitions {
					why := ""
					if i == 0 {
						why = p.Blocked
					}
					fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Topic, x.Partition, p.From, known(x.FromEnd), p.To, known(x.ToEnd), known(x.Lag), why)
				}
				if len(p.Partitions) == 0 {
					fmt.Fprintf(w, "%s\t\t%s\t\t%s\t\t\t%s\n", p.Topic, p.From, p.To, p.Blocked)
				}
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if blocked {
				return errFailed
			}
			return nil
		},
	}
	f.register(cmd)
	return cmd
}

// known shows a number, or that it is unknown.
func known(n int64) string {
	if n < 0 {
		return "?"
	}
	return strconv.FormatInt(n, 10)
}

func failoverRun() *cobra.Command {
	var f failoverFlags
	cmd := &cobra.Command{
		Use:   "run -c FILE (TOPIC... | --from CLUSTER) --to CLUSTER",
		Short: "Edit the file and follow the moves until they are done",
		RunE: func(cmd *cobra.Command, topics []string) error {
			var started struct {
				VirtualCluster string   `json:"virtual_cluster"`
				Topics         []string `json:"topics"`
				To             string   `json:"to"`
			}
			since := time.Now()
			if err := f.post(cmd, "/failover/run", topics, &started); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d topics to %s\n", started.VirtualCluster, len(started.Topics), started.To)
			return f.follow(cmd, started.VirtualCluster, started.Topics, since)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.unplanned, "unplanned", false, "the old home is gone for good: don't wait, take stored offsets, report what may be lost")
	cmd.Flags().BoolVar(&f.atomic, "atomic", false, "hold all topics, and commit their moves together or none of them")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to follow")
	return cmd
}

// follow prints each phase of each move until all have ended.
func (f *failoverFlags) follow(cmd *cobra.Command, vc string, topics []string, since time.Time) error {
	shown := map[string]string{}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	end := time.After(f.timeout)
	for {
		var moves []failover.Report
		if err := f.call(cmd, http.MethodGet, "/moves", nil, &moves); err != nil {
			return err
		}
		left := len(topics)
		for _, m := range moves {
			if m.VirtualCluster != vc || m.To != f.to && f.to == "" || !slices.Contains(topics, m.Topic) || m.Since.Before(since.Add(-time.Second)) {
				continue
			}
			line := fmt.Sprintf("%s: %s", m.Topic, m.Phase)
			if m.Error != "" && m.Phase == failover.Pending {
				line += " (" + m.Error + ")"
			}
			if shown[m.ID] != line {
				shown[m.ID] = line
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			if m.Phase == failover.Done {
				left--
				for _, l := range m.PossibleLoss {
					if shown[m.ID+fmt.Sprint(l)] == "" {
						shown[m.ID+fmt.Sprint(l)] = "x"
						fmt.Fprintf(cmd.OutOrStdout(), "  possible loss: %s partition %d offsets %d to %d\n", l.Topic, l.Partition, l.From, l.To)
					}
				}
			}
		}
		if left <= 0 {
			fmt.Fprintln(cmd.OutOrStdout(), "done")
			return nil
		}
		select {
		case <-tick.C:
		case <-end:
			return fmt.Errorf("%d topics have not moved yet; the moves stay pending, see GET /moves", left)
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		}
	}
}

func (f *failoverFlags) post(cmd *cobra.Command, path string, topics []string, out any) error {
	if (f.from == "") == (len(topics) == 0) {
		return &usageError{errors.New("name either topics or --from")}
	}
	return f.call(cmd, http.MethodPost, path, map[string]any{
		"virtual_cluster": f.virtual, "topics": topics, "from": f.from, "to": f.to, "unplanned": f.unplanned, "atomic": f.atomic,
	}, out)
}

// call asks the admin API of the running gateway.
func (f *failoverFlags) call(cmd *cobra.Command, method, path string, body, out any) error {
	snap, err := config.Load(f.file)
	if err != nil {
		return err
	}
	if snap.Admin.Listen == "" {
		return fmt.Errorf("%s has no `admin: listen:`, by which the running gateway could be asked", f.file)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(cmd.Context(), method, "http://"+snap.Admin.Listen+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	if len(snap.Admin.Users) > 0 {
		req.SetBasicAuth(snap.Admin.Users[0].Name, snap.Admin.Users[0].Password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("is the gateway running? %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		msg, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(msg))
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
