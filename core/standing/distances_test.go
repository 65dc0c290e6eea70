package standing

import (
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestDistancesAreStoredWhileBothLive: soon after the start and every 10 s from then on; what is
// the same is not written again.
func TestDistancesAreStoredWhileBothLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply()
		fakes.Pass(1900 * time.Millisecond)
		if len(w.Deltas()) != 0 {
			t.Fatalf("distances at once: %v", w.Deltas())
		}
		fakes.Pass(200 * time.Millisecond)
		if !maps.Equal(w.Deltas(), map[string]int64{"dr": 25}) {
			t.Fatalf("distances %v", w.Deltas())
		}
		n := len(w.Store.Entries)
		fakes.Pass(time.Minute)
		if len(w.Store.Entries) != n {
			t.Errorf("%d more writes of what is known", len(w.Store.Entries)-n)
		}
		// The copy is made anew: what was stored is no longer true, and replaced.
		w.DR.Set(func() {
			w.DR.Topics["orders"].Logs[0] = &fakes.Log{Epoch: 7}
			w.DR.Log("orders").Add(fakes.Records(1000, 1070)...)
			w.DR.Log("orders").Add(fakes.Records(0, 100)...)
		})
		fakes.Pass(9 * time.Second)
		fakes.Pass(time.Second)
		if !maps.Equal(w.Deltas(), map[string]int64{"dr": 70}) {
			t.Errorf("distances of a new copy %v", w.Deltas())
		}
		got := w.Virtual.Topic("orders")
		about := fact.Of(t, "the topic %+v", got)
		fact.Equal(about, "got.Home", got.Home, "prod")
		fact.Equal(about, "got.Generation", got.Generation, 0)
		if fact.Equal(about, "len(got.Partitions)", len(got.Partitions), 1) {
			fact.True(about, "got.Partitions[0].Identity()", got.Partitions[0].Identity())
		}
	})
}

// TestDistancesWhereBrokersStampRecords: with LogAppendTime a copy has its own timestamps.
func TestDistancesWhereBrokersStampRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		for f, at := range map[*fakes.Cluster]int64{w.Prod: 5_000_000, w.DR: 6_000_000} {
			f.Log("orders").Batch(fakes.Shape{AppendTime: at}, fakes.Records(100, 170)...)
			f.Topics["orders"].Configs["message.timestamp.type"] = "LogAppendTime"
		}
		w.apply()
		fakes.Pass(3 * time.Second)
		if !maps.Equal(w.Deltas(), map[string]int64{"dr": 25}) {
			t.Errorf("distances %v", w.Deltas())
		}
	})
}

// TestWhatCantBeComparedKeepsItsDistance: a copy that is behind, gone, or broken says nothing new.
func TestWhatCantBeComparedKeepsItsDistance(t *testing.T) {
	for name, hurt := range map[string]func(w *world){
		"the home is gone":  func(w *world) { w.Prod.Down = true },
		"the copy is gone":  func(w *world) { w.DR.Down = true },
		"other records":     func(w *world) { w.DR.Log("orders").Add(fakes.Records(2000, 2064)...) },
		"another partition": func(w *world) { w.DR.Topics["orders"].Logs = append(w.DR.Topics["orders"].Logs, &fakes.Log{}) },
		"a partition at home": func(w *world) {
			w.Prod.Topics["orders"].Logs = append(w.Prod.Topics["orders"].Logs, &fakes.Log{})
		},
		"the copy is emptied":  func(w *world) { l := w.DR.Log("orders"); l.Batches, l.Start = nil, l.End },
		"the topic is gone":    func(w *world) { delete(w.DR.Topics, "orders") },
		"the copy is far away": func(w *world) { w.Prod.Log("orders").Add(fakes.Records(100, 11_000)...) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.apply()
				fakes.Pass(3 * time.Second)
				w.Prod.Mu.Lock()
				w.DR.Set(func() { hurt(w) })
				w.Prod.Mu.Unlock()
				_, _ = w.Prod.Refresh(t.Context())
				_, _ = w.DR.Refresh(t.Context())
				fakes.Pass(30 * time.Second)
				if !maps.Equal(w.Deltas(), map[string]int64{"dr": 25}) {
					t.Errorf("distances %v", w.Deltas())
				}
			})
		})
	}
}

// TestACopyBehindHasADistance: replication that lags is normal and no reason to know nothing.
func TestACopyBehindHasADistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.Prod.Grow("orders", 100, 900)
		w.apply()
		fakes.Pass(3 * time.Second)
		if !maps.Equal(w.Deltas(), map[string]int64{"dr": 25}) {
			t.Errorf("distances %v", w.Deltas())
		}
	})
}

// TestComparisonsOfDeletedTopicsAreForgotten: topics come and go.
func TestComparisonsOfDeletedTopicsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders", "kept")
		w.apply()
		fakes.Pass(time.Minute)
		if n := len(w.watch.compared.last); n != 2 {
			t.Errorf("%d comparisons", n)
		}
		if err := w.env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error { n.Deleted = []string{}; return nil }); err != nil {
			t.Fatal(err)
		}
		fakes.Pass(time.Minute)
		if n := len(w.watch.compared.last); n != 1 {
			t.Errorf("%d comparisons are kept for one topic", n)
		}
	})
}

// TestRetentionLeavesADistanceAlone: once the home has no record left there is nothing to compare,
// and the copy lacks what it had not got by then for ever.
func TestRetentionLeavesADistanceAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply()
		fakes.Pass(time.Minute)
		w.Prod.Grow("orders", 100, 110)
		w.Prod.Set(func() {
			l := w.Prod.Log("orders")
			l.Start, l.Batches = l.End, nil
		})
		fakes.Pass(time.Minute)
		if d := w.Deltas(); d["dr"] != 25 {
			t.Errorf("distances %v: offset 99 would name what 89 did", d)
		}
	})
}

// TestCopiesThatHaveNotChangedAreNotRead: many topics cost a cluster two requests per node and
// round, and count as compared; what has changed is compared again.
func TestCopiesThatHaveNotChangedAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, topics := many(t, 50)
		w.apply()
		fakes.Pass(25 * time.Second) // compared, and once more since the distances are new
		asked := func(k kmsg.Key) int { return w.Prod.Count(k) + w.DR.Count(k) }
		fetches, lists := asked(kmsg.Fetch), asked(kmsg.ListOffsets)
		fakes.Pass(time.Minute)
		if n := asked(kmsg.Fetch) - fetches; n != 0 {
			t.Errorf("%d fetches of copies that have not changed", n)
		}
		if n := asked(kmsg.ListOffsets) - lists; n == 0 || n > 60 {
			t.Errorf("%d requests for offsets in a minute", n)
		}
		compared := func(topic string) time.Time {
			return w.watch.Survey(t.Context(), w.env, []*catalog.Topic{w.env.Catalog.Topic(topic)}, true)[0].Copies[0].Compared
		}
		if at := compared(topics[7]); time.Since(at) > 11*time.Second {
			t.Errorf("last compared %s ago", time.Since(at))
		}
		fetches = asked(kmsg.Fetch)
		w.Prod.Grow(topics[7], 100, 101)
		w.DR.Grow(topics[7], 100, 101)
		fakes.Pass(11 * time.Second)
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
		w.Store.Set(nil, func([]catalog.Entry) {
			writes.Add(1)
			time.Sleep(time.Millisecond) // meanwhile others find theirs
		})
		w.apply()
		fakes.Pass(5 * time.Second)
		for _, name := range names {
			if d, _ := w.env.Catalog.Topic(name).Partition(0).Delta("dr"); d != 25 {
				t.Fatalf("%s: distance %d", name, d)
			}
		}
		if n := writes.Load(); n > topics/10 {
			t.Errorf("%d writes for %d topics", n, topics)
		}
	})
}

// TestCopiesFarAwayAreComparedSideBySide: one after the other, these would take minutes.
func TestCopiesFarAwayAreComparedSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const trip = 20 * time.Millisecond
		w, names := many(t, 1000)
		far := func(kmsg.Request) { time.Sleep(trip) }
		w.Prod.Before, w.DR.Before = far, far
		w.apply()
		fakes.Pass(8 * time.Second)
		for _, name := range names {
			if d, _ := w.env.Catalog.Topic(name).Partition(0).Delta("dr"); d != 25 {
				t.Fatalf("%s: distance %d", name, d)
			}
		}
		fakes.Pass(30 * time.Second)
		if age := w.watch.LongestUnasked("vc"); age > deltaEvery+time.Second {
			t.Errorf("a topic was last asked for %s ago", age)
		}
	})
}

// TestReadsOfCopiesAreBounded: what is read is in memory.
func TestReadsOfCopiesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := many(t, 200)
		var now, most atomic.Int64
		w.DR.Before = func(req kmsg.Request) {
			if _, reads := req.(*kmsg.FetchRequest); !reads {
				return
			}
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Millisecond)
			now.Add(-1)
		}
		w.apply()
		fakes.Pass(5 * time.Second)
		if n := most.Load(); n < 2 || n > joint.ReadsAtOnce {
			t.Errorf("%d reads at once, want at most %d", n, joint.ReadsAtOnce)
		}
	})
}
