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
}

// NewMemory returns a bound of limit bytes; 0 is none.
func NewMemory(limit int64) *Memory { return &Memory{limit: limit} }

// SetLimit changes the bound.
func (m *Memory) SetLimit(limit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = limit
	if m.waiting != nil { // they look again
		close(m.waiting)
		m.waiting = nil
	}
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
	if m.waiting != nil && m.used <= m.limit {
		close(m.waiting)
		m.waiting = nil
	}
	m.mu.Unlock()
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
	for {
		m.mu.Lock()
		if m.limit <= 0 || m.used <= m.limit {
			m.mu.Unlock()
			return nil
		}
		if m.waiting == nil {
			m.waiting = make(chan struct{})
		}
		c := m.waiting
		m.mu.Unlock()
		blocks()
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
