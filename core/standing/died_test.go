package standing

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
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

func (w *world) known() catalog.Alignment {
	return w.Virtual.Topic("orders").Partition(0).Copies["dr"]
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
		about := fact.Of(t, "of dr is known %+v", w.known())
		fact.True(about, "Died", w.known().Died)
		fact.Equal(about, "Lost", w.known().Lost, 7)
		fact.Equal(about, "lag", w.lag(), 40)
		fact.Equal(about, "warnings", w.Warnings.N.Load(), 1)
		w.DR.Grow("orders", 60, 100)
		fakes.Pass(30 * time.Second)
		about = fact.Of(t, "of dr is known %+v", w.known())
		fact.True(about, "not Died", !w.known().Died)
		fact.Equal(about, "Lost", w.known().Lost, 7)
		fact.Equal(about, "To", w.known().To, 100)
		fact.Equal(about, "lag", w.lag(), 0)
		fact.Equal(about, "warnings", w.Warnings.N.Load(), 1)
		want := []catalog.Run{{Virtual: 0, Physical: 0, Records: 60}, {Virtual: 60, Physical: 67, Records: catalog.Open}}
		if got := slices.Collect(w.known().Distance.Runs()); !slices.Equal(got, want) {
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
		if a := w.known(); !a.Died {
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
