package copies

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
)

// Pace bounds how many bytes a second are read of both sides, by all who align copies at it
// together. What was read is paid for afterwards: a read is never divided.
type Pace struct {
	// Of is one that has to pay for what is read at this one as well, without being waited for.
	Of *Pace

	mu   sync.Mutex
	rate int64
	free time.Time // when all that was read is paid for
}

// Set sets the bytes a second; 0 is no bound.
func (p *Pace) Set(rate int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = rate
}

func (p *Pace) took(bytes int64) {
	if p.Of != nil {
		p.Of.took(bytes)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate <= 0 {
		return
	}
	if now := time.Now(); p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(bytes) / float64(p.rate) * float64(time.Second)))
}

// wait waits until all that was read is paid for; false at once if that is later than a time.
func (p *Pace) wait(ctx context.Context, until time.Time) bool {
	p.mu.Lock()
	free := p.free
	p.mu.Unlock()
	if now := time.Now(); !free.Before(until) || !now.Before(until) {
		return false
	}
	left := time.Until(free)
	return left <= 0 || guard.Sleep(ctx, left)
}

// Turn is how long an Align may go on before others have their turn: until a time, for so many
// bytes. One that has not decided on any record yet is never interrupted. Without bytes it has no
// end.
type Turn struct {
	Pace  *Pace
	Until time.Time
	Bytes int64
}

func (t Turn) took(bytes int64) {
	if t.Pace != nil {
		t.Pace.took(bytes)
	}
}

// Over reports that a turn is over before it has begun.
func (t Turn) Over(ctx context.Context) bool { return t.ends(ctx, 0) }

// ends reports that a turn in which so many bytes were read is over. It may wait.
func (t Turn) ends(ctx context.Context, read int64) bool {
	return t.Pace != nil && t.Bytes > 0 && (read >= t.Bytes || !t.Pace.wait(ctx, t.Until))
}
