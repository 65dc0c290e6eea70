//go:build !waits

package chain

import (
	"context"
	"errors"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/plugin"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestAWalk goes down and up in order, and whoever has to wait continues from its place: with the
// request as it has found it.
func TestAWalk(t *testing.T) {
	oops := errors.New("oops")
	wait := func(log *notes, what string, resp *plugin.Response, err error) plugin.Outcome {
		return plugin.Wait(func(context.Context, plugin.Handler) (*plugin.Response, error) {
			log.add(what)
			return resp, err
		})
	}
	for name, c := range map[string]struct {
		change func(w *walk, a, b *walker)
		land   error
		waits  bool
		want   string
		err    error
		panics bool
	}{
		"nobody waits": {want: "av bv started b^ a^ done"},
		"the end panics": {
			change: func(w *walk, _, _ *walker) { w.end.panics = true },
			want:   "av bv started b^ a^ done", panics: true,
		},
		"the end fails": {land: oops, want: "av bv started b^ a^ done", err: oops},
		"the end has to be waited for": {
			change: func(w *walk, _, _ *walker) { w.end.indoors = true },
			waits:  true, want: "av bv handled b^ a^ done",
		},
		"the end asks again": {
			change: func(w *walk, _, _ *walker) { w.end.again = oops },
			land:   oops, want: "av bv started handled b^ a^ done",
		},
		"the second answers": {
			change: func(_ *walk, _, b *walker) {
				b.down = func(*plugin.Request, *plugin.Step) plugin.Outcome { return plugin.Answer(nil, oops) }
			},
			want: "av bv a^ done", err: oops,
		},
		"the second waits on the way down": {
			change: func(w *walk, _, b *walker) {
				b.down = func(*plugin.Request, *plugin.Step) plugin.Outcome { return wait(w.log, "b", nil, oops) }
			},
			waits: true, want: "av bv b a^ done", err: oops,
		},
		"the second waits on the way down and goes on": {
			change: func(_ *walk, _, b *walker) {
				b.down = func(req *plugin.Request, _ *plugin.Step) plugin.Outcome {
					return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) { return next.Handle(ctx, req) })
				}
			},
			waits: true, want: "av bv handled a^ done",
		},
		"both wait on the way up": {
			change: func(w *walk, a, b *walker) {
				b.up = func(*plugin.Request, *plugin.Response, error) plugin.Outcome { return wait(w.log, "b", nil, oops) }
				a.up = func(*plugin.Request, *plugin.Response, error) plugin.Outcome { return wait(w.log, "a", nil, oops) }
			},
			want: "av bv started b^ b a^ a done", err: oops,
		},
		"the first waits on the way up": {
			change: func(w *walk, a, _ *walker) {
				a.up = func(*plugin.Request, *plugin.Response, error) plugin.Outcome { return wait(w.log, "a", nil, oops) }
			},
			want: "av bv started b^ a^ a done", err: oops,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := &walker{name: "a"}, &walker{name: "b"}
				w := newWalk(t, a, b)
				if c.change != nil {
					c.change(w, a, b)
				}
				if waited := w.begin(t); waited != c.waits {
					t.Errorf("waited: %t", waited)
				}
				if len(w.end.flying) > 0 {
					w.end.land(&plugin.Response{}, c.land)
				}
				w.saw(t, c.want)
				var p *plugin.PanicError
				if errors.As(w.err, &p) != c.panics || !c.panics && !errors.Is(w.err, c.err) {
					t.Errorf("ended with %v, want %v", w.err, c.err)
				}
			})
		})
	}
}

// TestAWalkThatIsWoken ends at once, with one answer; what comes later is nobody's. One that goes
// on waiting is answered.
func TestAWalkThatIsWoken(t *testing.T) {
	for name, c := range map[string]struct {
		waker  giveUp
		landed bool // the answer is wanted
		err    error
		want   string
	}{
		"given up":                      {giveUp{yes: true}, false, plugin.ErrMoved, "av started a^ done"},
		"worth waiting for":             {giveUp{}, true, nil, "av started a^ done"},
		"outdated before it could wait": {giveUp{outdated: true}, false, nil, "av handled a^ done"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &walker{name: "a"}
				w := newWalk(t, a)
				a.down = func(req *plugin.Request, _ *plugin.Step) plugin.Outcome {
					req.Waker = c.waker
					return plugin.GoOn()
				}
				w.begin(t)
				if w.GivesUp() {
					w.Run()
				}
				if len(w.end.flying) > 0 {
					if landed := w.end.land(&plugin.Response{}, nil); landed != c.landed {
						t.Errorf("the answer is taken: %t", landed)
					}
				}
				w.saw(t, c.want)
				if !errors.Is(w.err, c.err) {
					t.Errorf("ended with %v, want %v", w.err, c.err)
				}
			})
		})
	}
}

// TestAWalkThatIsGivenUpWhileItStarts is answered by whoever starts it: until then its memory is
// being read.
func TestAWalkThatIsGivenUpWhileItStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &walker{name: "a"}
		w := newWalk(t, a)
		a.down = func(req *plugin.Request, _ *plugin.Step) plugin.Outcome {
			req.Waker = giveUp{yes: true}
			return plugin.GoOn()
		}
		w.end.meanwhile = func(started *Walk) {
			if started.GivesUp() {
				t.Error("it is taken from whoever starts it")
			}
		}
		if waited := w.begin(t); !waited {
			t.Error("it is not answered by whoever starts it")
		}
		w.saw(t, "av started a^ done")
		if !errors.Is(w.err, plugin.ErrMoved) {
			t.Errorf("ended with %v", w.err)
		}
		if w.end.land(&plugin.Response{}, nil) {
			t.Error("the answer that comes later is taken")
		}
	})
}

// TestAClientsNewestFetchIsAnsweredFirst when its topic has moved: others of it may be cut short by
// that.
func TestAClientsNewestFetchIsAnsweredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gates := gate.New(time.Minute)
		began := time.Now()
		var answered []string
		for _, name := range []string{"old", "new", "middle"} {
			a := &walker{name: name, down: func(req *plugin.Request, _ *plugin.Step) plugin.Outcome {
				req.Waker = giveUp{yes: true}
				return plugin.GoOn()
			}}
			w := newWalk(t, a)
			s := w.Req.Session
			s.Remote = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: len(answered) + 1000}
			w.Req.ClientID, w.Req.Arrived = "client", began.Add(map[string]time.Duration{"old": 1, "middle": 2, "new": 3}[name])
			a.up = func(_ *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
				answered = append(answered, name)
				return plugin.Answer(resp, err)
			}
			w.begin(t)
			gates.Readers.Note(s, "orders", 0, 0, began)
			s.GiveUp = func() []gate.GivenUp {
				if w.GivesUp() {
					return []gate.GivenUp{w.Walk}
				}
				return nil
			}
		}
		gates.Announce()
		synctest.Wait()
		if want := []string{"new", "middle", "old"}; !slices.Equal(answered, want) {
			t.Errorf("answered %v, want %v", answered, want)
		}
	})
}
