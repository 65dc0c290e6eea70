package failover

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestTheHistoryOutlivesTheGateway: what was done, and what was given up; what the end of the
// gateway cuts short begins anew.
func TestTheHistoryOutlivesTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "done", "given-up", "waits")
		for _, n := range []string{"given-up", "waits"} {
			w.Prod.Grow(n, 100, 105) // nobody copies them
		}
		w.edit("dr", "done", "given-up", "waits")
		fakes.Pass(time.Minute)
		w.edit("prod", "given-up")
		fakes.Pass(time.Minute)
		w.reopen()
		got := map[string]Phase{}
		for _, m := range w.runner.Moves() {
			got[m.Topic] = m.Phase
			if one, ok := w.runner.Move(m.ID); !ok || one.Topic != m.Topic {
				t.Errorf("%s is not found by its id: %+v", m.Topic, one)
			}
			if got, want := m.What(), (Movable{Topic, m.Topic}); got != want {
				t.Errorf("what moved is %+v, want %+v", got, want)
			}
		}
		if want := map[string]Phase{"done": Done, "given-up": Dropped}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", got, want)
		}
		if _, ok := w.runner.Move("none"); ok {
			t.Error("a move that is not there is found")
		}
	})
}

// TestMovesAreListedInTheirOrder, whichever ended first, and once.
func TestMovesAreListedInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "late", "soon")
		w.Prod.Grow("late", 100, 105)
		w.edit("dr", "late")
		fakes.Pass(time.Minute)
		w.edit("dr", "soon")
		fakes.Pass(time.Minute)
		topics := func() (out []string) {
			for _, m := range w.runner.Moves() {
				out = append(out, m.Topic)
			}
			return out
		}
		if got := topics(); !slices.Equal(got, []string{"late", "soon"}) {
			t.Errorf("while one is open: %q", got)
		}
		w.DR.Grow("late", 100, 105)
		fakes.Pass(time.Minute)
		if got := topics(); !slices.Equal(got, []string{"late", "soon"}) || len(w.runner.Pending()) != 0 {
			t.Errorf("when both have ended: %q", got)
		}
	})
}

// TestAMoveOfAnEarlierVersionIsOfATopic: it was stored without its kind.
func TestAMoveOfAnEarlierVersionIsOfATopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		old := map[string]any{"id": "20250101T000000.000-001", "topic": "orders", "phase": Done, "ended": time.Now()}
		if err := w.Catalog.SetValue(t.Context(), catalog.KindMove, "20250101T000000.000-001", old); err != nil {
			t.Fatal(err)
		}
		w.reopen()
		all := w.runner.Moves()
		if len(all) != 1 {
			t.Fatalf("%d moves, want 1", len(all))
		}
		if got, want := all[0].What(), (Movable{Topic, "orders"}); got != want {
			t.Errorf("what moved is %+v, want %+v", got, want)
		}
	})
}
