package groups

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/gate"
)

// place is that of a request which writes in the order of arrival: what was committed last counts.
// As long as nobody waits they go on at once, in the order that links keep. Those that have waited
// for a move, or are sent again behind one, go on one after the other, each when the one before it
// is answered.
type place struct {
	ticket uint64
	ready  chan struct{} // closed when it may go on
}

// enterInTurn is Enter for a request that writes.
func (g *Group) enterInTurn(ctx context.Context, req gate.Request, until time.Time, back *Pass) (context.Context, *Pass, error) {
	g.mu.Lock()
	at := &place{ready: make(chan struct{})}
	if back != nil {
		at.ticket = back.place.ticket
		g.leave(back)
	} else {
		g.tickets++
		at.ticket = g.tickets
	}
	if back == nil && g.held == nil && g.alone == nil && len(g.queue) == 0 && !g.resends(at.ticket) {
		defer g.mu.Unlock()
		ctx, p := g.passAt(ctx, at)
		return ctx, p, nil
	}
	for {
		g.queueUp(at)
		g.advance()
		why := "commits that came before it"
		if g.held != nil {
			why = g.why
		}
		g.mu.Unlock()
		err := wait(ctx, req, at.ready, until, why)
		g.mu.Lock()
		switch i := slices.Index(g.queue, at); {
		case i >= 0: // in vain
			g.queue = slices.Delete(g.queue, i, i+1)
			g.advance()
			g.mu.Unlock()
			return ctx, nil, err
		case g.held == nil:
			defer g.mu.Unlock()
			ctx, p := g.passAt(ctx, at)
			return ctx, p, nil
		}
		g.alone, at.ready = nil, make(chan struct{}) // another move has begun
	}
}

// passAt lets a request that writes go. g.mu is held.
func (g *Group) passAt(ctx context.Context, at *place) (context.Context, *Pass) {
	ctx, p := g.pass(ctx, true)
	p.place = at
	return ctx, p
}

// queueUp gives a request its place among those that wait. g.mu is held.
func (g *Group) queueUp(at *place) {
	i, _ := slices.BinarySearchFunc(g.queue, at.ticket, func(p *place, ticket uint64) int { return cmp.Compare(p.ticket, ticket) })
	g.queue = slices.Insert(g.queue, i, at)
}

// advance lets the first of those that wait go, if there is nothing before it. g.mu is held.
func (g *Group) advance() {
	if g.held != nil || g.alone != nil || len(g.queue) == 0 || g.resends(g.queue[0].ticket) {
		return
	}
	g.alone, g.queue = g.queue[0], g.queue[1:]
	close(g.alone.ready)
}

// resends reports a request before a place that is still to come back, to be sent again. g.mu is
// held.
func (g *Group) resends(ticket uint64) bool {
	for p := range g.flying {
		if p.moved && p.place != nil && p.place.ticket < ticket {
			return true
		}
	}
	return false
}
