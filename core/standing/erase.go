package standing

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
)

// eraseCopy deletes on a copy what clients have deleted, at the distances that were just verified:
// replicators don't copy DeleteRecords. Where it is refused, as by mirrors and compacted topics,
// the records stay hidden.
func (w *Watch) eraseCopy(ctx context.Context, t *catalog.Topic, copied *copies.Side, found []copies.Found) {
	before := make([]int64, len(copied.Topic.Partitions))
	for p := range before {
		if part := t.Partition(int32(p)); part.Erased > 0 && p < len(found) && found[p].Err == nil {
			before[p] = found[p].Place(part.Erased)
		}
	}
	w.erase(ctx, t, copied, before)
}

// eraseHome deletes on a home what it did not delete while it was a copy. starts are where it
// begins, as far as is known.
func (w *Watch) eraseHome(e Env, t *catalog.Topic, starts []int64) {
	home := e.cluster(t.Home)
	if t.Generation == 0 || home == nil || !home.Reachable() {
		return
	}
	s, err := copies.NewSide(home, t.Physical(t.Home))
	if err != nil {
		return // it has no leader now
	}
	before := make([]int64, len(s.Topic.Partitions))
	for p := range before {
		if part := t.Partition(int32(p)); part.Erased > 0 {
			before[p] = part.ToPhysical(part.Erased)
		}
		if p < len(starts) && starts[p] >= before[p] {
			before[p] = 0
		}
	}
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	w.erase(ctx, t, s, before)
}

// erase deletes the records before physical offsets; 0: none.
func (w *Watch) erase(ctx context.Context, t *catalog.Topic, s *copies.Side, before []int64) {
	some := false
	for _, at := range before {
		some = some || at > 0
	}
	if !some {
		return
	}
	if err := s.DeleteRecords(ctx, before); err != nil && ctx.Err() == nil {
		w.log.Warn("deleted records are hidden, but stay on a cluster", "topic", t.Name, "cluster", s.Cluster.Name(), "error", err)
	}
}
