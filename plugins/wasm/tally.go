package wasm

import (
	"slices"
	"sync"
	"time"
)

// measures are what a guest has cost, over its versions.
type measures struct {
	calls, failures, replaced int64
	// swaps counts versions that took the place of another, failedSwaps those that were refused.
	swaps, failedSwaps      int64
	busy                    time.Duration
	instances, droppedLines int
	instanceBytes           uint32
	// leftAlone is with how many clients' partitions and APIs the guest is left alone since it
	// failed; opened and closed count how often that has begun and ended.
	leftAlone      int
	opened, closed int64
}

// tally counts a guest over its versions: what the gateway shows of it only grows while a version
// takes the place of another.
type tally struct {
	mu    sync.Mutex
	past  measures // of the versions that have ended
	live  []*Guest // in the order of their starts
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
func (t *tally) measure(now *Guest) measures {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.past
	for _, g := range t.live {
		add(&m, g)
	}
	m.leftAlone, m.swaps, m.failedSwaps = now.breakers.left(time.Now()), t.swaps, t.failed
	m.instances, m.instanceBytes = now.Instances()
	return m
}

// add counts a version's calls.
func add(m *measures, g *Guest) {
	m.calls += g.Called.Load()
	m.failures += g.Failed.Load()
	m.replaced += g.Replaced.Load()
	m.busy += time.Duration(g.Busy.Load())
	m.droppedLines += g.lines.lost()
	m.opened += g.breakers.Opened.Load()
	m.closed += g.breakers.Closed.Load()
}
