package share

import (
	"errors"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestATallyOnlyGrows while one version takes the place of another, whose calls still end.
func TestATallyOnlyGrows(t *testing.T) {
	var y tally
	guest := func(calls int64) *host.Guest {
		g := &host.Guest{Options: host.Options{Name: "g"}}
		g.Called.Store(calls)
		y.begin(g)
		return g
	}
	want := func(now *host.Guest, m Measures) {
		t.Helper()
		got := y.measure(now)
		about := fact.Of(t, "%+v, want %+v", got, m)
		fact.Equal(about, "got.Calls", got.Calls, m.Calls)
		fact.Equal(about, "got.Busy", got.Busy, m.Busy)
		fact.Equal(about, "got.Failures", got.Failures, m.Failures)
		fact.Equal(about, "got.Swaps", got.Swaps, m.Swaps)
		fact.Equal(about, "got.FailedSwaps", got.FailedSwaps, m.FailedSwaps)
	}
	first := guest(3)
	want(first, Measures{Costs: host.Costs{Calls: 3}})
	y.refused(errors.New("no"))
	second := guest(0)
	want(second, Measures{Costs: host.Costs{Calls: 3}, FailedSwaps: 1})
	first.Called.Add(1) // drains
	first.Busy.Add(5)
	second.Failed.Add(2)
	want(second, Measures{Costs: host.Costs{Calls: 4, Busy: 5, Failures: 2}, FailedSwaps: 1})
	y.end(first)
	want(second, Measures{Costs: host.Costs{Calls: 4, Busy: 5, Failures: 2}, Swaps: 1, FailedSwaps: 1})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 4 { // of configurations that are refused for something else
			y.end(guest(1))
		}
	})
	for range 100 {
		y.measure(second)
	}
	wg.Wait()
	want(second, Measures{Costs: host.Costs{Calls: 8, Busy: 5, Failures: 2}, Swaps: 1, FailedSwaps: 1})
	y.end(second)
	want(second, Measures{Costs: host.Costs{Calls: 8, Busy: 5, Failures: 2}, Swaps: 1, FailedSwaps: 1})
}
