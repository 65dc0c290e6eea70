package standing

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestACopyThatDriftsIsFollowed: what is stored of it goes on from round to round, without what was
// looked at being read again, and it does not lag.
func TestACopyThatDriftsIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.DR.Set(func() {
			l := w.DR.Log("orders")
			l.Add(fakes.Records(90, 100)...)
			fakes.Marker(l)
		})
		w.apply()
		fakes.Pass(3 * time.Second)
		known := func() catalog.Alignment { return w.Virtual.Topic("orders").Partition(0).Copies["dr"] }
		if got := known(); got.From != 0 || got.To != 100 {
			t.Fatalf("aligned from %d to %d, want 0 to 100", got.From, got.To)
		}
		for i := range 3 {
			first := 100 + 10*i
			w.Prod.Set(func() { w.Prod.Log("orders").Add(fakes.Records(first, first+10)...) })
			w.DR.Set(func() {
				w.DR.Log("orders").Batch(fakes.Shape{Producer: 9, InOne: true}, fakes.Records(first, first+10)...)
				fakes.Marker(w.DR.Log("orders"))
			})
			fakes.Pass(10 * time.Second)
		}
		want := []catalog.Run{
			{Virtual: 0, Physical: 25, Records: 100}, {Virtual: 100, Physical: 136, Records: 10}, {Virtual: 110, Physical: 147, Records: 10},
			{Virtual: 120, Physical: 158, Records: catalog.Open},
		}
		if got := slices.Collect(known().Distance.Runs()); !slices.Equal(got, want) {
			t.Errorf("runs %v, want %v", got, want)
		}
		if got := known().To; got != 130 {
			t.Errorf("aligned up to %d, want 130", got)
		}
		topics := w.watch.Survey(t.Context(), w.env, []*catalog.Topic{w.Virtual.Topic("orders")}, true)
		if got := topics[0].Copies[0].Partitions[0].Lag; got != 0 {
			t.Errorf("it lags by %d", got)
		}
	})
}
