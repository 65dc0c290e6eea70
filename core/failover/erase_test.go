package failover

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestWhatIsDeletedStaysDeleted: clients have deleted up to 50. The copy, whose records stand 25
// later, is cut as well, or what it keeps is hidden once it is the home; retention at home hides
// what a copy keeps longer, and cuts nothing there.
func TestWhatIsDeletedStaysDeleted(t *testing.T) {
	for name, c := range map[string]struct {
		erased, retained int64 // what home begins with, by DeleteRecords and by retention
		keeps            int16 // what the copy refuses DeleteRecords with
		lags             bool  // the copy has little when it is deleted
		unplanned        bool
		starts, copied   int64 // of the virtual log after the move, and of the new home
		warned           bool
	}{
		"deleted":                      {erased: 50, starts: 50, copied: 75},
		"and the copy lags":            {erased: 50, lags: true, starts: 50, copied: 75},
		"and the copy keeps it":        {erased: 50, keeps: 44, starts: 50, warned: true},
		"and home is gone":             {erased: 50, unplanned: true, starts: 50, copied: 75},
		"home is gone, the copy keeps": {erased: 50, keeps: 44, unplanned: true, starts: 50, warned: true},
		"retention":                    {retained: 40, starts: 40},
		"retention, and home is gone":  {retained: 40, unplanned: true, starts: 40},
		"retention took more":          {erased: 50, retained: 60, starts: 60, copied: 75},
		"nothing":                      {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.DR.Set(func() { w.DR.Keeps = c.keeps })
				w.apply(Options{})
				fakes.Pass(11 * time.Second) // the distance is known
				full := *w.DR.Log("orders")
				if c.lags {
					w.DR.Set(func() { w.DR.Log("orders").End, w.DR.Log("orders").Batches = 45, w.DR.Log("orders").Batches[:2] })
				}
				if c.erased > 0 {
					if err := w.env.Catalog.Erase(t.Context(), w.env.Catalog.Topic("orders"), map[int32]int64{0: c.erased}); err != nil {
						t.Fatal(err)
					}
				}
				w.Prod.Set(func() { w.Prod.Log("orders").Start = max(c.erased, c.retained) })
				fakes.Pass(11 * time.Second)
				if c.lags {
					w.DR.Set(func() { w.DR.Log("orders").End, w.DR.Log("orders").Batches = full.End, full.Batches })
				}
				if c.unplanned {
					w.Prod.Set(func() { w.Prod.Down = true })
				}
				w.edit("dr", "orders")
				fakes.Pass(25 * time.Second)
				fakes.Pass(25 * time.Second)
				if got := w.lives("orders", "dr", 1).Partition(0).LogStart; got != c.starts {
					t.Errorf("the virtual log begins at %d, want %d", got, c.starts)
				}
				if got := w.DR.Log("orders").Start; got != c.copied {
					t.Errorf("the new home begins at %d, want %d", got, c.copied)
				}
				if got := w.Warnings.N.Load() > 0; got != c.warned {
					t.Errorf("warned: %t", got)
				}
			})
		})
	}
}
