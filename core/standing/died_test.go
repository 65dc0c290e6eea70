package standing

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// died is a world in which dr was the home up to record 60 and died with 7 records that prod does
// not have.
func died(t *testing.T, compacts bool) *world {
	t.Helper()
	w := newWorld(t, "orders")
	w.DR.Set(func() {
		w.DR.Topics["orders"].Logs[0] = &fakes.Log{}
		w.DR.Log("orders").Add(fakes.Records(0, 60)...)
		w.DR.Log("orders").Add(fakes.Records(500, 507)...)
	})
	if compacts {
		for _, c := range []*fakes.Cluster{w.Prod, w.DR} {
			c.Set(func() { c.Topics["orders"].Configs["cleanup.policy"] = "compact" })
		}
	}
	err := w.Virtual.Update(t.Context(), "orders", func(n *catalog.Topic) error {
		n.Copies = map[string][16]byte{"dr": w.DR.Topology().Topics["orders"].ID}
		n.Partitions[0].SetCopy("dr", catalog.Alignment{To: 60, Died: true})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) lag() int64 {
	topics := w.watch.Survey(w.T.Context(), w.env, []*catalog.Topic{w.Virtual.Topic("orders")}, true)
	return topics[0].Copies[0].Partitions[0].Lag
}

// TestALostTailIsCountedAndSaidOnce, and the copy lags by all that came since, until that is there.
func TestALostTailIsCountedAndSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := died(t, false)
		w.apply()
		fakes.Pass(30 * time.Second)
		about := fact.Of(t, "of dr is known %+v", w.known("orders"))
		fact.True(about, "Died", w.known("orders").Died)
		fact.Equal(about, "Lost", w.known("orders").Lost, 7)
		fact.Equal(about, "lag", w.lag(), 40)
		fact.Equal(about, "warnings", w.Warnings.N.Load(), 1)
		w.DR.Grow("orders", 60, 100)
		fakes.Pass(30 * time.Second)
		about = fact.Of(t, "of dr is known %+v", w.known("orders"))
		fact.True(about, "not Died", !w.known("orders").Died)
		fact.Equal(about, "Lost", w.known("orders").Lost, 7)
		fact.Equal(about, "To", w.known("orders").To, 100)
		fact.Equal(about, "lag", w.lag(), 0)
		fact.Equal(about, "warnings", w.Warnings.N.Load(), 1)
		want := []catalog.Run{{Virtual: 0, Physical: 0, Records: 60}, {Virtual: 60, Physical: 67, Records: catalog.Open}}
		if got := slices.Collect(w.known("orders").Distance.Runs()); !slices.Equal(got, want) {
			t.Errorf("runs %v, want %v", got, want)
		}
	})
}

// TestALostTailOfACompactedTopicIsNotGoneBy: compaction takes older records away for its sake.
func TestALostTailOfACompactedTopicIsNotGoneBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := died(t, true)
		w.DR.Grow("orders", 60, 100)
		w.apply()
		fakes.Pass(30 * time.Second)
		if a := w.known("orders"); !a.Died {
			t.Errorf("of dr is known %+v", a)
		}
	})
}

// TestDeletedRecordsOfAHomeThatDied are deleted on it as far as is known where they stand.
func TestDeletedRecordsOfAHomeThatDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := died(t, false)
		if err := w.Virtual.Erase(t.Context(), w.Virtual.Topic("orders"), map[int32]int64{0: 65}); err != nil {
			t.Fatal(err)
		}
		w.apply()
		fakes.Pass(30 * time.Second)
		if at := w.DR.Log("orders").Start; at != 60 {
			t.Errorf("dr begins at %d, want 60: what is behind it may be what was lost", at)
		}
		w.DR.Grow("orders", 60, 100)
		fakes.Pass(30 * time.Second)
		if at := w.DR.Log("orders").Start; at != 72 {
			t.Errorf("dr begins at %d, want 72", at)
		}
	})
}

// TestALargeHomeThatComesBackIsAlignedInTurns: what it has got since takes more than one round, and
// what was lost stays counted.
func TestALargeHomeThatComesBackIsAlignedInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := largeWorld(t, 200<<10, "orders")
		all := fakes.Records(0, large)
		w.DR.Set(func() {
			w.DR.Topics["orders"].Logs[0] = &fakes.Log{}
			w.DR.Log("orders").Batch(fakes.Shape{}, all[:5000]...)
			w.DR.Log("orders").Add(fakes.Records(100_000, 100_007)...)
			marked(w.DR.Log("orders"), all[5000:])
		})
		err := w.Virtual.Update(t.Context(), "orders", func(n *catalog.Topic) error {
			n.Copies = map[string][16]byte{"dr": w.DR.Topology().Topics["orders"].ID}
			n.Partitions[0].SetCopy("dr", catalog.Alignment{To: 5000, Died: true})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.apply()
		fakes.Pass(5 * time.Second)
		a := w.known("orders")
		about := fact.Of(t, "from %d to %d, front %+v", a.From, a.To, a.Front)
		fact.True(about, "not Died", !a.Died)
		fact.Equal(about, "Lost", a.Lost, 7)
		if fact.True(about, "there is a front", a.Front != nil) {
			fact.True(about, "the front is behind what both had", a.Front.To > 5000)
		}
		fact.Equal(about, "To, by which an unplanned move goes", a.To, large)
		for i := 0; w.far("orders") < large; i++ {
			if fakes.Pass(10 * time.Second); i > 60 {
				t.Fatalf("no end: %+v", w.known("orders"))
			}
		}
		a = w.known("orders")
		about = fact.Of(t, "from %d to %d, %d runs", a.From, a.To, a.Distance.Len())
		fact.Equal(about, "Lost", a.Lost, 7)
		fact.Equal(about, "runs", a.Distance.Len(), 1+(large-5000)/200)
		fact.Equal(about, "place of the first record since", a.Distance.ToPhysical(5000), 5007)
		fact.True(about, "the lost tail is hidden", a.Distance.Skips(5000) && a.Distance.Skips(5006))
		fact.Equal(about, "warnings", w.Warnings.N.Load(), 1)
	})
}

// TestAHomeThatDiedLagsByTime, too, however long its lost tail is.
func TestAHomeThatDiedLagsByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := died(t, false)
		w.DR.Grow("orders", 600, 700)
		w.apply()
		fakes.Pass(35 * time.Second)
		if got := w.watch.Aligned("vc", w.Virtual.Topic("orders"), "dr", 0).LagSeconds; got < 20 {
			t.Errorf("%v s, want some 30", got)
		}
	})
}

// TestALostTailIsSaidOnce also where another partition can't be compared.
func TestALostTailIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := over(fakes.NewWideWorld(t, 1, 2))
		fill := func(f *fakes.Cluster, p int, lists ...[]kafka.Record) {
			f.Set(func() {
				f.Topics["topic-00"].Logs[p] = &fakes.Log{}
				for _, records := range lists {
					f.Topics["topic-00"].Logs[p].Add(records...)
				}
			})
		}
		all := fakes.Records(0, 100)
		fill(w.Prod, 0, all)
		fill(w.Prod, 1, all)
		fill(w.DR, 0, all[:60], fakes.Records(500, 507))
		fill(w.DR, 1, all[:50]) // it has lost what it had
		err := w.Virtual.Update(t.Context(), "topic-00", func(n *catalog.Topic) error {
			n.Copies = map[string][16]byte{"dr": w.DR.Topology().Topics["topic-00"].ID}
			n.Partitions[0].SetCopy("dr", catalog.Alignment{To: 60, Died: true})
			n.Partitions[1].SetCopy("dr", catalog.Alignment{To: 60, Died: true, Lost: 3})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.apply()
		for i := range 3 {
			fakes.Pass(11 * time.Second)
			w.Prod.Set(func() { w.Prod.Topics["topic-00"].Logs[0].Add(fakes.Records(100+i, 101+i)...) })
		}
		about := fact.Of(t, "of dr is known %+v", w.known("topic-00"))
		fact.Equal(about, "Lost", w.known("topic-00").Lost, 7)
		fact.Equal(about, "warnings", w.Warnings.N.Load(), 1)
		fact.True(about, "the other one is known as it was", w.Virtual.Topic("topic-00").Partition(1).Copies["dr"].Died)
	})
}
