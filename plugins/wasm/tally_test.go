package wasm

import (
	"errors"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestATallyOnlyGrows while one version takes the place of another, whose calls still end.
func TestATallyOnlyGrows(t *testing.T) {
	var y tally
	guest := func(calls int64) *Guest {
		g := &Guest{Options: Options{Name: "g"}}
		g.Called.Store(calls)
		y.begin(g)
		return g
	}
	want := func(now *Guest, m measures) {
		t.Helper()
		got := y.measure(now)
		about := fact.Of(t, "%+v, want %+v", got, m)
		fact.Equal(about, "got.calls", got.calls, m.calls)
		fact.Equal(about, "got.busy", got.busy, m.busy)
		fact.Equal(about, "got.failures", got.failures, m.failures)
		fact.Equal(about, "got.swaps", got.swaps, m.swaps)
		fact.Equal(about, "got.failedSwaps", got.failedSwaps, m.failedSwaps)
	}
	first := guest(3)
	want(first, measures{calls: 3})
	y.refused(errors.New("no"))
	second := guest(0)
	want(second, measures{calls: 3, failedSwaps: 1})
	first.Called.Add(1) // drains
	first.Busy.Add(5)
	second.Failed.Add(2)
	want(second, measures{calls: 4, busy: 5, failures: 2, failedSwaps: 1})
	y.end(first)
	want(second, measures{calls: 4, busy: 5, failures: 2, swaps: 1, failedSwaps: 1})
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
	want(second, measures{calls: 8, busy: 5, failures: 2, swaps: 1, failedSwaps: 1})
	y.end(second)
	want(second, measures{calls: 8, busy: 5, failures: 2, swaps: 1, failedSwaps: 1})
}
