package failover

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// during calls change once, when the old home is asked for its producers: in the pre-check, or
// while clients are held.
func (w *world) during(p Phase, change func()) {
	done := false
	w.Prod.Set(func() {
		w.Prod.Before = func(req kmsg.Request) {
			if _, ok := req.(*kmsg.DescribeProducersRequest); ok && !done && w.last("orders").Phase == p {
				done = true
				change()
			}
		}
	})
	w.T.Cleanup(func() {
		if !done {
			w.T.Errorf("nothing was changed during %s", p)
		}
	})
}

// TestACommitKeepsWhatIsWrittenMeanwhile: consumers go on reading at the old home, and raise
// ceilings.
func TestACommitKeepsWhatIsWrittenMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.during(Prepare, func() {
			if err := w.env.Catalog.Reserve(t.Context(), "orders", 0, 3*catalog.CeilingBlock); err != nil {
				t.Error(err)
			}
		})
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		if c := w.lives("orders", "dr", 1).Partition(0).Ceiling; c <= 3*catalog.CeilingBlock {
			t.Errorf("%d was shown, the ceiling is %d", 3*catalog.CeilingBlock, c)
		}
	})
}

// TestACommitDoesNotBringADeletedTopicBack.
func TestACommitDoesNotBringADeletedTopicBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.during(Prepare, func() {
			if err := w.env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error { n.Deleted = []string{}; return nil }); err != nil {
				t.Error(err)
			}
		})
		w.edit("dr", "orders")
		fakes.Pass(10 * time.Second)
		if got := w.env.Catalog.Topic("orders"); got != nil {
			t.Errorf("it lives on %s", got.Home)
		}
		if w.env.Gates.Gate("orders").Held() {
			t.Error("it is still held")
		}
	})
}

// TestPartitionsAreAddedDuringAMove: they move too, with the next attempt if need be.
func TestPartitionsAreAddedDuringAMove(t *testing.T) {
	for _, when := range []Phase{Check, Prepare} {
		for _, known := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.during(when, func() {
					for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
						f.Set(func() { f.Topics["orders"].Logs = append(f.Topics["orders"].Logs, &fakes.Log{Epoch: 7}) })
					}
					w.DR.Set(func() { w.DR.Topics["orders"].Logs[1].Skip(30) })
					for _, f := range []*fakes.Cluster{w.Prod, w.DR} {
						f.Set(func() { f.Topics["orders"].Logs[1].Add(fakes.Records(0, 10)...) })
					}
					if !known {
						return
					}
					if err := w.env.Catalog.Ensure(t.Context(), catalog.Seen{Name: "orders", Cluster: "prod", ID: w.Prod.Topology().Topics["orders"].ID, Partitions: 2}); err != nil {
						t.Error(err)
					}
				})
				w.edit("dr", "orders")
				fakes.Pass(10 * time.Second)
				topic := w.lives("orders", "dr", 1)
				if len(topic.Partitions) != 2 {
					t.Fatalf("%d partitions", len(topic.Partitions))
				}
				if at := topic.Partition(1).ToPhysical(4); at != 34 {
					t.Errorf("added during %s, known %t: offset 4 of the new partition is %d on dr", when, known, at)
				}
			})
		}
	}
}

// TestATransactionThatBeginsBehindThePreCheck has records on the old home, and ends there.
func TestATransactionThatBeginsBehindThePreCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		l := w.Prod.Log("orders")
		p := w.produce("orders")
		w.edit("dr", "orders")
		if m := w.last("orders"); m.Phase != Hold {
			t.Fatalf("%s: %q", m.Phase, m.Error)
		}
		w.Prod.Set(func() { l.Producers = append(l.Producers, transaction(4711, 90)) })
		p.answer()
		fakes.Pass(time.Second)
		if m := w.last("orders"); m.Phase == Done || w.lives("orders", "prod", 0) == nil {
			t.Errorf("%s: %q", m.Phase, m.Error)
		}
		w.Prod.Set(func() { l.Producers = nil })
		fakes.Pass(10 * time.Second)
		w.lives("orders", "dr", 1)
	})
}

// TestAMoveOfATopicThatIsDeletedIsNotDone: nobody is told that it lives on the other cluster now.
func TestAMoveOfATopicThatIsDeletedIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.DR.Set(func() { w.DR.Down = true })
		w.edit("dr", "orders")
		if err := w.env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error { n.Deleted = []string{}; return nil }); err != nil {
			t.Fatal(err)
		}
		fakes.Pass(10 * time.Second)
		if m := w.last("orders"); m.Phase != Dropped || m.Error != `topic "orders" is gone` {
			t.Errorf("%s: %q", m.Phase, m.Error)
		}
	})
}

// TestAMoveBackPublishesWhatWasNot: the store fails behind the commit, and the edit back is refused
// for long. Clients must be told meanwhile where the topic lives.
func TestAMoveBackPublishesWhatWasNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.committedOnly("orders")
		w.Prod.Set(func() { w.Prod.Down = true }) // nobody can move there
		w.edit("prod", "orders")
		w.Store.Set(nil, nil)
		fakes.Pass(time.Minute)
		if topic := w.lives("orders", "dr", 1); topic.Before != nil || topic.Published != 1 {
			t.Errorf("clients are still told that it lives on %s", topic.View().Home)
		}
	})
}
