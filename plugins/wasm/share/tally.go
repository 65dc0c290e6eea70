package share

import (
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/plugins/wasm/host"
)

// Measures are what a guest has cost, over its versions.
type Measures struct {
	host.Costs
	// Swaps counts versions that took the place of another, FailedSwaps those that were refused.
	Swaps, FailedSwaps int64
	Instances          int
	InstanceBytes      uint32
	// LeftAlone is with how many clients' partitions and APIs the guest is left alone since it
	// failed.
	LeftAlone int
}

// tally counts a guest over its versions: what the gateway shows of it only grows while a version
// takes the place of another.
type tally struct {
	mu    sync.Mutex
	past  host.Costs    // of the versions that have ended
	live  []*host.Guest // in the order of their starts
	swaps int64
	// failed counts versions that were refused; why is of the last swap.
	failed int64
	why    string
}

// begin counts a version in.
func (t *tally) begin(g *host.Guest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live, t.why = append(t.live, g), ""
}

// end counts a version out whose last call has returned. It was swapped if a later one stays: one
// that ends before an earlier one was in a configuration that was refused.
func (t *tally) end(g *host.Guest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.past.Add(g.Costs())
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
func (t *tally) measure(now *host.Guest) Measures {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := Measures{Costs: t.past, Swaps: t.swaps, FailedSwaps: t.failed}
	for _, g := range t.live {
		m.Add(g.Costs())
	}
	m.LeftAlone = now.LeftAlone()
	m.Instances, m.InstanceBytes = now.Instances()
	return m
}
