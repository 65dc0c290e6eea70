package server

import (
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
)

// tellEvery is how often it is told that memory gets short.
const tellEvery = 10 * time.Second

// pressure is what is known of a Memory that gets short.
type pressure struct {
	// Near, if not nil, is told when more than 70 % are in use, or somebody waits, but not more
	// often than every 10 s. Set it before use.
	Near func(used, limit int64, waiting int)

	waiters, waits int
	told           time.Time
}

// near looks whether memory gets short; m.mu is held. more is how many begin to wait.
func (m *Memory) near(more int) {
	m.waiters += more
	m.waits += more
	if m.Near == nil || m.limit <= 0 || more == 0 && m.used <= m.limit/10*7 {
		return
	}
	now := time.Now()
	if now.Sub(m.told) < tellEvery {
		return
	}
	m.told = now
	used, limit, waiting := m.used, m.limit, m.waiters
	guard.Go(func() { m.Near(used, limit, waiting) })
}

// await counts somebody who waits, until done is called.
func (m *Memory) await() (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.near(1)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.waiters--
	}
}

// Waiting is how many requests and answers wait for memory, and how often one has had to.
func (m *Memory) Waiting() (now, ever int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waiters, m.waits
}
