package failover

import (
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// deltas are the stored distances of a topic's only partition.
func (w *world) deltas() map[string]int64 { return w.env.Catalog.Topic("orders").Partition(0).Deltas }

// TestDistancesAreStoredWhileBothLive: soon after the start and every 10 s from then on; what is
// the same is not written again.
func TestDistancesAreStoredWhileBothLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply(Options{})
		pass(1900 * time.Millisecond)
		if len(w.deltas()) != 0 {
			t.Fatalf("distances at once: %v", w.deltas())
		}
		pass(200 * time.Millisecond)
		if !maps.Equal(w.deltas(), map[string]int64{"dr": 25}) {
			t.Fatalf("distances %v", w.deltas())
		}
		n := len(w.store.entries)
		pass(time.Minute)
		if len(w.store.entries) != n {
			t.Errorf("%d more writes of what is known", len(w.store.entries)-n)
		}
		// The copy is made anew: what was stored is no longer true, and replaced.
		w.dr.set(func() {
			w.dr.topics["orders"].logs[0] = &fakeLog{epoch: 7}
			w.dr.log("orders").add(records(1000, 1070)...)
			w.dr.log("orders").add(records(0, 100)...)
		})
		pass(9 * time.Second)
		pass(time.Second)
		if !maps.Equal(w.deltas(), map[string]int64{"dr": 70}) {
			t.Errorf("distances of a new copy %v", w.deltas())
		}
		if got := w.lives("orders", "prod", 0); len(got.Partitions) != 1 || !got.Partitions[0].Identity() {
			t.Errorf("more has changed: %+v", got)
		}
	})
}

// TestDistancesWhereBrokersStampRecords: with LogAppendTime a copy has its own timestamps.
func TestDistancesWhereBrokersStampRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		for f, at := range map[*fake]int64{w.prod: 5_000_000, w.dr: 6_000_000} {
			f.log("orders").batch(shape{appendTime: at}, records(100, 170)...)
			f.topics["orders"].configs["message.timestamp.type"] = "LogAppendTime"
		}
		w.apply(Options{})
		pass(3 * time.Second)
		if !maps.Equal(w.deltas(), map[string]int64{"dr": 25}) {
			t.Errorf("distances %v", w.deltas())
		}
	})
}

// TestWhatCantBeComparedKeepsItsDistance: a copy that is behind, gone, or broken says nothing new.
func TestWhatCantBeComparedKeepsItsDistance(t *testing.T) {
	for name, hurt := range map[string]func(w *world){
		"the home is gone":     func(w *world) { w.prod.down = true },
		"the copy is gone":     func(w *world) { w.dr.down = true },
		"other records":        func(w *world) { w.dr.log("orders").add(records(2000, 2064)...) },
		"another partition":    func(w *world) { w.dr.topics["orders"].logs = append(w.dr.topics["orders"].logs, &fakeLog{}) },
		"a partition at home":  func(w *world) { w.prod.topics["orders"].logs = append(w.prod.topics["orders"].logs, &fakeLog{}) },
		"the copy is emptied":  func(w *world) { l := w.dr.log("orders"); l.batches, l.start = nil, l.end },
		"the topic is gone":    func(w *world) { delete(w.dr.topics, "orders") },
		"the copy is far away": func(w *world) { w.prod.log("orders").add(records(100, 11_000)...) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.apply(Options{})
				pass(3 * time.Second)
				w.prod.mu.Lock()
				w.dr.set(func() { hurt(w) })
				w.prod.mu.Unlock()
				_, _ = w.prod.Refresh(t.Context())
				_, _ = w.dr.Refresh(t.Context())
				pass(30 * time.Second)
				if !maps.Equal(w.deltas(), map[string]int64{"dr": 25}) {
					t.Errorf("distances %v", w.deltas())
				}
			})
		})
	}
}

// TestACopyBehindHasADistance: replication that lags is normal and no reason to know nothing.
func TestACopyBehindHasADistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.prod.grow("orders", 100, 900)
		w.apply(Options{})
		pass(3 * time.Second)
		if !maps.Equal(w.deltas(), map[string]int64{"dr": 25}) {
			t.Errorf("distances %v", w.deltas())
		}
	})
}

// TestAPlannedMoveCorrectsAStaleDistance: it compares and does not trust what is stored.
func TestAPlannedMoveCorrectsAStaleDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		remembered(t, w, map[string]int64{"dr": 3})
		w.edit("dr", "orders")
		pass(time.Second)
		if p := w.lives("orders", "dr", 1).Partition(0); p.ToPhysical(10) != 35 {
			t.Errorf("lineage %+v", p)
		}
	})
}

// remembered sets the distances of a topic.
func remembered(t *testing.T, w *world, deltas map[string]int64) {
	t.Helper()
	err := w.env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error {
		n.Partitions[0].Deltas = deltas
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDistancesOfAMoveBelongToIt: a comparison that began before a move must not be stored after
// it, when the homes have changed places.
func TestDistancesOfAMoveBelongToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply(Options{})
		first := true
		w.dr.set(func() {
			w.dr.before = func(req kmsg.Request) {
				if _, ok := req.(*kmsg.FetchRequest); ok && first {
					first = false
					time.Sleep(2 * time.Second) // the move overtakes the comparison
				}
			}
		})
		pass(2500 * time.Millisecond)
		if first {
			t.Fatal("no comparison has begun")
		}
		w.edit("dr", "orders")
		pass(time.Second)
		w.lives("orders", "dr", 1)
		pass(2 * time.Second)
		if !maps.Equal(w.deltas(), map[string]int64{"prod": -25}) {
			t.Errorf("distances %v", w.deltas())
		}
	})
}

// TestComparisonsOfDeletedTopicsAreForgotten: topics come and go.
func TestComparisonsOfDeletedTopicsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders", "kept")
		w.apply(Options{})
		pass(time.Minute)
		if n := len(w.runner.compared.last); n != 2 {
			t.Errorf("%d comparisons", n)
		}
		if err := w.env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error { n.Deleted = []string{}; return nil }); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if n := len(w.runner.compared.last); n != 1 {
			t.Errorf("%d comparisons are kept for one topic", n)
		}
	})
}

// TestRetentionLeavesADistanceAlone: once the home has no record left there is nothing to compare,
// and the copy lacks what it had not got by then for ever.
func TestRetentionLeavesADistanceAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply(Options{})
		pass(time.Minute)
		w.prod.grow("orders", 100, 110)
		w.prod.set(func() {
			l := w.prod.log("orders")
			l.start, l.batches = l.end, nil
		})
		pass(time.Minute)
		if d := w.deltas(); d["dr"] != 25 {
			t.Errorf("distances %v: offset 99 would name what 89 did", d)
		}
	})
}

// TestCopiesThatHaveNotChangedAreNotRead: many topics cost a cluster two requests per node and
// round, and count as compared; what has changed is compared again.
func TestCopiesThatHaveNotChangedAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 50)
		w.apply(Options{})
		pass(25 * time.Second) // compared, and once more since the distances are new
		asked := func(k kmsg.Key) int { return w.prod.count(k) + w.dr.count(k) }
		fetches, lists := asked(kmsg.Fetch), asked(kmsg.ListOffsets)
		pass(time.Minute)
		if n := asked(kmsg.Fetch) - fetches; n != 0 {
			t.Errorf("%d fetches of copies that have not changed", n)
		}
		if n := asked(kmsg.ListOffsets) - lists; n == 0 || n > 60 {
			t.Errorf("%d requests for offsets in a minute", n)
		}
		compared := func(topic string) time.Time {
			return w.runner.Survey(t.Context(), w.env, []*catalog.Topic{w.env.Catalog.Topic(topic)}, true)[0].Copies[0].Compared
		}
		if at := compared(topics[7]); time.Since(at) > 11*time.Second {
			t.Errorf("last compared %s ago", time.Since(at))
		}
		fetches = asked(kmsg.Fetch)
		w.prod.grow(topics[7], 100, 101)
		w.dr.grow(topics[7], 100, 101)
		pass(11 * time.Second)
		if n := asked(kmsg.Fetch) - fetches; n == 0 || n > 10 {
			t.Errorf("%d fetches for one copy that has changed", n)
		}
	})
}

// TestDistancesAreStoredTogether: a gateway that sees many topics for the first time does not write
// for each.
func TestDistancesAreStoredTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topics = 300
		w, names := many(t, topics)
		var writes atomic.Int64
		w.store.set(nil, func() {
			writes.Add(1)
			time.Sleep(time.Millisecond) // meanwhile others find theirs
		})
		w.apply(Options{})
		pass(5 * time.Second)
		for _, name := range names {
			if d := w.env.Catalog.Topic(name).Partition(0).Deltas["dr"]; d != 25 {
				t.Fatalf("%s: distance %d", name, d)
			}
		}
		if n := writes.Load(); n > topics/10 {
			t.Errorf("%d writes for %d topics", n, topics)
		}
	})
}

// TestWhatClientsSawIsStoredTogether in one write per round.
func TestWhatClientsSawIsStoredTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, names := many(t, 50)
		for _, name := range names {
			if err := w.env.Catalog.Reserve(t.Context(), name, 0, 10); err != nil {
				t.Fatal(err)
			}
		}
		var writes atomic.Int64
		w.store.set(nil, func() { writes.Add(1) })
		if err := w.env.Catalog.KeepShown(t.Context(), w.env.Catalog.Topics()...); err != nil {
			t.Fatal(err)
		}
		if n := writes.Load(); n != 1 {
			t.Errorf("%d writes", n)
		}
		for _, name := range names {
			if !w.env.Catalog.Topic(name).Partition(0).Shown {
				t.Errorf("%s: not stored", name)
			}
		}
	})
}

// TestCopiesFarAwayAreComparedSideBySide: one after the other, these would take minutes.
func TestCopiesFarAwayAreComparedSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const trip = 20 * time.Millisecond
		w, names := many(t, 1000)
		far := func(kmsg.Request) { time.Sleep(trip) }
		w.prod.before, w.dr.before = far, far
		w.apply(Options{})
		pass(8 * time.Second)
		for _, name := range names {
			if d := w.env.Catalog.Topic(name).Partition(0).Deltas["dr"]; d != 25 {
				t.Fatalf("%s: distance %d", name, d)
			}
		}
		pass(30 * time.Second)
		if age := w.runner.LongestUnasked("vc"); age > deltaEvery+time.Second {
			t.Errorf("a topic was last asked for %s ago", age)
		}
	})
}

// TestReadsOfCopiesAreBounded: what is read is in memory.
func TestReadsOfCopiesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := many(t, 200)
		var now, most atomic.Int64
		w.dr.before = func(req kmsg.Request) {
			if _, reads := req.(*kmsg.FetchRequest); !reads {
				return
			}
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Millisecond)
			now.Add(-1)
		}
		w.apply(Options{})
		pass(5 * time.Second)
		if n := most.Load(); n < 2 || n > readsAtOnce {
			t.Errorf("%d reads at once, want at most %d", n, readsAtOnce)
		}
	})
}
