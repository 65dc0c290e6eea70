package wasm

import (
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// tally counts a guest over its versions: what the gateway shows of it only grows while a version
// takes the place of another.
type tally struct {
	mu    sync.Mutex
	past  plugin.Measures // of the versions that have ended
	live  []*Guest        // in the order of their starts
	swaps int64
	// failed counts versions that were refused; why is of the last swap.
	failed int64
	why    string
}

// begin counts a version in.
func (t *tally) begin(g *Guest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live, t.why = append(t.live, g), ""
}

// end counts a version out whose last call has returned. It was swapped if a later one stays: one
// that ends before an earlier one was in a configuration that was refused.
func (t *tally) end(g *Guest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	add(&t.past, g)
	at := slices.Index(t.live, g)
	if at < len(t.live)-1 {
		t.swaps++
	}
	t.live = slices.Delete(t.live, at, at+1)
}

func (t *tally) refused(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
	t.why = err.Error()
}

func (t *tally) swapError() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.why
}

// measure is what the guest has cost; now is its version in force.
func (t *tally) measure(now *Guest) plugin.Measures {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.past
	for _, g := range t.live {
		add(&m, g)
	}
	m.Name, m.LeftAlone, m.Swaps, m.FailedSwaps = now.Name, now.breakers.left(time.Now()), t.swaps, t.failed
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
	m.Opened += g.breakers.Opened.Load()
	m.Closed += g.breakers.Closed.Load()
}
