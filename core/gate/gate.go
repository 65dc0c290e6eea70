// Package gate has the gates of topics, where produces wait while somebody holds them: a move, or
// routing while a home has no leaders. It knows requests and sessions only as far as they wait.
package gate

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// ErrHeldTooLong is what requests get that waited in a gate past their time limit. All requests
// that wait in a gate are refused together: one refused batch whose successors reach the new home
// would be lost.
var ErrHeldTooLong = telemetry.NewError("held_too_long", "held too long")

// ErrClientGone says that a held request was dropped because its client has closed the connection:
// forwarding it later would duplicate it.
var ErrClientGone = telemetry.NewError("client_gone", "client gone")

// Request is a request as a gate sees it.
type Request interface {
	// Client is the client's id, and Arrival when the request was read.
	Client() string
	Arrival() time.Time
	// Pause says that the request waits, for what, and because of which span, until resume is
	// called.
	Pause(why string, by trace.SpanContext) (resume func())
	// Queued says that the request has its place in a queue.
	Queued()
	// Passes gives a request that has waited a turn; onward is called when it has given it on.
	Passes(onward func())
	// Gone reports that its client has closed the connection, and Ended is closed when its session
	// ends.
	Gone() bool
	Ended() <-chan struct{}
}

// Gate lets the produces of one virtual topic pass, or queues them in the order of their arrival
// while somebody holds it. A gate never keeps a session's turn.
type Gate struct {
	topic string
	log   *slog.Logger
	limit *atomic.Int64 // of its Gates

	mu      sync.Mutex
	holders map[any]struct{}
	// reads is closed when a move that holds reads too is published or has failed; nil without one.
	reads     chan struct{}
	queue     []*waiter // in the order of their tickets
	tickets   uint64
	releasing bool
	flying    []flight // those in flight, by ascending ticket
	cohort    *cohort
	idle      []chan struct{}
	expiry    *time.Timer
	holds     uint64        // counts calls of Hold
	draining  int           // waited at the release and are not answered yet
	drainedC  chan struct{} // closed when draining gets to 0
}

type waiter struct {
	req    Request
	ticket uint64
	done   chan error // nil: pass
	onward func()     // given with the pass: lets the next one go, when this one is queued
	late   bool
	pass   Pass

	deadline time.Time
}

// cohort are the produces that passed between two calls of Answered.
type cohort struct {
	open int           // not answered yet
	done chan struct{} // closed when none is; nil while more may join
}

// Pass is a request that passed a gate and is on its way to its home.
type Pass struct {
	gate   *Gate
	cohort *cohort
	ticket uint64 // its place in the order of arrival
	late   bool   // it had waited when the gate was released
	hold   uint64
}

// Overtaken reports that the gate was held, or the request waited in it, since it passed: an answer
// that says so may be due to a request before it that has not been sent again yet.
func (p Pass) Overtaken() bool {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	return p.late || p.gate.holds != p.hold
}

// Oldest reports that everything that came to the gate before it is answered: what it is told is
// not due to a request before it that is still to be sent again.
func (p Pass) Oldest() bool {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	return p.gate.flying[0].ticket == p.ticket && (len(p.gate.queue) == 0 || p.gate.queue[0].ticket > p.ticket)
}

// Held reports whether somebody holds the gate.
func (g *Gate) Held() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.holders) > 0
}

// Enter passes the gate at once when it is open, else waits for its release in the order of
// arrival. Leave must be called on the Pass when the request is answered. An error is
// ErrHeldTooLong, ErrClientGone or that of ctx.
func (g *Gate) Enter(ctx context.Context, req Request) (Pass, error) {
	g.mu.Lock()
	if g.open() {
		p := g.pass(req, g.ticket())
		g.mu.Unlock()
		return p, nil
	}
	return g.wait(ctx, req, nil, nil)
}

func (g *Gate) ticket() uint64 {
	g.tickets++
	return g.tickets
}

// pass lets a request go; g.mu is held.
func (g *Gate) pass(req Request, ticket uint64) Pass {
	if g.cohort == nil {
		g.cohort = &cohort{}
	}
	g.cohort.open++
	at, _ := slices.BinarySearchFunc(g.flying, ticket, flight.after)
	g.flying = slices.Insert(g.flying, at, flight{ticket, req.Client(), req.Arrival()})
	return Pass{gate: g, cohort: g.cohort, ticket: ticket, hold: g.holds}
}

// Return puts a request that had passed, but could not be sent, back into its place in the queue:
// before whatever came after it, of whichever session. If what is in flight must come back before
// it passes again, the caller must have held the gate. queued is called when the request has its
// place.
func (p Pass) Return(ctx context.Context, req Request, queued func()) (Pass, error) {
	p.gate.mu.Lock()
	return p.gate.wait(ctx, req, &p, queued)
}

// Leave ends a pass: the request is answered, or its client is gone.
func (p Pass) Leave() {
	if p.gate == nil {
		return
	}
	p.gate.mu.Lock()
	p.leave()
	if p.late {
		p.gate.drainOne()
	}
	p.gate.mu.Unlock()
}

// drainOne counts a request that waited at the release and is answered now.
func (g *Gate) drainOne() {
	if g.draining > 0 {
		if g.draining--; g.draining == 0 && g.drainedC != nil {
			close(g.drainedC)
			g.drainedC = nil
		}
	}
}

// leave counts a request out; the gate's mu is held.
func (p Pass) leave() {
	g, c := p.gate, p.cohort
	if c.open--; c.open == 0 && c.done != nil {
		close(c.done)
	}
	if at, ok := slices.BinarySearchFunc(g.flying, p.ticket, flight.after); ok {
		g.flying = slices.Delete(g.flying, at, at+1)
	}
	if len(g.flying) == 0 {
		for _, c := range g.idle {
			close(c)
		}
		g.idle = nil
	}
}

// wait is called with g.mu held and releases it. back is the pass that a request had already,
// queued is called when it has its place.
func (g *Gate) wait(ctx context.Context, req Request, back *Pass, queued func()) (Pass, error) {
	w := &waiter{req: req, done: make(chan error, 1), deadline: req.Arrival().Add(time.Duration(g.limit.Load()))}
	at := len(g.queue)
	if back == nil {
		w.ticket = g.ticket()
	} else {
		w.ticket, w.late = back.ticket, back.late // a release waits for it as before
		at, _ = slices.BinarySearchFunc(g.queue, w.ticket, func(q *waiter, t uint64) int { return cmp.Compare(q.ticket, t) })
	}
	g.queue = slices.Insert(g.queue, at, w)
	if back != nil {
		back.leave()
	}
	g.arm()
	if len(g.holders) == 0 && !g.releasing {
		g.release()
	}
	why, by := g.why()
	g.mu.Unlock()
	defer req.Pause(why, by)()
	if queued != nil {
		queued()
	}
	req.Queued()
	select {
	case err := <-w.done:
		if err != nil {
			return Pass{}, err
		}
		req.Passes(w.onward)
		return w.pass, nil
	case <-ctx.Done():
		return Pass{}, g.drop(w, ctx.Err())
	case <-req.Ended():
		return Pass{}, g.drop(w, ErrClientGone)
	}
}

// drop takes a waiter that gave up out of the queue; if it was released meanwhile it leaves again.
func (g *Gate) drop(w *waiter, why error) error {
	g.mu.Lock()
	for i, q := range g.queue {
		if q == w {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			if w.late {
				g.drainOne()
			}
			g.mu.Unlock()
			return why
		}
	}
	g.mu.Unlock()
	if err := <-w.done; err == nil {
		w.onward()
		w.pass.Leave()
	}
	return why
}

// arm makes sure that expire is called when the oldest has waited for the limit; g.mu is held.
func (g *Gate) arm() {
	if g.expiry == nil && len(g.queue) > 0 {
		g.expiry = guard.After(time.Until(g.queue[0].deadline), g.expire)
	}
}

// expire refuses all that wait once the oldest has waited for the limit. Who was the oldest when it
// was armed may have left since.
func (g *Gate) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expiry = nil
	switch {
	case len(g.queue) == 0:
	case time.Now().Before(g.queue[0].deadline):
		g.arm()
	default:
		if g.releasing && g.log != nil {
			g.log.Error("produces refused: the one before them left the gate and was not sent", "topic", g.topic, "refused", len(g.queue))
		}
		g.refuse(ErrHeldTooLong)
	}
}

func (g *Gate) refuse(err error) {
	for _, w := range g.queue {
		w.done <- err
		if w.late {
			g.drainOne()
		}
	}
	g.queue = nil
	if g.expiry != nil {
		g.expiry.Stop()
		g.expiry = nil
	}
}

// Refuse answers all that wait with ErrHeldTooLong.
func (g *Gate) Refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuse(ErrHeldTooLong)
}

// Holder is somebody who holds gates. It must be comparable.
type Holder interface {
	// Why says for what, and the span of that work, for the traces of those that wait.
	Why() (string, trace.SpanContext)
}

// why is for what a request has to wait, and the span of who holds the gate; g.mu is held.
func (g *Gate) why() (reason string, by trace.SpanContext) {
	if len(g.holders) == 0 {
		return "requests before it leave the gate", by
	}
	for h := range g.holders {
		if holder, ok := h.(Holder); ok {
			why, span := holder.Why()
			if reason != "" {
				reason += ", "
			}
			if reason += why; span.IsValid() {
				by = span
			}
		}
	}
	return reason, by
}

// Hold makes produces wait until holder, a Holder if it wants to say why, releases the gate. It
// returns false if holder holds it already.
func (g *Gate) Hold(holder any) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.holders[holder]; ok {
		return false
	}
	g.holders[holder] = struct{}{}
	g.holds++
	return true
}

// Idle returns a channel that is closed when no produce is in flight. It is of use while the gate
// is held.
func (g *Gate) Idle() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := make(chan struct{})
	if len(g.flying) == 0 {
		close(c)
	} else {
		g.idle = append(g.idle, c)
	}
	return c
}

// Answered returns a channel that is closed when the produces in flight that passed since the last
// call are answered: how long that takes says how long a hold would wait for them.
func (g *Gate) Answered() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.cohort
	g.cohort = nil
	if c == nil {
		c = &cohort{}
	}
	c.done = make(chan struct{})
	if c.open == 0 {
		close(c.done)
	}
	return c.done
}

// Release ends holder's hold. When it was the last one, what waits leaves one by one, each when
// the one before it is queued on its link.
func (g *Gate) Release(holder any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.holders[holder]; !ok {
		return
	}
	delete(g.holders, holder)
	if len(g.holders) == 0 {
		for _, w := range g.queue {
			if !w.late {
				w.late = true
				g.draining++
			}
		}
		if !g.releasing {
			g.release()
		}
	}
}

// Drained returns a channel that is closed when everything that waited at the last Release is
// answered.
func (g *Gate) Drained() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining == 0 {
		c := make(chan struct{})
		close(c)
		return c
	}
	if g.drainedC == nil {
		g.drainedC = make(chan struct{})
	}
	return g.drainedC
}

// release lets the head of the queue go; g.mu is held.
func (g *Gate) release() {
	for len(g.queue) > 0 && len(g.holders) == 0 {
		w := g.queue[0]
		g.queue = g.queue[1:]
		if w.req.Gone() {
			w.done <- ErrClientGone
			if w.late {
				g.drainOne()
			}
			continue
		}
		w.pass = g.pass(w.req, w.ticket)
		w.pass.late = w.late
		g.releasing = true
		w.onward = func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.releasing = false
			g.release()
		}
		w.done <- nil
		g.arm()
		return
	}
	g.arm()
	if len(g.queue) == 0 && g.expiry != nil {
		g.expiry.Stop()
		g.expiry = nil
	}
}

// Waiting is how many produces wait.
func (g *Gate) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}
