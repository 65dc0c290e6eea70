package standing

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// far is a world of topics with so many partitions, all with records, on clusters that are so far
// away. All partitions of a cluster are one log.
func far(t *testing.T, topics, partitions int, trip time.Duration) *world {
	t.Helper()
	w := over(fakes.NewWideWorld(t, topics, partitions))
	for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
		l := &fakes.Log{Epoch: 7}
		l.Batch(fakes.Shape{}, fakes.Records(0, 3)...)
		f.Set(func() {
			for _, topic := range f.Topics {
				topic.Logs = slices.Repeat([]*fakes.Log{l}, partitions)
			}
			f.Topo = f.View()
			f.Before = func(kmsg.Request) { time.Sleep(trip) }
		})
	}
	return w
}

// TestAllCopiesFarAwayAreComparedInTime: a fetch for each partition took two minutes, and one after
// the other an hour.
func TestAllCopiesFarAwayAreComparedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topics, partitions = 500, 12
		w := far(t, topics, partitions, 20*time.Millisecond)
		w.apply()
		fakes.Pass(2*time.Second + 10*time.Millisecond) // the first round is on its way
		if round, ok := w.watch.Round("vc"); !ok || round.Waiting != 0 {
			t.Errorf("before clusters have answered: %+v, %t", round, ok)
		}
		fakes.Pass(100 * time.Millisecond)
		if round, _ := w.watch.Round("vc"); round.Waiting == 0 || round.Waiting > topics {
			t.Errorf("while copies are compared: %+v", round)
		}
		fakes.Pass(900 * time.Millisecond)
		for _, topic := range w.env.Catalog.Topics() {
			for p := range topic.Partitions {
				if _, known := topic.Partitions[p].Delta("dr"); !known {
					t.Fatalf("%s/%d is not compared after a second", topic.Name, p)
				}
			}
		}
		for name, n := range map[string]int{"prod": w.Prod.Count(kmsg.Fetch), "dr": w.DR.Count(kmsg.Fetch)} {
			if most := topics * partitions / 10; n > most {
				t.Errorf("%s was asked for records %d times, want at most %d for %d partitions", name, n, most, topics*partitions)
			}
		}
		fakes.Pass(17 * time.Second) // the rounds at 10 and 20 s
		if round, _ := w.watch.Round("vc"); round.Period > deltaEvery+time.Second || round.Waiting != 0 {
			t.Errorf("when nothing has changed: %+v", round)
		}
	})
}

// TestTheRealPeriodIsTold: also of a round that has no end.
func TestTheRealPeriodIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := far(t, 1, 1, 0)
		w.apply()
		if _, ok := w.watch.Round("vc"); ok {
			t.Error("there is a round before the first one")
		}
		held := make(chan struct{})
		w.DR.Set(func() {
			w.DR.Before = func(req kmsg.Request) {
				if _, reads := req.(*kmsg.FetchRequest); reads {
					<-held
				}
			}
		})
		fakes.Pass(33 * time.Second)
		if round, _ := w.watch.Round("vc"); round.Period != 31*time.Second || round.Waiting != 1 {
			t.Errorf("a round that began at 2 s is, at 33 s: %+v", round)
		}
		close(held)
		fakes.Pass(time.Second)
		if round, _ := w.watch.Round("vc"); round.Period > time.Second || round.Waiting != 0 {
			t.Errorf("when it is over, and the next one, which was due, too: %+v", round)
		}
		fakes.Pass(30 * time.Second)
		if round, _ := w.watch.Round("vc"); round.Period != deltaEvery {
			t.Errorf("half a minute later: %+v", round)
		}
	})
}

// TestNoVirtualClusterWaitsForTheClustersOfAnother.
func TestNoVirtualClusterWaitsForTheClustersOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply()
		stuck := w.env
		stuck.VirtualCluster, stuck.Catalog = "another", w.Catalog.Virtual("another")
		slow := fakes.NewCluster("slow")
		slow.Topic("x", 1)
		held := make(chan struct{})
		defer close(held)
		slow.Before = func(kmsg.Request) { <-held }
		stuck.Clusters = []plugin.Cluster{slow}
		stuck.Catalog.SetPlace(func(string) (string, map[string]string, bool) { return "slow", nil, true })
		if err := stuck.Catalog.Ensure(t.Context(), catalog.Seen{Name: "x", Cluster: "slow", Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		w.Rules.Homes["x"] = plugin.Home{Cluster: "slow", Shown: true}
		w.watch.Apply(stuck, w.Config)
		fakes.Pass(40 * time.Second)
		if round, ok := w.watch.Round("vc"); !ok || round.Period > deltaEvery {
			t.Errorf("%+v", round)
		}
		if round, _ := w.watch.Round("another"); round.Period < 30*time.Second {
			t.Errorf("the one that waits: %+v", round)
		}
	})
}

// TestAFailedReadIsTriedAgain: it says nothing of the records, which may never change.
func TestAFailedReadIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		var fail atomic.Bool
		fail.Store(true)
		w.DR.Set(func() {
			w.DR.Before = func(req kmsg.Request) {
				if _, reads := req.(*kmsg.FetchRequest); reads {
					w.DR.Set(func() { w.DR.Down = fail.Load() })
				}
			}
		})
		w.apply()
		fakes.Pass(3 * time.Second)
		if d := w.Deltas(); len(d) > 0 {
			t.Fatalf("compared without records: %v", d)
		}
		fail.Store(false)
		w.DR.Set(func() { w.DR.Down = false })
		fakes.Pass(10 * time.Second)
		if d := w.Deltas(); d["dr"] != 25 {
			t.Errorf("distances %v", d)
		}
	})
}
