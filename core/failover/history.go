package failover

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/joint"
)

func (r *Runner) keep(ctx context.Context, rep Report) error {
	return r.catalog.SetValue(ctx, catalog.KindMove, rep.ID, rep)
}

func (r *Runner) store(rep Report) {
	_, err := r.reports.Do(context.WithoutCancel(r.ctx), struct{}{}, rep, func(round []*joint.Ask[Report, struct{}]) {
		all := map[catalog.Key]any{}
		for _, a := range round {
			all[catalog.Key{Kind: catalog.KindMove, Key: a.Question.ID}] = a.Question
			r.fulfilled(a.Question, all)
		}
		err := r.catalog.SetAll(context.WithoutCancel(r.ctx), all)
		for _, a := range round {
			a.Err = err
		}
	})
	if err != nil {
		r.log.Warn("move not stored", "id", rep.ID, "error", err)
	}
}

// Wait waits for the current move of something to end and returns its report; ok is false if there
// is none.
func (r *Runner) Wait(ctx context.Context, vc string, what Movable) (Report, bool, error) {
	m := r.find(vc, what)
	if m == nil {
		return Report{}, false, nil
	}
	select {
	case <-m.done:
		return m.Report(), true, nil
	case <-ctx.Done():
		return m.Report(), true, ctx.Err()
	}
}

// byID compares moves by when they began.
func byID(a, b Report) int { return strings.Compare(a.ID, b.ID) }

// Moves lists running, pending and past moves, oldest first. Of those that have ended the last
// 10,000 are kept, and every one with a loss that nobody has acknowledged.
func (r *Runner) Moves() []Report {
	r.mu.Lock()
	out, now := slices.Clone(r.past), slices.Collect(maps.Keys(r.open))
	r.mu.Unlock()
	for _, m := range now {
		out = append(out, m.Report())
	}
	slices.SortFunc(out, byID)
	return out
}

// Move is one of Moves.
func (r *Runner) Move(id string) (Report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.open {
		if m.report.ID == id {
			return m.Report(), true
		}
	}
	if at, ok := slices.BinarySearchFunc(r.past, Report{ID: id}, byID); ok {
		return r.past[at], true
	}
	return Report{}, false
}

// Pending lists the moves that have not ended, oldest first.
func (r *Runner) Pending() []Report {
	r.mu.Lock()
	now := slices.Collect(maps.Keys(r.open))
	r.mu.Unlock()
	out := make([]Report, 0, len(now))
	for _, m := range now {
		if rep := m.Report(); rep.Ended.IsZero() {
			out = append(out, rep)
		}
	}
	slices.SortFunc(out, byID)
	return out
}

// old takes out of the past what need not be kept: the oldest moves, but for losses that nobody has
// acknowledged.
func (r *Runner) old() (forget []Report) {
	n := len(r.past) - keepMoves
	r.past = slices.DeleteFunc(slices.Clone(r.past), func(m Report) bool {
		if n <= 0 || m.Stands() {
			return false
		}
		n--
		forget = append(forget, m)
		return true
	})
	return forget
}
