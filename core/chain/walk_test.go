package chain

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// walker is a Stepper that notes what it sees, and does what a test says.
type walker struct {
	name string
	log  *notes
	down func(req *plugin.Request, s *plugin.Step) plugin.Outcome
	up   func(req *plugin.Request, resp *plugin.Response, err error) plugin.Outcome
}

// notes are what happened, in order.
type notes struct {
	mu   sync.Mutex
	list []string
}

func (n *notes) add(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, what)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.list, " ")
}

func (*walker) Keys() kafka.KeySet { return kafka.NewKeySet(kmsg.Heartbeat) }

func (w *walker) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return plugin.InSteps(ctx, w, req, next)
}

func (w *walker) Down(_ context.Context, req *plugin.Request, s *plugin.Step) plugin.Outcome {
	w.log.add(w.name + "v")
	if w.down != nil {
		return w.down(req, s)
	}
	return plugin.GoOn()
}

func (w *walker) Up(_ context.Context, req *plugin.Request, _ *plugin.Step, resp *plugin.Response, err error) plugin.Outcome {
	w.log.add(w.name + "^")
	if w.up != nil {
		return w.up(req, resp, err)
	}
	return plugin.Answer(resp, err)
}

// farEnd is an end whose answers come when a test says so.
type farEnd struct {
	log     *notes
	indoors bool // it has to be waited for
	panics  bool
	// meanwhile happens while a request is being started.
	meanwhile func(*Walk)
	flying    []*Walk
	again     error // is asked again
}

func (e *farEnd) Handle(context.Context, *plugin.Request) (*plugin.Response, error) {
	e.log.add("handled")
	return &plugin.Response{}, nil
}

func (e *farEnd) Start(_ context.Context, _ *plugin.Request, w *Walk) bool {
	if e.indoors {
		return false
	}
	e.log.add("started")
	if e.panics {
		panic("start")
	}
	if e.meanwhile != nil {
		e.meanwhile(w)
	}
	e.flying = append(e.flying, w)
	return true
}

func (e *farEnd) Again(req *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
	if e.again != nil && errors.Is(err, e.again) {
		return plugin.Wait(func(ctx context.Context, _ plugin.Handler) (*plugin.Response, error) { return e.Handle(ctx, req) })
	}
	return plugin.Answer(resp, err)
}

// land answers the oldest request that was started, and reports whether somebody waits for it.
func (e *farEnd) land(resp *plugin.Response, err error) bool {
	w := e.flying[0]
	e.flying = e.flying[1:]
	if !w.Take() {
		return false
	}
	w.Answered(resp, err)
	return true
}

// walk is a request through walkers to a farEnd.
type walk struct {
	*Walk
	end  *farEnd
	log  *notes
	resp *plugin.Response
	err  error
	done int
}

func newWalk(t *testing.T, walkers ...*walker) *walk {
	t.Helper()
	w := &walk{log: &notes{}}
	w.end = &farEnd{log: w.log}
	var members []Named
	for _, x := range walkers {
		x.log = w.log
		members = append(members, Named{Name: x.name, Interceptor: x})
	}
	chain, err := New(members, w.end, "")
	if err != nil {
		t.Fatal(err)
	}
	w.Walk = chain.Walk(kmsg.Heartbeat)
	w.Req.Session = plugin.NewSession(t.Context(), 1, nil, nil)
	w.Req.Clock = &w.Clock
	return w
}

// begin walks; what has to wait is run at once.
func (w *walk) begin(t *testing.T) (waited bool) {
	t.Helper()
	waited = !w.Begin(t.Context(), func(resp *plugin.Response, err error) {
		w.resp, w.err = resp, err
		w.done++
		w.log.add("done")
	})
	if waited {
		w.Run()
	}
	return waited
}

func (w *walk) saw(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	if got := w.log.String(); got != want {
		t.Errorf("saw %q, want %q", got, want)
	}
	if w.done != 1 {
		t.Errorf("done %d times", w.done)
	}
}

// TestAHalfThatPanics costs its own request, on whatever goroutine.
func TestAHalfThatPanics(t *testing.T) {
	down := func(*plugin.Request, *plugin.Step) plugin.Outcome { panic("down") }
	up := func(*plugin.Request, *plugin.Response, error) plugin.Outcome { panic("up") }
	rest := func(*plugin.Request, *plugin.Step) plugin.Outcome {
		return plugin.Wait(func(context.Context, plugin.Handler) (*plugin.Response, error) { panic("rest") })
	}
	for name, b := range map[string]*walker{"down": {down: down}, "up": {up: up}, "rest": {down: rest}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b.name = "b"
				w := newWalk(t, &walker{name: "a"}, b)
				w.begin(t)
				if len(w.end.flying) > 0 {
					w.end.land(&plugin.Response{}, nil)
				}
				synctest.Wait()
				var p *plugin.PanicError
				if !errors.As(w.err, &p) || p.Value != name {
					t.Errorf("ended with %v", w.err)
				}
				if !strings.HasSuffix(w.log.String(), "a^ done") {
					t.Errorf("the one above saw %q", w.log)
				}
			})
		})
	}
}

// TestEachSeesTheRequestAsItFoundIt: on the way up, and where it waits, whatever those below have
// made of it.
func TestEachSeesTheRequestAsItFoundIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var found []string
		a, b := &walker{name: "a"}, &walker{name: "b"}
		w := newWalk(t, a, b)
		see := func(req *plugin.Request) { found = append(found, req.Target.Cluster) }
		a.down = func(req *plugin.Request, s *plugin.Step) plugin.Outcome {
			see(req)
			req.Target.Cluster = "prod"
			s.Change(req)
			return plugin.GoOn()
		}
		a.up = func(req *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
			see(req)
			if req.Body != &w.body && !alwaysWaits {
				t.Error("the first sees another body than it found")
			}
			return plugin.Answer(resp, err)
		}
		b.down = func(req *plugin.Request, _ *plugin.Step) plugin.Outcome {
			see(req)
			req.Target.Cluster = "dr"
			return plugin.GoOn()
		}
		b.up = func(req *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
			return plugin.Wait(func(context.Context, plugin.Handler) (*plugin.Response, error) {
				see(req)
				return resp, err
			})
		}
		w.Req.Key, w.Req.Target.Cluster = kmsg.Heartbeat, "asked"
		if err := w.SetBody(kmsg.NewPtrHeartbeatRequest().AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		w.Req.Body.View()
		w.begin(t)
		if len(w.end.flying) > 0 {
			w.end.land(&plugin.Response{}, nil)
		}
		synctest.Wait()
		if want := []string{"asked", "prod", "prod", "asked"}; !slices.Equal(found, want) {
			t.Errorf("found %v, want %v", found, want)
		}
		if w.Req.Target.Cluster != "asked" && !alwaysWaits {
			t.Errorf("the session sees the target %q", w.Req.Target.Cluster)
		}
	})
}

// giveUp is a Waker.
type giveUp struct{ outdated, yes bool }

func (g giveUp) Outdated() bool         { return g.outdated }
func (giveUp) Changed() <-chan struct{} { return nil }
func (g giveUp) GiveUp() bool           { return g.yes }

// TestMemoryOfAWalkThatWaitedIsLeftAlone: whoever waited may have kept parts of it.
func TestMemoryOfAWalkThatWaitedIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &plugin.Request{}
		a := &walker{name: "a", down: func(req *plugin.Request, _ *plugin.Step) plugin.Outcome {
			kept = req
			return plugin.Wait(func(context.Context, plugin.Handler) (*plugin.Response, error) { return &plugin.Response{}, nil })
		}}
		w := newWalk(t, a)
		w.Req.ClientID = "client"
		w.begin(t)
		w.Free()
		if kept.ClientID != "client" {
			t.Errorf("what was kept is of client %q", kept.ClientID)
		}
	})
}

// TestARequestsMemoryIsSmall: what each that has to wait allocates is most of what a flood of small
// ones costs.
func TestARequestsMemoryIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Walk{}); n > 704 {
		t.Errorf("a request takes %d bytes", n)
	}
}

// TestAWalkIsMeasured: the own time of an interceptor is what both its halves take, and what it
// does where it waits.
func TestAWalkIsMeasured(t *testing.T) {
	ms := func(n int) { time.Sleep(time.Duration(n) * time.Millisecond) }
	synctest.Test(t, func(t *testing.T) {
		a, b := &walker{name: "a"}, &walker{name: "b"}
		w := newWalk(t, a, b)
		a.down = func(*plugin.Request, *plugin.Step) plugin.Outcome { ms(10); return plugin.GoOn() }
		a.up = func(_ *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
			ms(20)
			return plugin.Answer(resp, err)
		}
		b.up = func(req *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
			ms(40)
			return plugin.Wait(func(context.Context, plugin.Handler) (*plugin.Response, error) {
				ms(80)
				resume := req.Pause("test", trace.SpanContext{})
				ms(5000)
				resume()
				return resp, err
			})
		}
		w.Req.Sampled, w.Req.Arrived = true, time.Now()
		w.begin(t)
		ms(1000)
		if len(w.end.flying) > 0 {
			w.end.land(&plugin.Response{}, nil)
		}
		time.Sleep(time.Minute)
		for _, c := range []struct {
			name string
			cost *Cost
			want time.Duration
		}{{"a", w.row.places[0].member.Cost, 30 * time.Millisecond}, {"b", w.row.places[1].member.Cost, 120 * time.Millisecond}} {
			if got := c.cost.Own.Sum(); got != SampledOf*c.want {
				t.Errorf("%s took %s, want %s", c.name, got, SampledOf*c.want)
			}
			if n := c.cost.Own.Histogram().Count(); n != SampledOf {
				t.Errorf("%s is counted %d times, want %d", c.name, n, SampledOf)
			}
		}
	})
}
