package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

var three = []string{"a", "b", "c"}

// together edits topics whose moves commit in one write or not at all.
func (w *world) together(cluster string, topics ...string) {
	w.T.Helper()
	w.Place(cluster, topics...)
	w.apply(Options{Edited: Topics(func(t string) bool { return slices.Contains(topics, t) }), Atomic: true})
}

// TestAllCommitInOneWrite and all hold until the slowest is ready.
func TestAllCommitInOneWrite(t *testing.T) {
	for name, edit := range map[string]func(w *world){
		"asked for":  func(w *world) { w.together("dr", three...) },
		"configured": func(w *world) { w.Config.Atomic = true; w.edit("dr", three...) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, three...)
				w.Config.Concurrent = 1 // does not part them
				slow := w.produce("b")
				before := len(w.Store.Entries)
				edit(w)
				fakes.Pass(2 * time.Second)
				for _, n := range three {
					if m := w.last(n); m.Phase != Hold && m.Phase != Prepare || !w.env.Gates.Gate(n).Held() {
						t.Errorf("%s: %s", n, m.Phase)
					}
				}
				slow.answer()
				fakes.Pass(time.Second)
				// One write has the three topics, then what belongs to each.
				written := w.Store.Entries[before:]
				var topics, kinds []string
				written = slices.DeleteFunc(slices.Clone(written), func(e catalog.Entry) bool { return e.Kind == catalog.KindPartition })
				i := slices.IndexFunc(written, func(e catalog.Entry) bool { return e.Kind == catalog.KindMemory })
				for _, e := range written[i-3 : i+6] {
					topics, kinds = append(topics, strings.TrimPrefix(e.Key, "vc\x00")), append(kinds, e.Kind)
				}
				slices.Sort(topics[:3])
				about := fact.Of(t, "written: %q, %q", kinds, topics)
				fact.List(about, "topics[:3]", topics[:3], three)
				fact.Equal(about, "kinds[0]", kinds[0], catalog.KindTopic)
				fact.Equal(about, "kinds[5]", kinds[5], catalog.KindMemory)
				fact.Equal(about, "kinds[7]", kinds[7], catalog.KindMemory)
				for _, n := range three {
					if m := w.last(n); m.Phase != Done || m.Attempts != 1 {
						t.Errorf("%s: %s, %q", n, m.Phase, m.Error)
					}
					w.lives(n, "dr", 1)
				}
			})
		})
	}
}

// TestOneRefusedAllRefused: whatever hinders one of them hinders all, in every phase before the
// commit, and nobody stays held. When it is over, all move.
func TestOneRefusedAllRefused(t *testing.T) {
	for name, c := range map[string]struct {
		hinder func(w *world) (end func())
		held   bool
	}{
		"pre-check": {func(w *world) func() {
			w.DR.Topics["b"].Configs["max.message.bytes"] = "1"
			return func() { w.DR.Set(func() { w.DR.Topics["b"].Configs["max.message.bytes"] = "1048588" }) }
		}, false},
		"hold": {func(w *world) func() { return w.produce("b").answer }, true},
		"commit": {func(w *world) func() {
			w.Store.Set(errors.New("disk full"), nil)
			return func() { w.Store.Set(nil, nil) }
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, three...)
				end := c.hinder(w)
				w.together("dr", three...)
				fakes.Pass(25 * time.Second)
				for _, n := range three {
					m := w.last(n)
					about := fact.Of(t, "%s: %s after %d attempts, %v", n, m.Phase, m.Attempts, steps(m))
					fact.Other(about, "m.Phase", m.Phase, Done)
					fact.AtLeast(about, "m.Attempts", m.Attempts, 2)
					fact.Equal(about, "slices.Contains(steps(m), Hold)", slices.Contains(steps(m), Hold), c.held)
					fact.False(about, "slices.Contains(steps(m), Drain)", slices.Contains(steps(m), Drain))
					if n != "b" && name != "commit" && !strings.Contains(m.Error, "it moves together with b") && m.Phase == Pending {
						t.Errorf("%s: %q", n, m.Error)
					}
					if got := w.env.Catalog.Topic(n); got.Home != "prod" {
						t.Errorf("%s lives on %s", n, got.Home)
					}
				}
				end()
				fakes.Pass(20 * time.Second)
				for _, n := range three {
					w.lives(n, "dr", 1)
				}
			})
		})
	}
}

// TestTheOthersGoOnWithoutOne that a newer edit has taken away, wherever they stand.
func TestTheOthersGoOnWithoutOne(t *testing.T) {
	for _, to := range []string{"prod", "", "dr"} {
		for _, after := range []time.Duration{time.Millisecond, 12 * time.Second, 30 * time.Second} {
			t.Run(fmt.Sprint(to, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, three...)
					p := w.produce("b")
					w.together("dr", three...)
					fakes.Pass(after)
					w.edit(to, "b")
					fakes.Pass(15 * time.Second)
					w.lives("a", "dr", 1)
					w.lives("c", "dr", 1)
					p.answer()
					fakes.Pass(15 * time.Second)
					home, generation := "prod", int32(0)
					if to == "dr" {
						home, generation = "dr", 1
					}
					w.lives("b", home, generation)
				})
			})
		}
	}
}

// TestCloseEndsAGroup: nobody waits for a member that has stopped.
func TestCloseEndsAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, three...)
		w.produce("b")
		w.together("dr", three...)
		fakes.Pass(time.Second)
		if err := w.runner.Close(); err != nil {
			t.Error(err)
		}
		for _, n := range three {
			w.lives(n, "prod", 0)
		}
	})
}

// TestSlots bound those that are taken at once, also while the bound changes.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		if err := s.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		taken := make(chan struct{}, 3)
		for range 3 {
			go func() {
				if s.take(t.Context()) == nil {
					taken <- struct{}{}
				}
			}()
		}
		for i, c := range []struct {
			change func()
			want   int
		}{{func() {}, 0}, {func() { s.resize(3) }, 2}, {s.give, 3}, {func() { s.resize(1) }, 3}} {
			c.change()
			synctest.Wait()
			if len(taken) != c.want {
				t.Errorf("step %d: %d taken, want %d", i, len(taken), c.want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.take(ctx); err == nil {
			t.Error("taken after the end")
		}
	})
}

// TestASlotGoesToWhoWaitsLongest, and to the next one if that has given up.
func TestASlotGoesToWhoWaitsLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		_ = s.take(t.Context())
		ctx, giveUp := context.WithCancel(t.Context())
		var order []int
		for i, ctx := range []context.Context{t.Context(), ctx, t.Context()} {
			go func() {
				if s.take(ctx) == nil {
					order = append(order, i)
				}
			}()
			synctest.Wait()
		}
		giveUp()
		synctest.Wait()
		for range 2 {
			s.give()
			synctest.Wait()
		}
		if !slices.Equal(order, []int{0, 2}) {
			t.Errorf("slots go to %v", order)
		}
		if s.give(); s.taken != 0 {
			t.Errorf("%d are taken in the end", s.taken)
		}
	})
}

// TestAHoldWaitsForACalmMoment: while produces in flight are answered slowly nobody is held, but
// not for ever, since a home that ails is a reason to leave it.
func TestAHoldWaitsForACalmMoment(t *testing.T) {
	for name, c := range map[string]struct {
		answers time.Duration
		hold    time.Duration // when it begins
	}{"calm": {0, 0}, "slow": {1500 * time.Millisecond, 1500 * time.Millisecond}, "ailing": {5 * time.Second, 3 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "orders")
				w.Config.Calm = 3 * time.Second
				p := w.produce("orders")
				began := time.Now()
				go func() {
					time.Sleep(c.answers)
					turn.Give(p.req.Turn())
					p.pass.Leave()
				}()
				w.edit("dr", "orders")
				fakes.Pass(10 * time.Second)
				m := w.last("orders")
				at := slices.IndexFunc(m.Steps, func(s Step) bool { return s.Phase == Hold })
				if m.Phase != Done || m.Steps[at].At.Sub(began) != c.hold {
					t.Errorf("%s, held from %s on, want %s", m.Phase, m.Steps[at].At.Sub(began), c.hold)
				}
			})
		})
	}
}

// TestASlowMemberOfAGroupKeepsUp: one is refused often while the pre-check of the other takes a
// minute.
func TestASlowMemberOfAGroupKeepsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b")
		w.Prod.Set(func() {
			w.Prod.Before = func(req kmsg.Request) {
				if r, ok := req.(*kmsg.DescribeConfigsRequest); ok && r.Resources[0].ResourceName == "b" {
					time.Sleep(time.Minute)
				}
			}
		})
		logs := w.DR.Topics["a"].Logs
		w.DR.Set(func() { w.DR.Topics["a"].Logs = append(logs[:1:1], &fakes.Log{}) })
		w.together("dr", "a", "b")
		fakes.Pass(20 * time.Minute)
		w.DR.Set(func() { w.DR.Topics["a"].Logs = logs })
		fakes.Pass(3 * time.Minute)
		for _, n := range []string{"a", "b"} {
			if m := w.last(n); m.Phase != Done {
				t.Errorf("%s after %d attempts: %s, %q", n, m.Attempts, m.Phase, m.Error)
			}
		}
	})
}
