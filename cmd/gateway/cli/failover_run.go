package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
)

func failoverRun() *cobra.Command {
	var f failoverFlags
	cmd := &cobra.Command{
		Use:   "run -c FILE (TOPIC... | --group GROUP | --from CLUSTER) --to CLUSTER",
		Short: "Edit the file and follow the moves until they are done, or nothing changes any more",
		Long: `Edit the file and follow the moves until all are done, or nothing changes any more: what is left is then refused again and
again for the same reasons. It ends with how many topics have moved, wait or were given up, and why; what waits goes on
waiting, and how to give it up is said.

Exit codes: 0 all have moved (or live there already), 1 failed (the message says why), 2 wrong command line,
3 some still wait, 4 some were given up: a newer edit took the place of this one, or failover.retry_for is over.`,
		RunE: func(cmd *cobra.Command, topics []string) error {
			var started admin.Started
			if err := f.post(cmd, "moves", topics, &started); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if wantsJSON(cmd) {
				out = io.Discard // the reports, at the end
			}
			w := newWatch(started)
			fmt.Fprintf(out, "%s: %s to %s\n", started.VirtualCluster, w.count(len(w.started.Topics)), started.To)
			err := f.follow(cmd, out, w)
			if wantsJSON(cmd) {
				err = errors.Join(encode(cmd, w.reports), err)
			}
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.unplanned, "unplanned", false, "the old home is gone for good: don't wait, take stored offsets, report what may be lost")
	cmd.Flags().BoolVar(&f.atomic, "atomic", false, "hold all topics, and commit their moves together or none of them")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to follow")
	cmd.Flags().DurationVar(&f.settle, "settle", 10*time.Second, "for how long nothing may have changed before what is refused is left to wait")
	return cmd
}

// follow prints what becomes of the moves until they have ended, or nothing changes any more.
func (f *failoverFlags) follow(cmd *cobra.Command, out io.Writer, w *watch) error {
	c, err := newClient(f.file)
	if err != nil {
		return err
	}
	done, end := progress(cmd, "moving", len(w.started.Topics))
	defer end()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	late := time.After(f.timeout)
	for {
		if err := w.look(cmd.Context(), c, out); err != nil {
			return err
		}
		done(len(w.started.Topics) - len(w.open))
		if len(w.open) == 0 && !w.awaited() || w.settled(f.settle) {
			return w.end(out, f.file)
		}
		select {
		case <-tick.C:
		case <-late:
			return w.end(out, f.file)
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		}
	}
}

// look asks for the moves, and prints what is new.
func (w *watch) look(ctx context.Context, c *client, out io.Writer) error {
	var moves []failover.Report
	if err := c.get(ctx, sinceQuery(w.started.At), &moves); err != nil {
		return err
	}
	moves = slices.DeleteFunc(moves, func(m failover.Report) bool {
		return m.VirtualCluster != w.started.VirtualCluster || m.To != w.started.To || m.Kind == failover.Topic && !w.topics[m.Topic]
	})
	reports := slices.Clone(moves)
	moves = w.carry(moves)
	var homes map[string]string
	if w.unexplained(moves) {
		all, err := c.topics(ctx, w.started.VirtualCluster)
		if err != nil {
			return err
		}
		homes = map[string]string{}
		for _, t := range all {
			homes[t.Name] = t.Home
		}
		if len(w.started.Groups) > 0 {
			groups, err := c.groups(ctx, w.started.VirtualCluster)
			if err != nil {
				return err
			}
			for _, g := range groups {
				homes[groupName(g.Name)] = g.Home
			}
		}
	}
	w.note(moves, homes, time.Now())
	w.reports = reports
	for _, line := range w.news() {
		fmt.Fprintln(out, line)
	}
	return nil
}

// end says what has become of all.
func (w *watch) end(out io.Writer, file string) error {
	for _, line := range w.summary(file) {
		fmt.Fprintln(out, line)
	}
	switch {
	case len(w.open) > 0:
		return &exitError{exitWaits, fmt.Errorf("not moved yet: %s", w.count(len(w.open)))}
	case len(w.dropped) > 0:
		return &exitError{exitGivenUp, fmt.Errorf("not moved, and given up: %s", w.count(len(w.dropped)))}
	}
	return nil
}

// sinceQuery asks for the moves that began at a time or later.
func sinceQuery(at time.Time) string {
	return "moves?since=" + url.QueryEscape(at.Format(time.RFC3339Nano))
}
