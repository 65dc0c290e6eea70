package failover

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/fence"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// hook is who is asked for fences.
type hook struct {
	mu     sync.Mutex
	calls  []fence.Call
	answer func(ctx context.Context, c fence.Call) error
}

func (h *hook) Ask(ctx context.Context, c fence.Call) error {
	h.mu.Lock()
	h.calls = append(h.calls, c)
	answer := h.answer
	h.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(ctx, c)
}

// asked are the calls, as "action cluster"; their numbers rise.
func (h *hook) asked(t *testing.T) (out []string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	last := int64(0)
	for _, c := range h.calls {
		fact.Above(fact.Of(t, "calls %+v", h.calls), "number", c.Number, last)
		last = c.Number
		out = append(out, string(c.Action)+" "+c.Cluster)
	}
	return out
}

func (h *hook) answers(f func(ctx context.Context, c fence.Call) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = f
}

// fenced is a world with a hook.
func fenced(t *testing.T) (*world, *hook) {
	t.Helper()
	w, h := newWorld(t, "orders"), &hook{}
	w.env.Fence = h
	return w, h
}

// lift lifts what is due, and waits for it.
func (w *world) lift() {
	w.runner.Lift(w.env)
	synctest.Wait()
}

// standing is how many fences there are on each cluster, as "cluster" or "cluster to lift".
func (w *world) standing() (out []string) {
	standing, lifting := w.runner.Fences("vc", w.Virtual)
	for c := range standing {
		out = append(out, c)
	}
	for c := range lifting {
		out = append(out, c+" to lift")
	}
	slices.Sort(out)
	return out
}

// TestWhatIsWrittenUpToTheFenceIsTaken: somebody past the gateway writes until the fence stands,
// and what that is comes late to the copy. The fence stays where the topic has left, and is lifted
// where it comes back to.
func TestWhatIsWrittenUpToTheFenceIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := fenced(t)
		h.answers(func(_ context.Context, c fence.Call) error {
			if c.Action == fence.Raise && c.Cluster == "prod" {
				w.Prod.Grow("orders", 100, 120)
				time.AfterFunc(300*time.Millisecond, func() { w.DR.Grow("orders", 100, 120) })
			}
			return nil
		})
		w.edit("dr", "orders")
		fakes.Pass(3 * time.Second)
		m := w.last("orders")
		about := fact.Of(t, "move %+v", m)
		fact.List(about, "phases", steps(m), []Phase{Pending, Check, Hold, Fence, Prepare, Commit, Drain, Publish, Done})
		s := w.lives("orders", "dr", 1).Partition(0).Current()
		fact.Equal(about, "start", s.Start, 120)
		fact.Equal(about, "physical start", s.PhysicalStart, 145)
		c := h.calls[0]
		fact.Deep(fact.Of(t, "call"), "call", c, fence.Call{
			Action: fence.Raise, Number: c.Number, VirtualCluster: "vc", Topic: "orders", Cluster: "prod", ClusterTopic: "orders", Move: m.ID, To: "dr", Planned: true,
		})
		w.lift()
		fact.List(about, "asked", h.asked(t), []string{"fence prod"})
		fact.List(about, "standing", w.standing(), []string{"prod"})
		w.edit("prod", "orders")
		fakes.Pass(3 * time.Second)
		w.lives("orders", "prod", 2)
		fact.List(about, "standing", w.standing(), []string{"dr", "prod to lift"})
		w.lift()
		fact.List(about, "asked", h.asked(t), []string{"fence prod", "fence dr", "unfence prod"})
		fact.List(about, "standing", w.standing(), []string{"dr"})
	})
}

// TestWithoutAFenceAPlannedMoveWaits: it is given up before the commit, clients go on at the old
// home, and the fence, which may stand all the same, is lifted.
func TestWithoutAFenceAPlannedMoveWaits(t *testing.T) {
	for name, answer := range map[string]func(ctx context.Context, c fence.Call) error{
		"refused": func(context.Context, fence.Call) error { return errors.New("not now") },
		"hangs":   func(ctx context.Context, _ fence.Call) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, h := fenced(t)
				h.answers(func(ctx context.Context, c fence.Call) error {
					if c.Action == fence.Lift {
						return nil
					}
					return answer(ctx, c)
				})
				w.edit("dr", "orders")
				fakes.Pass(10100 * time.Millisecond) // failover.hold at most
				p := w.produce("orders")
				m := w.last("orders")
				about := fact.Of(t, "move %+v", m)
				fact.Has(about, m.Error, "prod is not fenced: ")
				fact.Equal(about, "blocked by", m.BlockedBy, block.ByFence)
				fact.Equal(about, "phase", m.Phase, Pending)
				fact.True(about, "a produce passes", p.in())
				p.answer()
				w.lives("orders", "prod", 0)
				h.mu.Lock()
				h.calls = nil
				h.mu.Unlock()
				w.lift()
				fact.List(about, "asked", h.asked(t), []string{"unfence prod"})
				fact.List(about, "standing", w.standing(), nil)
				h.answers(nil)
				fakes.Pass(10 * time.Second)
				w.lives("orders", "dr", 1)
				fact.List(about, "standing", w.standing(), []string{"prod"})
			})
		})
	}
}

// TestAHomeThatIsGoneIsFencedIfItCanBe: the move does not depend on it, and says so.
func TestAHomeThatIsGoneIsFencedIfItCanBe(t *testing.T) {
	for name, refusal := range map[string]error{"fenced": nil, "refused": errors.New("not now")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, h := dead(t, "if-unreachable"), &hook{}
				w.env.Fence = h
				h.answers(func(context.Context, fence.Call) error { return refusal })
				w.edit("dr", "orders")
				fakes.Pass(11 * time.Second)
				m := w.last("orders")
				about := fact.Of(t, "move %+v", m)
				fact.Equal(about, "phase", m.Phase, Done)
				fact.Equal(about, "told of it", strings.Contains(strings.Join(m.Notes, " "), "prod is not fenced: not now"), refusal != nil)
				fact.False(about, "the call says planned", h.calls[0].Planned)
				w.lift()
				fact.List(about, "asked", h.asked(t), []string{"fence prod"})
			})
		})
	}
}

// TestAFenceOutlivesTheGateway: one that was raised for a move that the gateway did not live to
// commit is lifted by the next one, whether the move goes on or was taken back meanwhile.
func TestAFenceOutlivesTheGateway(t *testing.T) {
	for name, to := range map[string]string{"goes on": "dr", "taken back": "prod"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, h := fenced(t)
				h.answers(func(ctx context.Context, _ fence.Call) error { <-ctx.Done(); return ctx.Err() })
				w.edit("dr", "orders")
				fakes.Pass(time.Second)
				fact.Equal(fact.Must(t, "move"), "phase", w.last("orders").Phase, Fence)
				w.reopen()
				h.answers(nil)
				w.env.Fence = h
				about := fact.Of(t, "after the restart")
				fact.List(about, "standing", w.standing(), []string{"prod to lift"})
				w.lift()
				fact.List(about, "asked", h.asked(t), []string{"fence prod", "unfence prod"})
				fact.List(about, "standing", w.standing(), nil)
				w.edit(to, "orders")
				fakes.Pass(3 * time.Second)
				if to == "dr" {
					w.lives("orders", "dr", 1)
					fact.List(about, "asked", h.asked(t), []string{"fence prod", "unfence prod", "fence prod"})
				} else {
					w.lives("orders", "prod", 0)
				}
				w.reopen()
				fact.Equal(about, "fences", len(w.standing()), len(w.Catalog.Keys(catalog.KindFence)))
				fact.Equal(about, "fence of the old home", len(w.standing()) == 1, to == "dr")
			})
		})
	}
}

// TestAFenceThatIsNotLiftedIsTriedAgain, ever more seldom, and a move does not overtake it: nobody
// is held before the answer is there.
func TestAFenceThatIsNotLiftedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := fenced(t)
		h.answers(func(context.Context, fence.Call) error { return errors.New("not now") })
		w.edit("dr", "orders")
		fakes.Pass(100 * time.Millisecond)
		w.edit("prod", "orders") // taken back
		fakes.Pass(100 * time.Millisecond)
		h.calls = nil
		for range 300 {
			w.lift()
			fakes.Pass(time.Second)
		}
		about := fact.Of(t, "lifting for five minutes")
		n := len(h.asked(t))
		fact.AtLeast(about, "calls", n, 9)
		fact.AtMost(about, "calls", n, 11)
		fact.List(about, "standing", w.standing(), []string{"prod to lift"})
		fakes.Pass(time.Minute)
		h.calls = nil
		h.answers(func(_ context.Context, c fence.Call) error {
			if c.Action == fence.Lift {
				time.Sleep(2 * time.Second)
			}
			return nil
		})
		w.lift()
		w.edit("dr", "orders")
		fakes.Pass(time.Second)
		p := w.produce("orders")
		fact.True(about, "a produce passes", p.in())
		p.answer()
		fakes.Pass(3 * time.Second)
		w.lives("orders", "dr", 1)
		fact.List(about, "asked", h.asked(t), []string{"unfence prod", "fence prod"})
		fact.List(about, "standing", w.standing(), []string{"prod"})
	})
}

// TestNoFenceIsAskedForThatCouldBeForgotten: it is stored first.
func TestNoFenceIsAskedForThatCouldBeForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := fenced(t)
		w.Store.Set(errors.New("disk full"), nil)
		w.edit("dr", "orders")
		fakes.Pass(3 * time.Second)
		fact.Has(fact.Of(t, "move"), w.last("orders").Error, "disk full")
		fact.List(fact.Of(t, "hook"), "asked", h.asked(t), nil)
		w.Store.Set(nil, nil)
		fakes.Pass(10 * time.Second)
		w.lives("orders", "dr", 1)
	})
}

// TestNobodyLiftsTheFenceOfAMove that is at it, which is asked for while it is asked for.
func TestNobodyLiftsTheFenceOfAMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := fenced(t)
		h.answers(func(context.Context, fence.Call) error { time.Sleep(3 * time.Second); return nil })
		w.edit("dr", "orders")
		for range 5 {
			fakes.Pass(500 * time.Millisecond)
			w.lift()
		}
		fact.Equal(fact.Must(t, "move"), "phase", w.last("orders").Phase, Fence)
		fact.List(fact.Of(t, "hook"), "asked", h.asked(t), []string{"fence prod"})
		fakes.Pass(3 * time.Second)
		w.lives("orders", "dr", 1)
	})
}

// TestNumbersRiseForEver: they go on behind those of a gateway whose clock was ahead; and a topic
// that is gone leaves no fence behind.
func TestNumbersRiseForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := fenced(t)
		ahead := time.Now().Add(time.Hour).UnixMicro()
		c := fence.Call{Action: fence.Raise, Number: ahead, VirtualCluster: "vc", Topic: "gone", Cluster: "dr"}
		fact.NoError(fact.Must(t, "store"), w.Catalog.SetValue(t.Context(), catalog.KindFence, at(c).key(), c))
		w.reopen()
		w.env.Fence = h
		w.lift()
		fact.List(fact.Must(t, "hook"), "asked", h.asked(t), []string{"unfence dr"})
		fact.Equal(fact.Of(t, "call"), "number", h.calls[0].Number, ahead+1)
	})
}
