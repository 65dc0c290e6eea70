package failover

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestARestartWhileAMoveWaits forgets nothing of what was asked for: a home that was gone when it
// was to be left is given up all the same, and waited for as long as by a gateway that was not
// restarted; who has given it up has done so; and what is to move together does.
func TestARestartWhileAMoveWaits(t *testing.T) {
	t.Run("a home that is gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := dead(t, "if-unreachable")
			w.Place("dr", "orders")
			w.apply(Options{Edited: func(Movable) bool { return true }, By: "mira"})
			fakes.Pass(3 * time.Second)
			w.reopen()
			w.apply(Options{})
			fakes.Pass(9900 * time.Millisecond)
			if m := w.last("orders"); m.Phase != Check {
				t.Errorf("9.9 s after the restart: %s, %q", m.Phase, m.Error)
			}
			fakes.Pass(2 * time.Second)
			m := w.last("orders")
			about := fact.Of(t, "%+v", m)
			fact.Equal(about, "m.Phase", m.Phase, Done)
			fact.False(about, "m.Planned", m.Planned)
			fact.Equal(about, "m.By", m.By, "mira")
			w.lives("orders", "dr", 1)
		})
	})
	t.Run("a home that was given up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := dead(t, "never")
			w.DR.Set(func() { w.DR.Down = true })
			w.Place("dr", "orders")
			w.apply(Options{Edited: func(Movable) bool { return true }, Unplanned: true})
			fakes.Pass(3 * time.Second)
			w.reopen()
			w.apply(Options{})
			w.DR.Set(func() { w.DR.Down = false })
			fakes.Pass(7 * time.Second)
			if m := w.last("orders"); m.Phase != Done || m.Planned {
				t.Errorf("%s, planned %t, %q", m.Phase, m.Planned, m.Error)
			}
		})
	})
	t.Run("together", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, three...)
			w.DR.Topics["b"].Configs["max.message.bytes"] = "1"
			w.together("dr", three...)
			fakes.Pass(3 * time.Second)
			w.reopen()
			w.apply(Options{})
			fakes.Pass(20 * time.Second)
			for _, n := range three {
				w.lives(n, "prod", 0)
			}
			w.DR.Set(func() { w.DR.Topics["b"].Configs["max.message.bytes"] = "1048588" })
			fakes.Pass(20 * time.Second)
			for _, n := range three {
				w.lives(n, "dr", 1)
			}
		})
	})
}

// TestNothingIsLeftOfAnOrder whose move has ended, be it done or not.
func TestNothingIsLeftOfAnOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, three...)
		w.DR.Topics["b"].Configs["max.message.bytes"] = "1"
		w.edit("dr", three...)
		fakes.Pass(5 * time.Second)
		if left := w.Catalog.Keys(catalog.KindEdit); len(left) != 1 {
			t.Errorf("while one waits: %q", left)
		}
		w.edit("prod", "b")
		fakes.Pass(5 * time.Second)
		if left := w.Catalog.Keys(catalog.KindEdit); len(left) != 0 {
			t.Errorf("in the end: %q", left)
		}
	})
}
