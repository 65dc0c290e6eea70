package failover

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWhatBlocksAMoveIsKept: the kind and the reason stay while the next attempt looks again, and
// are logged when they change, not with every number.
func TestWhatBlocksAMoveIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		hurt func(w *world)
		want Block
	}{
		"lag":        {func(w *world) { w.prod.grow("orders", 100, 107) }, ByLag},
		"no copy":    {func(w *world) { delete(w.dr.topics, "orders") }, ByCopy},
		"inexact":    {func(w *world) { w.dr.grow("orders", 500, 501) }, ByCopy},
		"settings":   {func(w *world) { w.dr.topics["orders"].configs["max.message.bytes"] = "9" }, BySettings},
		"partitions": {func(w *world) { w.dr.topic("orders", 3) }, BySettings},
		"rights":     {func(w *world) { w.dr.allowed = 1 << 3 }, ByRights},
		"mirror":     {func(w *world) { w.dr.refuses = 44 }, ByRights},
		"transactions": {func(w *world) {
			w.prod.log("orders").producers = append(w.prod.log("orders").producers, transaction(5, 90))
		}, ByTransactions},
		"cluster": {func(w *world) { w.dr.down = true }, ByCluster},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				c.hurt(w)
				w.edit("dr", "orders")
				pass(5 * time.Second)
				for i := range 60 {
					if name == "lag" {
						w.prod.grow("orders", 107+i, 108+i)
					}
					pass(time.Second)
					if m := w.last("orders"); m.BlockedBy != c.want || m.Error == "" {
						t.Fatalf("%s: blocked by %q, %q", m.Phase, m.BlockedBy, m.Error)
					}
				}
				if n := w.warnings.n.Load(); n != 1 {
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
		w.dr.set(func() { w.dr.refuses = 44 })
		w.edit("dr", "orders")
		pass(5 * time.Second)
		w.dr.set(func() { w.dr.refuses = 0 })
		pass(6 * time.Second)
		if m := w.last("orders"); m.Phase != Done || m.BlockedBy != "" || m.Error != "" {
			t.Errorf("%s, blocked by %q: %q", m.Phase, m.BlockedBy, m.Error)
		}
	})
}
