package groups

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/gate"
)

// ErrMoved is the cause of the end of the context of a Pass: the group has another home now, where
// the request may be sent.
var ErrMoved = errors.New("the group has moved")

// Pass lets a request go to the home of its group.
type Pass struct {
	group  *Group
	writes bool
	cancel context.CancelCauseFunc
	place  *place // of one that writes
	moved  bool   // it will be sent again

	// Home is where the group lives, and Generation the number of its moves.
	Home       string
	Generation int32
}

// Enter waits while a move holds the group. The context that it returns ends with ErrMoved as its
// cause when the group gets another home before the request has left the Pass. A request that
// writes changes positions: a move waits for its answer, and those that have waited for a move go
// on one after the other. back, if not nil, is the Pass that the request had before it was to be
// sent again; Enter leaves it.
func (g *Group) Enter(ctx context.Context, req gate.Request, writes bool, back *Pass) (context.Context, *Pass, error) {
	until := req.Arrival().Add(g.all.rules.Load().Limit)
	if writes {
		return g.enterInTurn(ctx, req, until, back)
	}
	if back != nil {
		back.Leave()
	}
	for {
		g.mu.Lock()
		held, why := g.held, g.why
		if held == nil {
			ctx, p := g.pass(ctx, writes)
			g.mu.Unlock()
			return ctx, p, nil
		}
		g.mu.Unlock()
		if err := wait(ctx, req, held, until, why); err != nil {
			return ctx, nil, err
		}
	}
}

// Pass is Enter for what a move does not hold.
func (g *Group) Pass(ctx context.Context) (context.Context, *Pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pass(ctx, false)
}

// pass lets a request go. g.mu is held.
func (g *Group) pass(ctx context.Context, writes bool) (context.Context, *Pass) {
	p := &Pass{group: g, writes: writes, Home: g.all.Home(g.name)}
	if known := g.all.catalog.Group(g.name); known != nil {
		p.Generation = known.Generation
	}
	ctx, p.cancel = context.WithCancelCause(ctx)
	g.flying[p] = struct{}{}
	g.seen = time.Now()
	return ctx, p
}

// wait waits until c is closed.
func wait(ctx context.Context, req gate.Request, c <-chan struct{}, until time.Time, why string) error {
	defer req.Pause(why, trace.SpanContext{})()
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-c:
		return nil
	case <-t.C:
		return gate.ErrHeldTooLong
	case <-ctx.Done():
		return ctx.Err()
	case <-req.Ended():
		return gate.ErrClientGone
	}
}

// Leave says that the request is answered, or will be sent again.
func (p *Pass) Leave() {
	g := p.group
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leave(p)
	g.advance()
}

// leave takes a request out of those on their way. g.mu is held.
func (g *Group) leave(p *Pass) {
	p.cancel(nil)
	delete(g.flying, p)
	if p.place != nil && g.alone == p.place {
		g.alone = nil
	}
	g.settle()
}

// writing counts the requests on their way that write. g.mu is held.
func (g *Group) writing() (n int) {
	for p := range g.flying {
		if p.writes {
			n++
		}
	}
	return n
}

// Hold makes requests wait until Release, for a reason, and lets fetches of members be answered
// without records: what they would get, they could not commit before others read it.
func (g *Group) Hold(why string) {
	g.mu.Lock()
	if g.held == nil {
		g.held = make(chan struct{})
	}
	g.why = why
	now := time.Now()
	for _, m := range g.members {
		if g.heard(m, memberLives, now) {
			m.quiet = true
		}
	}
	g.mu.Unlock()
	g.all.quiet.note(g)
}

// Idle returns a channel that is closed when nobody gives positions to clusters and, unless the
// home is gone, no request that writes is on its way to it.
func (g *Group) Idle(gone bool) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := idler{gone, make(chan struct{})}
	g.idle = append(g.idle, w)
	g.settle()
	return w.c
}

// idler waits for the end of what is on its way.
type idler struct {
	gone bool
	c    chan struct{}
}

// settle tells those that what they wait for is over. g.mu is held.
func (g *Group) settle() {
	g.idle = slices.DeleteFunc(g.idle, func(w idler) bool {
		if g.giving > 0 || !w.gone && g.writing() > 0 {
			return false
		}
		close(w.c)
		return true
	})
}

// Give lets somebody give positions to a cluster that is not the home, unless a move holds the
// group: it gives them itself, and nothing older may come after what members commit there then.
func (g *Group) Give() (done func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held != nil {
		return nil, false
	}
	g.giving++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.giving--
		g.settle()
	}, true
}

// Release ends Hold.
func (g *Group) Release() {
	g.mu.Lock()
	if g.held != nil {
		close(g.held)
		g.held = nil
	}
	g.advance()
	for _, m := range g.members {
		m.quiet = m.stale
	}
	g.mu.Unlock()
	g.all.quiet.note(g)
}

// Moved says that the group has another home: what is on its way to the old one is sent again, and
// members have to join anew.
func (g *Group) Moved() {
	now := time.Now()
	g.mu.Lock()
	for p := range g.flying {
		p.moved = true
		p.cancel(ErrMoved)
	}
	over := newTurnover(now)
	for _, m := range g.members {
		m.stale, m.came, m.next = g.heard(m, memberLives, now), false, ""
		m.quiet = m.stale
	}
	g.over = over
	g.gathered()
	g.mu.Unlock()
	g.all.quiet.note(g)
}
