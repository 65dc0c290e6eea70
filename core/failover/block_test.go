package failover

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestWhatBlocksAMoveIsKept: the kind and the reason stay while the next attempt looks again, and
// are logged when they change, not with every number.
func TestWhatBlocksAMoveIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		hurt func(w *world)
		want block.Kind
	}{
		"lag":        {func(w *world) { w.Prod.Grow("orders", 100, 107) }, block.ByLag},
		"no copy":    {func(w *world) { delete(w.DR.Topics, "orders") }, block.ByCopy},
		"inexact":    {func(w *world) { w.DR.Grow("orders", 500, 501) }, block.ByCopy},
		"settings":   {func(w *world) { w.DR.Topics["orders"].Configs["max.message.bytes"] = "9" }, block.BySettings},
		"partitions": {func(w *world) { w.DR.Topic("orders", 3) }, block.BySettings},
		"rights":     {func(w *world) { w.DR.Allowed = 1 << 3 }, block.ByRights},
		"mirror":     {func(w *world) { w.DR.Refuses = 44 }, block.ByRights},
		"transactions": {func(w *world) {
			w.Prod.Log("orders").Producers = append(w.Prod.Log("orders").Producers, transaction(5, 90))
		}, block.ByTransactions},
		"cluster": {func(w *world) { w.DR.Down = true }, block.ByCluster},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				c.hurt(w)
				w.edit("dr", "orders")
				fakes.Pass(5 * time.Second)
				for i := range 60 {
					if name == "lag" {
						w.Prod.Grow("orders", 107+i, 108+i)
					}
					fakes.Pass(time.Second)
					if m := w.last("orders"); m.BlockedBy != c.want || m.Error == "" {
						t.Fatalf("%s: blocked by %q, %q", m.Phase, m.BlockedBy, m.Error)
					}
				}
				if n := w.Warnings.N.Load(); n != 1 {
					t.Errorf("%d warnings in a minute", n)
				}
			})
		})
	}
}

// TestAMoveThatIsDoneIsBlockedByNothing, whatever it was refused for before.
func TestAMoveThatIsDoneIsBlockedByNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		w.DR.Set(func() { w.DR.Refuses = 44 })
		w.edit("dr", "orders")
		fakes.Pass(5 * time.Second)
		w.DR.Set(func() { w.DR.Refuses = 0 })
		fakes.Pass(6 * time.Second)
		if m := w.last("orders"); m.Phase != Done || m.BlockedBy != "" || m.Error != "" {
			t.Errorf("%s, blocked by %q: %q", m.Phase, m.BlockedBy, m.Error)
		}
	})
}
