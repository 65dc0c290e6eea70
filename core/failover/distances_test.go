package failover

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestAPlannedMoveCorrectsAStaleDistance: it compares and does not trust what is stored.
func TestAPlannedMoveCorrectsAStaleDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.Remember(map[string]int64{"dr": 3})
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		if p := w.lives("orders", "dr", 1).Partition(0); p.ToPhysical(10) != 35 {
			t.Errorf("lineage %+v", p)
		}
	})
}

// TestDistancesOfAMoveBelongToIt: a comparison that began before a move must not be stored after
// it, when the homes have changed places.
func TestDistancesOfAMoveBelongToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply(Options{})
		first := true
		w.DR.Set(func() {
			w.DR.Before = func(req kmsg.Request) {
				if _, ok := req.(*kmsg.FetchRequest); ok && first {
					first = false
					time.Sleep(2 * time.Second) // the move overtakes the comparison
				}
			}
		})
		fakes.Pass(2500 * time.Millisecond)
		if first {
			t.Fatal("no comparison has begun")
		}
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		w.lives("orders", "dr", 1)
		fakes.Pass(2 * time.Second)
		if !maps.Equal(w.Deltas(), map[string]int64{"prod": -25}) {
			t.Errorf("distances %v", w.Deltas())
		}
	})
}
