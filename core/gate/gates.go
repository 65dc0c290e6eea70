package gate

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Gates are the gates of a virtual cluster's topics. They outlive a runtime, so that requests of
// an old and a new one queue in one gate.
type Gates struct {
	// Readers knows where consumers read.
	Readers Readers
	// Kept is what interceptors keep over runtimes, by keys of their own.
	Kept sync.Map
	// Log is told what should not happen; nil: nobody is.
	Log *slog.Logger

	limit atomic.Int64 // time.Duration
	mu    sync.RWMutex
	gates map[string]*Gate
	moved chan struct{}
	moves atomic.Uint64
}

// New returns gates that refuse what has waited for limit since its arrival.
func New(limit time.Duration) *Gates {
	g := &Gates{gates: map[string]*Gate{}, moved: make(chan struct{})}
	g.SetLimit(limit)
	return g
}

// SetLimit changes the time limit of what begins to wait from now on.
func (g *Gates) SetLimit(limit time.Duration) { g.limit.Store(int64(limit)) }

// Gate returns the gate of a virtual topic.
func (g *Gates) Gate(topic string) *Gate {
	g.mu.RLock()
	gate := g.gates[topic]
	g.mu.RUnlock()
	if gate != nil {
		return gate
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if gate = g.gates[topic]; gate == nil {
		gate = &Gate{topic: topic, log: g.Log, limit: &g.limit, holders: map[any]struct{}{}}
		g.gates[topic] = gate
	}
	return gate
}

// Moved returns a channel that is closed when the next move is published: fetches that wait at an
// old home are answered then.
func (g *Gates) Moved() <-chan struct{} {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.moved
}

// Moves counts calls of Announce.
func (g *Gates) Moves() uint64 { return g.moves.Load() }

// Announce closes the channel of Moved, and wakes the requests that wait for something that has
// moved.
func (g *Gates) Announce() {
	g.moves.Add(1)
	g.mu.Lock()
	close(g.moved)
	g.moved = make(chan struct{})
	g.mu.Unlock()
	g.Readers.wake()
}

// Waiting counts the produces that wait in gates, by topic.
func (g *Gates) Waiting() map[string]int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	out := map[string]int{}
	for topic, gate := range g.gates {
		if n := gate.Waiting(); n > 0 {
			out[topic] = n
		}
	}
	return out
}
