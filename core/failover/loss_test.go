package failover

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestLossesStandUntilTheyAreAcknowledged: also when other moves have ended since, and after a
// restart.
func TestLossesStandUntilTheyAreAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		for _, n := range []string{"a", "b"} {
			err := w.env.Catalog.Update(t.Context(), n, func(x *catalog.Topic) error {
				x.Partitions[0].SetDelta("dr", 25)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.env.Catalog.Reserve(t.Context(), n, 0, 107); err != nil {
				t.Fatal(err)
			}
		}
		w.Prod.Set(func() { w.Prod.Down = true })
		w.Place("dr", "a", "b")
		w.apply(Options{Edited: Topics(func(n string) bool { return n != "c" }), Unplanned: true})
		fakes.Pass(5 * time.Second)
		w.Prod.Set(func() { w.Prod.Down = false })
		w.edit("dr", "c")
		fakes.Pass(5 * time.Second)
		var ids []string
		stand := func() (n int64) {
			ids = nil
			for _, m := range w.runner.Moves() {
				if m.Stands() {
					ids = append(ids, m.ID)
					n += m.Lost()
				}
			}
			return n
		}
		if n := stand(); n != 14 || len(ids) != 2 || w.last("c").Phase != Done {
			t.Fatalf("%d records of %d moves stand", n, len(ids))
		}
		if _, err := w.runner.Acknowledge(t.Context(), "eve", ids[0], "nobody"); !errors.Is(err, ErrNoLoss) {
			t.Errorf("an unknown move: %v", err)
		}
		if n := stand(); n != 14 {
			t.Errorf("%d records stand after a refused call", n)
		}
		first := ids[0]
		out, err := w.runner.Acknowledge(t.Context(), "ann", first)
		if err != nil || len(out) != 1 || out[0].Acknowledged.By != "ann" {
			t.Fatalf("%+v %v", out, err)
		}
		if _, err := w.runner.Acknowledge(t.Context(), "bob", first); !errors.Is(err, ErrNoLoss) {
			t.Errorf("twice: %v", err)
		}
		w.reopen()
		if n := stand(); n != 7 || slices.Contains(ids, first) {
			t.Errorf("%d records stand after a restart", n)
		}
	})
}

// TestOldMovesAreForgottenButForTheirLosses: what nobody has acknowledged is not pushed out by
// later moves.
func TestOldMovesAreForgottenButForTheirLosses(t *testing.T) {
	r := &Runner{}
	for i := range keepMoves + 3 {
		m := Report{ID: fmt.Sprint(i), Phase: Done}
		if i < 2 {
			m.PossibleLoss = []Range{{"orders", 0, 5, 9}}
		}
		r.past = append(r.past, m)
	}
	forget := r.old()
	about := fact.Of(t, "%d are kept, from %s on; forgotten: %+v", len(r.past), r.past[0].ID, forget)
	if fact.Equal(about, "len(r.past)", len(r.past), keepMoves) {
		fact.Equal(about, "r.past[0].ID", r.past[0].ID, "0")
		fact.Equal(about, "r.past[1].ID", r.past[1].ID, "1")
		if fact.Equal(about, "len(forget)", len(forget), 3) {
			fact.Equal(about, "forget[0].ID", forget[0].ID, "2")
		}
	}
}
