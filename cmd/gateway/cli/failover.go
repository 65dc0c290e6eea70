package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/admin"
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
	group(cmd)
	cmd.AddCommand(failoverPlan(), failoverRun(), failoverAcknowledge())
	return cmd
}

func (f *failoverFlags) register(cmd *cobra.Command) {
	fileFlag(cmd, &f.file)
	cmd.Flags().StringVar(&f.virtual, "virtual-cluster", "", "the virtual cluster, if there are several")
	cmd.Flags().StringVar(&f.from, "from", "", "move every topic that lives on this cluster")
	cmd.Flags().StringVar(&f.to, "to", "", "the new home")
}

func failoverPlan() *cobra.Command {
	var f failoverFlags
	cmd := &cobra.Command{
		Use:   "plan -c FILE (TOPIC... | --from CLUSTER) --to CLUSTER",
		Short: "Show the moves, the end offsets of both sides, the lag, and what blocks them",
		RunE: func(cmd *cobra.Command, topics []string) error {
			var plans []failover.Plan
			if err := f.post(cmd, "moves/plan", topics, &plans); err != nil {
				return err
			}
			blocked := slices.ContainsFunc(plans, func(p failover.Plan) bool { return p.Blocked != "" })
			if err := show(cmd, plans, func(w io.Writer) {
				if len(plans) == 0 {
					fmt.Fprintf(w, "no topic that is known lives on %s\n", f.from)
					return
				}
				writePlans(w, plans)
			}); err != nil {
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

func writePlans(w io.Writer, plans []failover.Plan) {
	fmt.Fprintln(w, "TOPIC\tPARTITION\tFROM\tEND\tTO\tEND\tLAG\tBLOCKED BY")
	for _, p := range plans {
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
			var started admin.Started
			since := time.Now()
			if err := f.post(cmd, "moves", topics, &started); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if wantsJSON(cmd) {
				out = io.Discard // the reports, at the end
			}
			fmt.Fprintf(out, "%s: %s to %s\n", started.VirtualCluster, count(len(started.Topics), "topic"), started.To)
			reports, err := f.follow(cmd, out, started, since)
			if wantsJSON(cmd) {
				err = errors.Join(encode(cmd, reports), err)
			}
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.unplanned, "unplanned", false, "the old home is gone for good: don't wait, take stored offsets, report what may be lost")
	cmd.Flags().BoolVar(&f.atomic, "atomic", false, "hold all topics, and commit their moves together or none of them")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to follow")
	return cmd
}

// follow prints each phase of each move until all have ended, and returns what is known of them then.
func (f *failoverFlags) follow(cmd *cobra.Command, out io.Writer, started admin.Started, since time.Time) (reports []failover.Report, err error) {
	c, err := newClient(f.file)
	if err != nil {
		return nil, err
	}
	shown := map[string]string{}
	done, end := progress(cmd, "moving", len(started.Topics))
	defer end()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	late := time.After(f.timeout)
	for {
		var moves []failover.Report
		if err := c.get(cmd.Context(), "moves", &moves); err != nil {
			return reports, err
		}
		reports = []failover.Report{}
		last := map[string]failover.Report{}
		for _, m := range moves {
			if m.VirtualCluster != started.VirtualCluster || m.To != started.To || !slices.Contains(started.Topics, m.Topic) || m.Since.Before(since.Add(-time.Second)) {
				continue
			}
			reports, last[m.Topic] = append(reports, m), m
			line := fmt.Sprintf("%s: %s", m.Topic, m.Phase)
			if m.Error != "" && m.Phase == failover.Pending {
				line += " (" + m.Error + ")"
			}
			if shown[m.ID] != line {
				shown[m.ID] = line
				fmt.Fprintln(out, line)
				if m.Phase == failover.Done {
					for _, l := range m.PossibleLoss {
						fmt.Fprintf(out, "  possible loss: %s partition %d offsets %d to %d\n", l.Topic, l.Partition, l.From, l.To)
					}
				}
			}
		}
		why, err := stay(cmd.Context(), c, started, last)
		if err != nil {
			return reports, err
		}
		var gone []string
		left := len(started.Topics)
		for _, t := range started.Topics {
			m := last[t]
			switch {
			case m.Phase == failover.Done:
				left--
			case m.Ended.After(since):
				gone = append(gone, t)
			case why[t] != "":
				left--
				if shown[t] != why[t] {
					shown[t] = why[t]
					fmt.Fprintf(out, "%s: %s\n", t, why[t])
				}
			}
		}
		done(len(started.Topics) - left)
		if left <= 0 {
			fmt.Fprintln(out, summary(last))
			return reports, nil
		}
		if len(gone) == left {
			return reports, fmt.Errorf("not moved, a newer edit took the place of this one: %s", strings.Join(gone, ", "))
		}
		select {
		case <-tick.C:
		case <-late:
			return reports, fmt.Errorf("not moved yet: %s; what is pending stays so, see GET /moves", count(left, "topic"))
		case <-cmd.Context().Done():
			return reports, cmd.Context().Err()
		}
	}
}

func failoverAcknowledge() *cobra.Command {
	var file string
	var a admin.Acknowledge
	cmd := &cobra.Command{
		Use:   "acknowledge -c FILE (MOVE... | --all)",
		Short: "Note that what unplanned moves may have lost is dealt with, which ends its alert",
		RunE: func(cmd *cobra.Command, moves []string) error {
			if a.All == (len(moves) > 0) {
				return &usageError{errors.New("name the moves by their ids, see GET /moves, or say --all")}
			}
			c, err := newClient(file)
			if err != nil {
				return err
			}
			a.Moves = moves
			var done []failover.Report
			if err := c.call(cmd.Context(), http.MethodPost, admin.Prefix+"moves/acknowledge", a, &done); err != nil {
				return err
			}
			return show(cmd, done, func(w io.Writer) {
				var lost int64
				for _, m := range done {
					lost += m.Lost()
				}
				fmt.Fprintf(w, "acknowledged: up to %s of %s\n", count(int(lost), "lost record"), count(len(done), "move"))
			})
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&a.All, "all", false, "all losses that nobody has acknowledged")
	return cmd
}

// summary says what moves have cost.
func summary(moves map[string]failover.Report) string {
	var moved int
	var held, compared, lost int64
	for _, m := range moves {
		if m.Phase != failover.Done {
			continue
		}
		moved++
		held, compared = max(held, m.PauseMS), compared+m.Compared
		lost += m.Lost()
	}
	loss := "nothing lost"
	if lost > 0 {
		loss = fmt.Sprintf("up to %s may be lost, see above", count(int(lost), "record"))
	}
	return fmt.Sprintf("done: %s moved, held for %d ms at most, %s compared, %s", count(moved, "topic"), held, count(int(compared), "record"), loss)
}

// stay says why topics don't move that have no move, where they have no reason to.
func stay(ctx context.Context, c *client, started admin.Started, moves map[string]failover.Report) (why map[string]string, err error) {
	if len(moves) == len(started.Topics) {
		return nil, nil
	}
	var all []admin.Topic
	if err := c.get(ctx, "topics/"+url.PathEscape(started.VirtualCluster), &all); err != nil {
		return nil, err
	}
	homes := map[string]string{}
	for _, t := range all {
		homes[t.Name] = t.Home
	}
	why = map[string]string{}
	for _, t := range started.Topics {
		if _, moves := moves[t]; moves {
			continue
		}
		switch home, known := homes[t]; {
		case !known:
			why[t] = "no such topic is known: the file is edited, and nothing moves"
		case home == started.To:
			why[t] = "it lives there already"
		}
	}
	return why, nil
}

// count is a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (f *failoverFlags) post(cmd *cobra.Command, path string, topics []string, out any) error {
	if (f.from == "") == (len(topics) == 0) {
		return &usageError{errors.New("name either the topics that are to move, or with --from CLUSTER the one whose topics are")}
	}
	if f.to == "" {
		return &usageError{errors.New("name the new home with --to CLUSTER")}
	}
	c, err := newClient(f.file)
	if err != nil {
		return err
	}
	return c.call(cmd.Context(), http.MethodPost, admin.Prefix+path, admin.Move{
		VirtualCluster: f.virtual, Topics: topics, From: f.from, To: f.to, Unplanned: f.unplanned, Atomic: f.atomic,
	}, out)
}
