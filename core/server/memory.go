package server

import (
	"context"
	"sync"
)

// Memory bounds the bytes of requests in flight and held in the whole process. Past the limit
// sessions stop reading until others are answered.
type Memory struct {
	mu      sync.Mutex
	limit   int64
	used    int64
	kept    int64
	waiting chan struct{}
	// over is the inflation that goes on past the limit, so that not all wait for each other.
	over *Inflation
}

// NewMemory returns a bound of limit bytes; 0 is none.
func NewMemory(limit int64) *Memory { return &Memory{limit: limit} }

// SetLimit changes the bound.
func (m *Memory) SetLimit(limit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = limit
	m.wake()
}

// Add counts n bytes.
func (m *Memory) Add(n int64) {
	m.mu.Lock()
	m.used += n
	m.mu.Unlock()
}

// Done takes n bytes off and wakes those that wait.
func (m *Memory) Done(n int64) {
	m.mu.Lock()
	m.used -= n
	if m.used <= m.limit {
		m.wake()
	}
	m.mu.Unlock()
}

// wake has those that wait look again. It is called with m.mu held.
func (m *Memory) wake() {
	if m.waiting != nil {
		close(m.waiting)
		m.waiting = nil
	}
}

// Inflation counts what grows while it is looked at: the batches that are decoded for one request, or a request that is
// still to come.
type Inflation struct {
	m    *Memory
	ctx  context.Context
	n    int64
	free int64 // so much never waits
}

// Inflate begins to count what is decoded, until ctx ends.
func (m *Memory) Inflate(ctx context.Context) *Inflation { return &Inflation{m: m, ctx: ctx} }

// Grow counts n bytes more, or takes -n off. Past the limit one goes on, and the others wait until it has none any more.
func (i *Inflation) Grow(n int64) error {
	m := i.m
	m.mu.Lock()
	for i.n+n > i.free && n > 0 && m.limit > 0 && m.used+n > m.limit && m.over != i {
		if m.over == nil {
			m.over = i
			break
		}
		if err := m.wait(i.ctx); err != nil {
			m.mu.Unlock()
			return err
		}
	}
	m.used += n
	i.n += n
	if i.n == 0 && m.over == i {
		m.over = nil
	}
	if n < 0 {
		m.wake()
	}
	m.mu.Unlock()
	return nil
}

// Done takes off what was counted.
func (i *Inflation) Done() { _ = i.Grow(-i.n) }

// wait is called with m.mu held, gives it up until something has changed, and takes it again.
func (m *Memory) wait(ctx context.Context) error {
	if m.waiting == nil {
		m.waiting = make(chan struct{})
	}
	c := m.waiting
	m.mu.Unlock()
	defer m.mu.Lock()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Keep changes by n the bytes that stay between requests. It refuses more when they would take a quarter
// of the limit: who has them would never give way to requests.
func (m *Memory) Keep(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > 0 && m.limit > 0 && m.kept+n > m.limit/4 {
		return false
	}
	m.kept += n
	return true
}

// Used is the number of bytes counted.
func (m *Memory) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Limit is the bound; 0 is none.
func (m *Memory) Limit() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limit
}

// Wait returns when the bytes counted are within the limit; it calls blocks before it waits. A session
// with nothing in flight is not to wait: its next request may be what others wait for (a heartbeat, a fetch).
func (m *Memory) Wait(ctx context.Context, blocks func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.limit > 0 && m.used > m.limit {
		m.mu.Unlock()
		blocks()
		m.mu.Lock()
		if m.used <= m.limit {
			return nil
		}
		if err := m.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}
