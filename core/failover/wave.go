package failover

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
)

// straggle is how long the moves that have passed their pre-check wait at least for the next one to
// do so. Where pre-checks take longer, they wait for twice as long as the longest of theirs took:
// whatever takes much longer has much to compare.
const straggle = time.Second

// waves let moves that begin together hold their clients together: answers leave a connection in
// order, so that a client that uses many topics would wait behind each in turn. Each move still
// commits, or is refused, alone.
type waves struct {
	mu sync.Mutex
	of map[string]*wave // by virtual cluster: the one that gathers
}

// wave are moves that will hold at the same time.
type wave struct {
	coming  map[*move]struct{} // still in their first pre-check
	waiting int
	longest time.Duration // that a pre-check took
	leaves  chan struct{} // closed when they hold
	late    *time.Timer
}

func (w *waves) gathering(vc string) *wave {
	if w.of == nil {
		w.of = map[string]*wave{}
	}
	if w.of[vc] == nil {
		w.of[vc] = &wave{coming: map[*move]struct{}{}, leaves: make(chan struct{})}
	}
	return w.of[vc]
}

// expect says that a move begins its first pre-check.
func (w *waves) expect(vc string, m *move) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gathering(vc).coming[m] = struct{}{}
}

// miss says that a move does not come: it was refused, or has ended.
func (w *waves) miss(vc string, m *move) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g := w.of[vc]; g != nil {
		delete(g.coming, m)
		w.leave(vc, g, false)
	}
}

// arrive waits until the moves that began with m have passed their pre-checks, as m has after so
// long, or take too long.
func (w *waves) arrive(ctx context.Context, vc string, m *move, took time.Duration) error {
	w.mu.Lock()
	g := w.gathering(vc)
	delete(g.coming, m)
	g.waiting++
	g.longest = max(g.longest, took)
	if g.late != nil {
		g.late.Stop()
	}
	g.late = guard.After(max(straggle, 2*g.longest), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.leave(vc, g, true)
	})
	w.leave(vc, g, false)
	w.mu.Unlock()
	select {
	case <-g.leaves:
		return nil
	case <-ctx.Done():
		w.mu.Lock()
		g.waiting--
		w.mu.Unlock()
		return ctx.Err()
	}
}

// leave lets a wave hold if all have come, or now; those that are still to come make up the next
// one. w.mu is held.
func (w *waves) leave(vc string, g *wave, now bool) {
	if w.of[vc] != g || !now && len(g.coming) > 0 {
		return
	}
	if g.waiting == 0 {
		if len(g.coming) == 0 {
			delete(w.of, vc)
		}
		return
	}
	delete(w.of, vc)
	if len(g.coming) > 0 {
		w.gathering(vc).coming = g.coming
	}
	g.late.Stop()
	close(g.leaves)
}
