package groups

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/gate"
)

// validates is for how long after a move of a topic was published its consumers may be looking for
// their positions at the new leaders (KIP-320): their next fetch tells them, their next poll asks.
// A Java consumer that rebalances meanwhile commits nothing of these partitions, and reads what it
// has processed again.
const validates = 1500 * time.Millisecond

// published are the topics whose moves were published a moment ago.
type published struct {
	mu sync.Mutex
	at map[string]time.Time
}

// TopicMoved notes that clients are told of the new home of a topic from now on.
func (g *Groups) TopicMoved(topic string) {
	g.published.mu.Lock()
	defer g.published.mu.Unlock()
	if g.published.at == nil {
		g.published.at = map[string]time.Time{}
	}
	g.published.at[topic] = time.Now()
}

func (p *published) sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.at, func(_ string, at time.Time) bool { return now.Sub(at) > validates })
}

// AwaitPositions lets what makes members rebalance wait until they have found their positions in
// topics that have moved a moment ago, 1.5 s at most.
func (g *Group) AwaitPositions(ctx context.Context, req gate.Request) error {
	p := &g.all.published
	p.mu.Lock()
	moved := maps.Clone(p.at)
	p.mu.Unlock()
	var last time.Time
	for topic, at := range moved {
		if at.After(last) && g.reads(topic) {
			last = at
		}
	}
	until := last.Add(validates)
	if !time.Now().Before(until) {
		return nil
	}
	err := wait(ctx, req, nil, until, "members find their positions at the new leaders of a topic")
	if errors.Is(err, gate.ErrHeldTooLong) {
		return nil
	}
	return err
}
