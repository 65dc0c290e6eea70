package wasm

import (
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// tally counts a guest over its versions: what the gateway shows of it only grows while a version takes the place of
// another.
type tally struct {
	mu    sync.Mutex
	past  plugin.Measures // of the versions that have ended
	live  []*Guest
	swaps int64
	// failed counts versions that were refused.
	failed int64
}

// begin counts a version in.
func (t *tally) begin(g *Guest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.live) > 0 {
		t.swaps++
	}
	t.live = append(t.live, g)
}

// end counts a version out whose last call has returned.
func (t *tally) end(g *Guest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	add(&t.past, g)
	for i, l := range t.live {
		if l == g {
			t.live = append(t.live[:i], t.live[i+1:]...)
			return
		}
	}
}

func (t *tally) refused() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
}

// measure is what the guest has cost; now is its version in force.
func (t *tally) measure(now *Guest) plugin.Measures {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.past
	for _, g := range t.live {
		add(&m, g)
	}
	m.Name, m.LeftAlone, m.Swaps, m.FailedSwaps = now.Name, now.breaker.open(), t.swaps, t.failed
	m.Instances, m.InstanceBytes = now.Instances()
	return m
}

// add counts a version's calls.
func add(m *plugin.Measures, g *Guest) {
	m.Calls += g.Called.Load()
	m.Failures += g.Failed.Load()
	m.Replaced += g.Replaced.Load()
	m.Busy += time.Duration(g.Busy.Load())
	m.DroppedLines += g.lines.lost()
}
