package gate

import (
	"context"
	"time"
)

// HoldReads makes AwaitReads wait until OpenReads.
func (g *Gate) HoldReads() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reads == nil {
		g.reads = make(chan struct{})
	}
}

// OpenReads ends HoldReads.
func (g *Gate) OpenReads() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reads != nil {
		close(g.reads)
		g.reads = nil
	}
}

// AwaitReads waits while a move holds positions of the topic (ListOffsets, OffsetForLeaderEpoch):
// their answers would be of the old home.
func (g *Gate) AwaitReads(ctx context.Context, req Request) error {
	g.mu.Lock()
	c := g.reads
	if c == nil {
		g.mu.Unlock()
		return nil
	}
	why, by := g.why()
	g.mu.Unlock()
	defer req.Pause(why, by)()
	t := time.NewTimer(time.Until(req.Arrival().Add(time.Duration(g.limit.Load()))))
	defer t.Stop()
	select {
	case <-c:
		return nil
	case <-t.C:
		return ErrHeldTooLong
	case <-ctx.Done():
		return ctx.Err()
	}
}
