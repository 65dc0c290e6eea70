package chain

import (
	"context"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// End is the last handler of a chain, which asks clusters. It is to a walk what a Stepper is, but
// that its answer comes later.
type End interface {
	plugin.Handler
	// Start sends a request without waiting, in the order of the calls, and reports that; what
	// comes of it is told to w, maybe before Start returns. False is a request that has to be
	// handled: several must be asked, or it is not known who.
	Start(ctx context.Context, req *plugin.Request, w *Walk) bool
	// Again says what an answer to Start comes to: it, or a Wait that asks again.
	Again(req *plugin.Request, resp *plugin.Response, err error) plugin.Outcome
}

// Walk is the way of a client's request down the row of its API and up again, with the memory of
// the request. While nobody has to wait it needs no goroutine, and its memory is used again. One
// whose request has waited is left to the garbage collector: whoever waited may have kept parts of
// it.
type Walk struct {
	// Req is the request; at the beginning and in the end it is as its client sent it.
	Req   plugin.Request
	Clock plugin.Clock
	Trace telemetry.Trace
	body  kafka.RequestBody

	row    *row
	ctx    context.Context
	done   func(*plugin.Response, error)
	at     int            // the place in the row that has the request
	rest   plugin.Waiting // of the place; nil: all that it has to do
	steps  []plugin.Step
	waited bool

	waker plugin.Waker  // of the request that is on its way
	uses  uint64        // of the memory
	phase atomic.Uint64 // of the request, beside which of the uses it is in
}

// Phases of a request: whoever grounds it goes on with it. One that is given up while it is being
// started is grounded by whoever starts it: until then its memory is being read.
const (
	grounded uint64 = iota // the use alone
	starting
	flying
	givenUp
	phases = 3 // their bits
)

// Walk returns a walk for a request of an API; the caller fills Req in.
func (c *Chain) Walk(key kmsg.Key) *Walk {
	r := c.row(key)
	if w, ok := r.walks.Get().(*Walk); ok {
		return w
	}
	return &Walk{row: r}
}

// SetBody makes bytes as they were received the body of the request. An error is a body that is no
// request of its API and version.
func (w *Walk) SetBody(raw []byte) error {
	w.body.Reset(w.Req.Key, w.Req.Version, raw)
	w.Req.Body = &w.body
	return w.body.Clean()
}

// Free gives the memory of a walk back that is done, or was not begun.
func (w *Walk) Free() {
	if w.waited {
		return
	}
	w.Req, w.ctx, w.done, w.waker, w.at = plugin.Request{}, nil, nil, nil, 0
	w.Clock = plugin.Clock{}
	w.body.Reset(0, 0, nil)
	for i := range w.steps {
		w.steps[i].Free()
	}
	w.row.walks.Put(w)
}

// Begin takes the request down the row as far as nobody has to wait. True: it was sent, or is
// answered already; done is called once, and the walk may be used again. False: Run has to be
// called, on a goroutine that may wait.
func (w *Walk) Begin(ctx context.Context, done func(*plugin.Response, error)) bool {
	w.ctx, w.done = ctx, done
	if alwaysWaits || w.row.traced(&w.Req) {
		return w.waits(nil)
	}
	for ; w.at < len(w.row.places); w.at++ {
		switch o := w.down(); {
		case o.Answers():
			resp, err := o.Response()
			w.up(resp, err, false)
			return true
		case o.Waits():
			return w.waits(o.Rest())
		}
	}
	if w.row.end == nil {
		return w.waits(nil)
	}
	w.uses++
	waker, use := w.Req.Waker, w.uses<<2
	w.waker = waker
	w.phase.Store(use | starting)
	// What was outdated before it could be seen here has not been given up.
	if waker != nil && waker.Outdated() || !w.start() {
		return !w.Take() || w.waits(nil)
	}
	// From here on it may be answered, and its memory be in another use.
	if waker == nil || w.phase.CompareAndSwap(use|starting, use|flying) || !w.phase.CompareAndSwap(use|givenUp, use) {
		return true
	}
	return w.waits(moved)
}

// moved is the answer to what is given up.
func moved(context.Context, plugin.Handler) (*plugin.Response, error) { return nil, plugin.ErrMoved }

// start starts the request, and reports that it is on its way or answered.
func (w *Walk) start() (started bool) {
	defer func() {
		if v := recover(); v != nil {
			if started = true; w.Take() {
				w.up(nil, &plugin.PanicError{Value: v, Stack: debug.Stack()}, false)
			}
		}
	}()
	return w.row.end.Start(w.ctx, &w.Req, w)
}

// waits says what is left to do, for Run.
func (w *Walk) waits(rest plugin.Waiting) bool {
	w.rest, w.waited = rest, true
	return false
}

// Run takes a walk to its end that Begin has begun.
func (w *Walk) Run() {
	w.back()
	resp, err := w.handle(w.rest)
	w.up(resp, err, true)
}

// Take claims the answer of a request that was started: whoever tells it, or gives it up, goes on
// alone.
func (w *Walk) Take() bool {
	for {
		p := w.phase.Load()
		if p&phases == grounded {
			return false
		}
		if w.phase.CompareAndSwap(p, p&^phases) {
			return true
		}
	}
}

// Answered goes on with a request that was started and taken.
func (w *Walk) Answered(resp *plugin.Response, err error) {
	if o := w.row.end.Again(&w.Req, resp, err); o.Waits() {
		w.resume(o.Rest())
		return
	}
	if err != nil {
		w.Req.Clock.Fails(err)
	}
	w.up(resp, err, false)
}

// GivesUp ends the wait for the answer to a request that its Waker gives up: the caller calls Run,
// which answers it. The caller makes sure that the walk is not done meanwhile.
func (w *Walk) GivesUp() bool {
	p := w.phase.Load()
	if p&phases == grounded || w.waker == nil || !w.waker.GiveUp() {
		return false
	}
	if p&phases == starting && w.phase.CompareAndSwap(p, p|givenUp) {
		return false // whoever starts it finds out
	}
	if p = w.phase.Load(); p&phases != flying || !w.phase.CompareAndSwap(p, p&^phases) {
		return false
	}
	w.waits(moved)
	return true
}

// resume goes on where it may wait.
func (w *Walk) resume(rest plugin.Waiting) {
	w.waits(rest)
	guard.Go(w.Run)
}

// up brings an answer from below w.at to the client.
func (w *Walk) up(resp *plugin.Response, err error, mayWait bool) {
	for w.at > 0 {
		w.at--
		w.back()
		o := w.half(resp, err)
		switch {
		case !o.Waits():
			resp, err = o.Response()
		case mayWait:
			resp, err = w.handle(o.Rest())
		default:
			w.resume(o.Rest())
			return
		}
	}
	w.done(resp, err)
}

// back makes the request what the place that has it has found.
func (w *Walk) back() {
	if w.at < len(w.steps) {
		w.steps[w.at].Restores(&w.Req)
	}
}

// handle does what the place that has the request has to do with it, or the rest of that, and
// waits.
func (w *Walk) handle(rest plugin.Waiting) (*plugin.Response, error) {
	switch {
	case w.at == len(w.row.places) && rest == nil:
		return plugin.Protect(w.ctx, &w.Req, w.row.bottom)
	case w.at == len(w.row.places):
		return plugin.Protect(w.ctx, &w.Req, bottom{rest: rest})
	case rest == nil:
		return w.row.places[w.at].Handle(w.ctx, &w.Req)
	}
	return w.row.places[w.at].handle(w.ctx, &w.Req, work{rest: rest, before: w.steps[w.at].Own})
}

// down is the first half of the place that has the request.
func (w *Walk) down() (o plugin.Outcome) {
	p := w.row.places[w.at]
	if p.stepper == nil {
		return plugin.Wait(nil)
	}
	if w.steps == nil {
		w.steps = make([]plugin.Step, len(w.row.places))
	}
	s := &w.steps[w.at]
	s.Finds(&w.Req)
	began := w.clock()
	defer func() {
		if v := recover(); v != nil {
			o = plugin.Answer(nil, &plugin.PanicError{Value: v, Stack: debug.Stack()})
		}
		if s.Own = w.clock() - began; w.Req.Sampled && o.Answers() {
			p.member.Cost.Own.RecordTimes(s.Own, SampledOf)
		}
		if _, err := o.Response(); err != nil {
			p.member.Cost.failed(&w.Req, err)
		}
	}()
	return p.stepper.Down(w.ctx, &w.Req, s)
}

// half is the second half of the place that has the request.
func (w *Walk) half(resp *plugin.Response, err error) (o plugin.Outcome) {
	p, s := w.row.places[w.at], &w.steps[w.at]
	began := w.clock()
	defer func() {
		if v := recover(); v != nil {
			o = plugin.Answer(nil, &plugin.PanicError{Value: v, Stack: debug.Stack()})
		}
		if s.Own += w.clock() - began; w.Req.Sampled && o.Answers() {
			p.member.Cost.Own.RecordTimes(s.Own, SampledOf)
		}
		if _, err := o.Response(); err != nil {
			p.member.Cost.failed(&w.Req, err)
		}
	}()
	return p.stepper.Up(w.ctx, &w.Req, s, resp, err)
}

// clock is how old a sampled request is.
func (w *Walk) clock() time.Duration {
	if !w.Req.Sampled {
		return 0
	}
	return time.Since(w.Req.Arrived)
}

// Client is the id and the host of the request's client.
func (w *Walk) Client() (id, host string) {
	if a := w.Req.Session.Remote; a != nil {
		host, _, _ = net.SplitHostPort(a.String())
	}
	return w.Req.ClientID, host
}

// Arrival is when the request was read.
func (w *Walk) Arrival() time.Time { return w.Req.Arrived }
