package failover

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

// drifted is a world whose copy has 20 records twice, of all 100 that it has, and a marker behind
// the last one.
func drifted(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "orders")
	w.DR.Set(func() {
		w.DR.Topics["orders"].Logs[0] = &fakes.Log{}
		l := w.DR.Log("orders")
		l.Add(fakes.Records(0, 60)...)
		l.Add(fakes.Records(40, 100)...)
		fakes.Marker(l)
	})
	return w
}

// where are the runs of the only partition of orders.
func (w *world) where() []catalog.Run {
	return slices.Collect(w.Virtual.Topic("orders").Partition(0).Distance.Runs())
}

// TestAMoveToACopyThatHasDrifted leaves the repeated records and the marker out, for those who read
// from the start too, and what is written next comes behind them.
func TestAMoveToACopyThatHasDrifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := drifted(t)
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		w.lives("orders", "dr", 1)
		want := []catalog.Run{{Virtual: 0, Physical: 0, Records: 60}, {Virtual: 60, Physical: 80, Records: 40}, {Virtual: 100, Physical: 121, Records: catalog.Open}}
		if got := w.where(); !slices.Equal(got, want) {
			t.Errorf("runs %v, want %v", got, want)
		}
		if m := w.last("orders"); m.Compared != 100 {
			t.Errorf("%d records compared, want 100", m.Compared)
		}
		// Back again, where nothing of that ever was.
		w.Prod.Set(func() { w.Prod.Log("orders").Add(fakes.Records(200, 203)...) })
		w.DR.Set(func() { w.DR.Log("orders").Add(fakes.Records(200, 203)...) })
		w.edit("prod", "orders")
		fakes.Pass(time.Second)
		if p := w.lives("orders", "prod", 2).Partition(0); !p.Identity() {
			t.Errorf("back at home the runs are %v", w.where())
		}
	})
}

// TestDriftInTheHold: the replicator repeats itself, and ends a transaction, when clients are held
// already.
func TestDriftInTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		last := w.produce("orders")
		w.edit("dr", "orders")
		held := w.produce("orders")
		w.Prod.Grow("orders", 100, 103)
		w.DR.Set(func() {
			l := w.DR.Log("orders")
			l.Add(fakes.Records(97, 100)...)
			l.Batch(fakes.Shape{Producer: 9, InOne: true}, fakes.Records(100, 103)...)
			fakes.Marker(l)
		})
		last.answer()
		fakes.Pass(time.Second)
		held.answer()
		w.lives("orders", "dr", 1)
		want := []catalog.Run{{Virtual: 0, Physical: 25, Records: 100}, {Virtual: 100, Physical: 128, Records: 3}, {Virtual: 103, Physical: 132, Records: catalog.Open}}
		if got := w.where(); !slices.Equal(got, want) {
			t.Errorf("runs %v, want %v", got, want)
		}
	})
}

// TestAHomeThatDiesBeforeItsCopyThatHasDrifted: records stay at their offsets, what the copy has
// got since it was last compared comes behind, and its markers are not shown.
func TestAHomeThatDiesBeforeItsCopyThatHasDrifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := drifted(t)
		known, err := catalog.DistanceOf(catalog.Run{Virtual: 0, Physical: 0, Records: 60}, catalog.Run{Virtual: 60, Physical: 80, Records: 40}, catalog.Run{Virtual: 100, Physical: 120})
		if err != nil {
			t.Fatal(err)
		}
		err = w.Virtual.Update(t.Context(), "orders", func(n *catalog.Topic) error {
			n.Copies = map[string][16]byte{"dr": w.DR.Topology().Topics["orders"].ID}
			n.Partitions[0].SetCopy("dr", catalog.Alignment{Distance: known, To: 100})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		w.DR.Set(func() {
			w.DR.Log("orders").Batch(fakes.Shape{Producer: 9, InOne: true}, fakes.Records(100, 103)...)
			fakes.Marker(w.DR.Log("orders"))
		})
		w.Policy("orders", "always")
		w.Prod.Set(func() { w.Prod.Down = true })
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		p := w.lives("orders", "dr", 1).Partition(0)
		about := fact.Of(t, "runs %v", w.where())
		for v, at := range map[int64]int64{0: 0, 59: 59, 60: 80, 99: 119, 100: 121, 102: 123} {
			if got := p.ToPhysical(v); got != at {
				t.Errorf("virtual %d is physical %d, want %d", v, got, at)
			}
		}
		fact.Equal(about, "p.Segments[0].End", p.Segments[0].End, 103)
		fact.Equal(about, "p.Current().PhysicalStart", p.Current().PhysicalStart, 125)
		fact.True(about, "p.Distance.Skips(124)", p.Distance.Skips(124))
	})
}

// TestAMarkerAtTheEndOfACopyIsNoRecord when its home dies, although all records of the copy stand
// at one distance: the record that the home had in its place is lost. A replicator that keeps
// offsets has copied a marker of the home.
func TestAMarkerAtTheEndOfACopyIsNoRecord(t *testing.T) {
	for source, lost := range map[string]Range{"align": {"orders", 0, 98, 99}, "identity": {"orders", 0, 99, 99}} {
		t.Run(source, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.DR.Set(func() {
					w.DR.Topics["orders"].Logs[0] = &fakes.Log{}
					l := w.DR.Log("orders")
					l.Add(fakes.Records(0, 98)...)
					fakes.Marker(l)
				})
				w.Remember(map[string]int64{"dr": 0})
				w.Source("orders", source)
				w.Policy("orders", "always")
				if err := w.env.Catalog.Reserve(t.Context(), "orders", 0, 100); err != nil {
					t.Fatal(err)
				}
				w.Prod.Set(func() { w.Prod.Down = true })
				w.edit("dr", "orders")
				fakes.Pass(time.Second)
				w.lives("orders", "dr", 1)
				if got := w.last("orders").PossibleLoss; !slices.Equal(got, []Range{lost}) {
					t.Errorf("possible loss %v, want %v", got, lost)
				}
			})
		})
	}
}

// TestACopyThatLacksARecordIsRefused, although it has others twice, and as many in all.
func TestACopyThatLacksARecordIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.DR.Set(func() {
			w.DR.Topics["orders"].Logs[0] = &fakes.Log{}
			all := fakes.Records(0, 100)
			w.DR.Log("orders").Add(slices.Concat(all[:30], all[29:50], []kafka.Record{}, all[51:])...)
		})
		w.Prod.Groups["slow"] = map[int32]int64{0: 10}
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		m := w.last("orders")
		about := fact.Of(t, "%+v", m)
		fact.Equal(about, "m.Phase", m.Phase, Pending)
		fact.Equal(about, "m.Error", m.Error, `partition 0: the record at 50 on prod is not on dr, or not in its order: this is no exact copy (records were dropped, changed or reordered); furthest behind is group "slow" at offset 10`)
	})
}
