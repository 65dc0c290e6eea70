package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
)

// abortWait is how long dropped moves may take to end.
const abortWait = 30 * time.Second

func failoverAbort() *cobra.Command {
	var file string
	var of admin.Move // which moves
	var all bool
	cmd := &cobra.Command{
		Use:   "abort -c FILE (TOPIC... | --all)",
		Short: "Give up moves that wait: edit the file so that their topics stay where they live",
		Long: `Give up moves that are not committed: the file is edited so that their topics stay where they live.

Exit codes: 0 given up, 1 failed, or a topic has no such move (the message says which), 2 wrong command line.`,
		RunE: func(cmd *cobra.Command, topics []string) error {
			if all == (len(topics) > 0) {
				return &usageError{errors.New("name the topics whose moves are to be given up, or say --all")}
			}
			c, err := newClient(file)
			if err != nil {
				return err
			}
			reports, err := c.abort(cmd.Context(), of, topics)
			if err != nil {
				return err
			}
			return show(cmd, reports, func(w io.Writer) {
				for _, m := range reports {
					fmt.Fprintf(w, "%s: stays on %s\n", m.What(), m.From)
				}
				fmt.Fprintf(w, "given up: %s\n", count(len(reports), "move"))
			})
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().StringVar(&of.VirtualCluster, "virtual-cluster", "", "of this virtual cluster alone")
	cmd.Flags().StringVar(&of.To, "to", "", "to this cluster alone")
	cmd.Flags().BoolVar(&all, "all", false, "all moves that are not committed")
	return cmd
}

// abort gives up the moves of topics, or without any name all of them, and returns their reports.
func (c *client) abort(ctx context.Context, of admin.Move, topics []string) ([]failover.Report, error) {
	var open []failover.Report
	if err := c.get(ctx, "moves?state=open", &open); err != nil {
		return nil, err
	}
	open = slices.DeleteFunc(open, func(m failover.Report) bool {
		return m.Phase.Committed() || of.VirtualCluster != "" && m.VirtualCluster != of.VirtualCluster || of.To != "" && m.To != of.To ||
			len(topics) > 0 && !slices.Contains(topics, m.What().String())
	})
	for _, t := range topics {
		if !slices.ContainsFunc(open, func(m failover.Report) bool { return m.What().String() == t }) {
			return nil, fmt.Errorf("no move of %s waits; nothing was given up", t)
		}
	}
	var ids []string
	back := map[[2]string]*admin.Move{} // one edit for each virtual cluster and home
	for _, m := range open {
		ids = append(ids, m.ID)
		k := [2]string{m.VirtualCluster, m.From}
		if back[k] == nil {
			back[k] = &admin.Move{VirtualCluster: k[0], To: k[1]}
		}
		list := &back[k].Topics
		if m.Kind == failover.Group {
			list = &back[k].Groups
		}
		if !slices.Contains(*list, m.Topic) {
			*list = append(*list, m.Topic)
		}
	}
	for _, m := range back {
		if len(m.Topics) > 0 && len(topics) == 0 {
			m.Groups = nil // they go with the topics
		}
		var started admin.Started
		if err := c.call(ctx, http.MethodPost, admin.Prefix+"moves", *m, &started); err != nil {
			return nil, err
		}
	}
	return c.ended(ctx, ids, open)
}

// ended waits for moves to end.
func (c *client) ended(ctx context.Context, ids []string, reports []failover.Report) ([]failover.Report, error) {
	if len(ids) == 0 {
		return []failover.Report{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, abortWait)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var moves []failover.Report
		since := slices.MinFunc(reports, func(a, b failover.Report) int { return a.Since.Compare(b.Since) }).Since
		if err := c.get(ctx, sinceQuery(since), &moves); err != nil {
			return nil, err
		}
		moves = slices.DeleteFunc(moves, func(m failover.Report) bool { return !slices.Contains(ids, m.ID) })
		if !slices.ContainsFunc(moves, func(m failover.Report) bool { return m.Ended.IsZero() }) {
			for _, m := range moves {
				if m.Phase == failover.Done {
					return moves, fmt.Errorf("the move of %s was committed before it could be given up", m.What())
				}
			}
			return moves, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return moves, errors.New("the moves have not ended yet")
		}
	}
}
