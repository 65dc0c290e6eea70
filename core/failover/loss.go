package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Acknowledged says who has taken note of what a move may have lost, and when.
type Acknowledged struct {
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
}

// Losses counts the moves with a possible loss that nobody has acknowledged, and their records.
func (r *Runner) Losses() (moves int, records int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.past {
		if m := &r.past[i]; m.Stands() {
			moves++
			records += m.Lost()
		}
	}
	return moves, records
}

// ErrNoLoss says that there is nothing to acknowledge.
var ErrNoLoss = errors.New("there is no possible loss that is not acknowledged")

// Acknowledge notes that what moves may have lost is dealt with, and returns their reports. It
// takes all of them, or on an error none.
func (r *Runner) Acknowledge(ctx context.Context, by string, ids ...string) ([]Report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var at []int
	for _, id := range ids {
		i := slices.IndexFunc(r.past, func(m Report) bool { return m.ID == id })
		if i < 0 || !r.past[i].Stands() {
			return nil, fmt.Errorf("move %s: %w", id, ErrNoLoss)
		}
		at = append(at, i)
	}
	var out []Report
	for _, i := range at {
		rep := r.past[i]
		rep.Acknowledged = &Acknowledged{By: by, At: time.Now()}
		if err := r.keep(ctx, rep); err != nil {
			return out, err
		}
		r.past[i] = rep
		out = append(out, rep)
	}
	return out, nil
}
