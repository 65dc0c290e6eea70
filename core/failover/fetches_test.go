package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// far is a world of topics with so many partitions, all with records, on clusters that are so far
// away. All partitions of a cluster are one log.
func far(t *testing.T, topics, partitions int, trip time.Duration) *world {
	t.Helper()
	w := wideWorld(t, topics, partitions)
	for _, f := range []*fake{w.prod, w.dr} {
		l := &fakeLog{epoch: 7}
		l.batch(shape{}, records(0, 3)...)
		f.set(func() {
			for _, topic := range f.topics {
				topic.logs = slices.Repeat([]*fakeLog{l}, partitions)
			}
			f.topo = f.view()
			f.before = func(kmsg.Request) { time.Sleep(trip) }
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
		w.apply(Options{})
		pass(2*time.Second + 10*time.Millisecond) // the first round is on its way
		if round, ok := w.runner.Round("vc"); !ok || round.Waiting != 0 {
			t.Errorf("before clusters have answered: %+v, %t", round, ok)
		}
		pass(100 * time.Millisecond)
		if round, _ := w.runner.Round("vc"); round.Waiting == 0 || round.Waiting > topics {
			t.Errorf("while copies are compared: %+v", round)
		}
		pass(900 * time.Millisecond)
		for _, topic := range w.env.Catalog.Topics() {
			for p := range topic.Partitions {
				if _, known := topic.Partitions[p].Deltas["dr"]; !known {
					t.Fatalf("%s/%d is not compared after a second", topic.Name, p)
				}
			}
		}
		for name, n := range map[string]int{"prod": w.prod.count(kmsg.Fetch), "dr": w.dr.count(kmsg.Fetch)} {
			if most := topics * partitions / 10; n > most {
				t.Errorf("%s was asked for records %d times, want at most %d for %d partitions", name, n, most, topics*partitions)
			}
		}
		pass(17 * time.Second) // the rounds at 10 and 20 s
		if round, _ := w.runner.Round("vc"); round.Period > deltaEvery+time.Second || round.Waiting != 0 {
			t.Errorf("when nothing has changed: %+v", round)
		}
	})
}

// TestTheRealPeriodIsTold: also of a round that has no end.
func TestTheRealPeriodIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := far(t, 1, 1, 0)
		w.apply(Options{})
		if _, ok := w.runner.Round("vc"); ok {
			t.Error("there is a round before the first one")
		}
		held := make(chan struct{})
		w.dr.set(func() {
			w.dr.before = func(req kmsg.Request) {
				if _, reads := req.(*kmsg.FetchRequest); reads {
					<-held
				}
			}
		})
		pass(33 * time.Second)
		if round, _ := w.runner.Round("vc"); round.Period != 31*time.Second || round.Waiting != 1 {
			t.Errorf("a round that began at 2 s is, at 33 s: %+v", round)
		}
		close(held)
		pass(time.Second)
		if round, _ := w.runner.Round("vc"); round.Period > time.Second || round.Waiting != 0 {
			t.Errorf("when it is over, and the next one, which was due, too: %+v", round)
		}
		pass(30 * time.Second)
		if round, _ := w.runner.Round("vc"); round.Period != deltaEvery {
			t.Errorf("half a minute later: %+v", round)
		}
	})
}

// TestNoVirtualClusterWaitsForTheClustersOfAnother.
func TestNoVirtualClusterWaitsForTheClustersOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.apply(Options{})
		stuck := w.env
		stuck.VirtualCluster, stuck.Catalog = "another", w.cat.Virtual("another")
		slow := newFake("slow")
		slow.topic("x", 1)
		held := make(chan struct{})
		defer close(held)
		slow.before = func(kmsg.Request) { <-held }
		stuck.Clusters = []plugin.Cluster{slow}
		stuck.Catalog.SetPlace(func(string) (string, map[string]string, bool) { return "slow", nil, true })
		if err := stuck.Catalog.Ensure(t.Context(), catalog.Seen{Name: "x", Cluster: "slow", Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		w.rules.homes["x"] = plugin.Home{Cluster: "slow", Shown: true}
		if _, err := w.runner.Apply(t.Context(), stuck, w.cfg, Options{}); err != nil {
			t.Fatal(err)
		}
		pass(40 * time.Second)
		if round, ok := w.runner.Round("vc"); !ok || round.Period > deltaEvery {
			t.Errorf("%+v", round)
		}
		if round, _ := w.runner.Round("another"); round.Period < 30*time.Second {
			t.Errorf("the one that waits: %+v", round)
		}
	})
}

// readAll reads from node 0 side by side, and returns what each was given.
func readAll(ctx context.Context, t *testing.T, f *fake, pieces ...wanted) (given [][]byte, errs []error) {
	t.Helper()
	var running guard.Group
	reads := newFetches(t.Context(), &running, f)
	given, errs = make([][]byte, len(pieces)), make([]error, len(pieces))
	var wg sync.WaitGroup
	for i, w := range pieces {
		wg.Go(func() {
			errs[i] = reads.read(ctx, 0, w, func(records []byte) { given[i] = slices.Clone(records) })
		})
	}
	wg.Wait()
	running.Wait()
	if len(reads.slots) > 0 || len(reads.waiting) > 0 || reads.serving[0] > 0 {
		t.Errorf("left: %d slots, %d that wait, %d that serve", len(reads.slots), len(reads.waiting), reads.serving[0])
	}
	return given, errs
}

// TestJointFetches: each gets what it would get alone, whatever it is asked with: also what a
// broker leaves empty since others have filled its answer, the same partition several times, and
// errors.
func TestJointFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("prod")
		const wide = 300
		for p, l := range f.topic("orders", 2*wide) {
			if p%20 == 0 {
				l.batch(shape{}, kafka.Record{Value: make([]byte, 2<<20)}) // two fill an answer
			} else if p%3 > 0 {
				l.batch(shape{}, records(p, p+2)...)
			}
		}
		f.before = func(kmsg.Request) { time.Sleep(time.Millisecond) }
		id := f.Topology().Topics["orders"].ID
		var pieces []wanted
		for p := range int32(wide) {
			pieces = append(pieces, wanted{"orders", id, 2 * p, 0, readBytes}) // those that node 0 leads
		}
		again := wanted{"orders", id, 2, 1, readBytes}
		wrong := wanted{"orders", id, 2, 7, readBytes}
		absent := wanted{"payments", [16]byte{1}, 0, 0, readBytes}
		pieces = append(pieces, again, wrong, absent, pieces[0])
		given, errs := readAll(t.Context(), t, f, pieces...)
		for i, w := range pieces {
			err := readAlone(t.Context(), f, 0, w, func(want []byte) {
				if !slices.Equal(given[i], want) {
					t.Errorf("%+v: %d bytes, want %d", w, len(given[i]), len(want))
				}
			})
			if fmt.Sprint(errs[i]) != fmt.Sprint(err) {
				t.Errorf("%+v: %v, want %v", w, errs[i], err)
			}
		}
	})
}

// TestWhatIsReadIsBounded: answers whose records are in use count.
func TestWhatIsReadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("prod")
		for _, l := range f.topic("orders", 2000) {
			l.batch(shape{}, records(0, 1)...)
		}
		f.before = func(kmsg.Request) { time.Sleep(time.Millisecond) }
		var running guard.Group
		reads := newFetches(t.Context(), &running, f)
		use, id := make(chan struct{}), f.Topology().Topics["orders"].ID
		var wg sync.WaitGroup
		for p := range int32(1000) {
			wg.Go(func() {
				_ = reads.read(t.Context(), 0, wanted{"orders", id, 2 * p, 0, readBytes}, func([]byte) { <-use })
			})
		}
		pass(time.Minute)
		if n := f.count(kmsg.Fetch); n != readsAtOnce {
			t.Errorf("%d fetches while all records are in use, want %d", n, readsAtOnce)
		}
		close(use)
		wg.Wait()
		running.Wait()
		if n := f.count(kmsg.Fetch); n > 4*readsAtOnce {
			t.Errorf("%d fetches for 1000 partitions", n)
		}
	})
}

// TestWhoLeavesHoldsUpNobody: its answer is nobody's, and its place is free.
func TestWhoLeavesHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("prod")
		f.topic("orders", 1)[0].batch(shape{}, records(0, 1)...)
		f.before = func(kmsg.Request) { time.Sleep(time.Second) }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		w := wanted{"orders", f.Topology().Topics["orders"].ID, 0, 0, readBytes}
		began := time.Now()
		_, errs := readAll(ctx, t, f, slices.Repeat([]wanted{w}, 100)...)
		for _, err := range errs {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		}
		if took := time.Since(began); took > 2*time.Second || f.count(kmsg.Fetch) > readsAtOnce {
			t.Errorf("%s, %d fetches for nobody", took, f.count(kmsg.Fetch))
		}
	})
}

// TestAFailedReadIsTriedAgain: it says nothing of the records, which may never change.
func TestAFailedReadIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		var fail atomic.Bool
		fail.Store(true)
		w.dr.set(func() {
			w.dr.before = func(req kmsg.Request) {
				if _, reads := req.(*kmsg.FetchRequest); reads {
					w.dr.set(func() { w.dr.down = fail.Load() })
				}
			}
		})
		w.apply(Options{})
		pass(3 * time.Second)
		if d := w.deltas(); len(d) > 0 {
			t.Fatalf("compared without records: %v", d)
		}
		fail.Store(false)
		w.dr.set(func() { w.dr.down = false })
		pass(10 * time.Second)
		if d := w.deltas(); d["dr"] != 25 {
			t.Errorf("distances %v", d)
		}
	})
}
