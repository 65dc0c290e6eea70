package gate

import (
	"cmp"
	"time"
)

// flight is a request that has passed and is not answered.
type flight struct {
	ticket  uint64
	client  string
	arrived time.Time
}

func (f flight) after(ticket uint64) int { return cmp.Compare(f.ticket, ticket) }

// InFlight says how many produces are in flight, and of which client and how long ago the oldest
// came.
func (g *Gate) InFlight() (n int, client string, since time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.flying) > 0 {
		client, since = g.flying[0].client, time.Since(g.flying[0].arrived)
	}
	return len(g.flying), client, since
}

// TryEnter passes the gate if it is open.
func (g *Gate) TryEnter(req Request) (p Pass, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open() {
		return g.pass(req, g.ticket()), true
	}
	return p, false
}

// open reports that nobody has to wait; g.mu is held.
func (g *Gate) open() bool { return len(g.holders) == 0 && len(g.queue) == 0 && !g.releasing }
