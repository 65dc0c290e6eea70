package failover

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheHistoryOutlivesTheGateway: what was done, and what was given up; what the end of the
// gateway cuts short begins anew.
func TestTheHistoryOutlivesTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "done", "given-up", "waits")
		for _, n := range []string{"given-up", "waits"} {
			w.prod.grow(n, 100, 105) // nobody copies them
		}
		w.edit("dr", "done", "given-up", "waits")
		pass(time.Minute)
		w.edit("prod", "given-up")
		pass(time.Minute)
		w.reopen()
		got := map[string]Phase{}
		for _, m := range w.runner.Moves() {
			got[m.Topic] = m.Phase
			if one, ok := w.runner.Move(m.ID); !ok || one.Topic != m.Topic {
				t.Errorf("%s is not found by its id: %+v", m.Topic, one)
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
		w.prod.grow("late", 100, 105)
		w.edit("dr", "late")
		pass(time.Minute)
		w.edit("dr", "soon")
		pass(time.Minute)
		topics := func() (out []string) {
			for _, m := range w.runner.Moves() {
				out = append(out, m.Topic)
			}
			return out
		}
		if got := topics(); !slices.Equal(got, []string{"late", "soon"}) {
			t.Errorf("while one is open: %q", got)
		}
		w.dr.grow("late", 100, 105)
		pass(time.Minute)
		if got := topics(); !slices.Equal(got, []string{"late", "soon"}) || len(w.runner.Pending()) != 0 {
			t.Errorf("when both have ended: %q", got)
		}
	})
}
