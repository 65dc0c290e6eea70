package standing

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// deltaEvery is how often a round begins.
const deltaEvery = 10 * time.Second

// Round is how the rounds over the copies of a virtual cluster go.
type Round struct {
	// Period is how long after the one before the last round has ended, or, once that is longer,
	// for how long none has ended.
	Period time.Duration
	// Waiting is how many copies the round that is on its way has still to compare.
	Waiting int
}

// copyRounds are those over the copies of each virtual cluster.
type copyRounds struct {
	mu sync.Mutex
	of map[string]*rounding
}

type rounding struct {
	busy    bool
	ended   time.Time // of the last round; before it, when the first one has begun
	period  time.Duration
	waiting int
}

// Round is how the rounds of a virtual cluster go; ok is false before the first one.
func (w *Watch) Round(virtualCluster string) (now Round, ok bool) {
	w.rounds.mu.Lock()
	defer w.rounds.mu.Unlock()
	x := w.rounds.of[virtualCluster]
	if x == nil {
		return Round{}, false
	}
	return Round{max(x.period, time.Since(x.ended)), x.waiting}, true
}

// begin reports that no round is on its way, and begins one.
func (s *copyRounds) begin(vc string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]*rounding{}
	}
	x := s.of[vc]
	if x == nil {
		x = &rounding{ended: time.Now()}
		s.of[vc] = x
	}
	if x.busy {
		return false
	}
	x.busy = true
	return true
}

func (s *copyRounds) end(vc string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.of[vc]; x != nil {
		now := time.Now()
		x.busy, x.period, x.ended, x.waiting = false, now.Sub(x.ended), now, 0
	}
}

// wait adds copies that have still to be compared.
func (s *copyRounds) wait(vc string, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.of[vc]; x != nil {
		x.waiting += more
	}
}

// forget leaves out the virtual clusters that are gone.
func (s *copyRounds) forget(envs map[string]Env) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.of, func(vc string, _ *rounding) bool { _, ok := envs[vc]; return !ok })
}

// watchCopies stores from time to time what an unplanned move can go by: verified while both homes
// live, how far the copies of each topic are from it. No virtual cluster waits for the clusters of
// another one.
func (w *Watch) watchCopies() {
	tick := time.NewTicker(deltaEvery)
	defer tick.Stop()
	first := time.NewTimer(2 * time.Second)
	defer first.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		case <-first.C:
		}
		envs := w.environments()
		gone := func(vc, topic string) bool {
			e, ok := envs[vc]
			return !ok || e.Catalog.Topic(topic) == nil
		}
		w.compared.forget(gone)
		w.lagging.forget(gone)
		w.fronts.forget(gone)
		w.ready.forget(envs)
		w.readings.forget(envs)
		w.rounds.forget(envs)
		for _, vc := range slices.Sorted(maps.Keys(envs)) {
			w.wg.Go(func() { w.makeRounds(vc) })
		}
	}
}

// makeRounds makes a round over the copies of a virtual cluster, unless one is on its way, and the
// next one at once if that has taken longer than to when it was due.
func (w *Watch) makeRounds(vc string) {
	for began := time.Now(); ; began = time.Now() {
		e, ok := w.environments()[vc]
		if !ok || w.ctx.Err() != nil || !w.rounds.begin(vc) {
			return
		}
		func() {
			defer w.rounds.end(vc)
			w.compareCopies(e)
		}()
		if time.Since(began) <= deltaEvery {
			return
		}
	}
}
