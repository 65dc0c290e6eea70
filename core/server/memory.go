package server

import (
	"context"
	"sync"
	"time"
)

const (
	// smallAnswer is the size up to which an answer that is the next of its client does not wait
	// for the process: heartbeats and commits go on while clients that do not read have filled the
	// memory.
	smallAnswer = 64 << 10
	// tinyAnswer is the size up to which no answer waits: a link that stops for one holds up the
	// requests behind it.
	tinyAnswer = 1 << 10
)

// Memory bounds the bytes of requests and answers in the whole process. Past the limit sessions
// stop reading, from their clients and from brokers, until others are answered.
type Memory struct {
	mu      sync.Mutex
	limit   int64
	used    int64 // requests and answers
	answers int64
	beyond  any // the client whose answer is let in though there is no room; nil: none
	kept    int64
	waiting chan struct{}
	// sessions may hold answers. One whose client reads nothing for the time of patience is closed
	// for another one that has waited for as long.
	sessions map[*session]struct{}
	patience time.Duration
	// over is the one among those who inflate that goes on past the limit, so that not all wait for
	// each other.
	over *Inflation
	pressure
}

// NewMemory returns a bound of limit bytes; 0 is none.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit, sessions: map[*session]struct{}{}, patience: 10 * time.Second}
}

func (m *Memory) enter(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[s] = struct{}{}
}

func (m *Memory) leave(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, s)
}

// short reports that others hold so much that an answer of n bytes may have to wait for them.
func (m *Memory) short(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limit > 0 && m.answers+n > m.limit/2
}

// stuck is the session that has waited longest for its client to read, if that is too long.
func (m *Memory) stuck(now time.Time) (longest *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	most := m.patience
	for s := range m.sessions {
		if d := s.writer.Stuck(now); d >= most {
			longest, most = s, d
		}
	}
	return longest
}

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
	defer m.mu.Unlock()
	m.used += n
	m.near(0)
}

// Done takes n bytes off and wakes those that wait.
func (m *Memory) Done(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
	m.wake()
}

// wake is called with m.mu held.
func (m *Memory) wake() {
	if m.waiting != nil {
		close(m.waiting)
		m.waiting = nil
	}
}

// Begin counts n bytes of an answer to a client, unless there is no room for them. Answers may take
// three quarters of the limit, which leaves the rest to requests; those that are not the first of
// their client, and so can't leave yet, may take half of it. So that no first answer waits for ever
// for bytes of answers that themselves wait for it, one at a time may go beyond.
func (m *Memory) Begin(client any, n int64, first bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	share := m.limit / 2
	if first {
		share += m.limit / 4
	}
	switch {
	case m.limit <= 0, m.answers+n <= share, first && n <= smallAnswer, n <= tinyAnswer:
	case first && (m.beyond == nil || m.beyond == client):
		m.beyond = client
	default:
		return false
	}
	m.answers += n
	m.used += n
	m.near(0)
	return true
}

// Grow counts n bytes more of an answer that is there already.
func (m *Memory) Grow(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers += n
	m.used += n
	m.near(0)
}

// End takes n bytes of answers to a client off, and the bytes of the requests that they answer.
func (m *Memory) End(client any, n, requests int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers -= n
	m.used -= n + requests
	if m.beyond == client {
		m.beyond = nil
	}
	m.wake()
}

// Changed returns a channel that is closed when it is worth to ask again.
func (m *Memory) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting == nil {
		m.waiting = make(chan struct{})
	}
	return m.waiting
}

// Inflation counts what grows while it is looked at: the batches that are decoded for one request,
// or a request that is still to come.
type Inflation struct {
	m    *Memory
	ctx  context.Context
	n    int64
	free int64 // so much never waits
}

// Inflate begins to count what is decoded, until ctx ends.
func (m *Memory) Inflate(ctx context.Context) *Inflation { return &Inflation{m: m, ctx: ctx} }

// Grow counts n bytes more, or takes -n off. Past the limit one goes on, and the others wait until
// it has none any more.
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
	m.near(0)
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

// Try is Grow for what can be done without: it does not wait, and reports whether there is room.
func (i *Inflation) Try(n int64) bool {
	m := i.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > 0 && m.limit > 0 && m.used+n > m.limit {
		return false
	}
	m.used += n
	i.n += n
	if n < 0 {
		m.wake()
	}
	return true
}

// Done takes off what was counted.
func (i *Inflation) Done() { _ = i.Grow(-i.n) }

// wait is called with m.mu held, gives it up until something has changed, and takes it again.
func (m *Memory) wait(ctx context.Context) error {
	if m.waiting == nil {
		m.waiting = make(chan struct{})
	}
	c := m.waiting
	m.near(1)
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.waiters--
	}()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Keep changes by n the bytes that stay between requests. It refuses more when they would take a
// quarter of the limit: who has them would never give way to requests.
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

// Wait returns when the bytes counted are within the limit; it calls blocks before it waits. A
// session with nothing in flight is not to wait: its next request may be what others wait for (a
// heartbeat, a fetch).
func (m *Memory) Wait(ctx context.Context, blocks func()) error {
	for first := true; ; first = false {
		c := m.Changed()
		if m.fits() {
			return nil
		}
		if first {
			defer m.await()()
		}
		blocks()
		select {
		case <-c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// fits reports whether requests are within the limit. Answers never count for more than their
// share.
func (m *Memory) fits() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limit <= 0 || m.used-m.answers+min(m.answers, m.limit/4*3) <= m.limit
}
