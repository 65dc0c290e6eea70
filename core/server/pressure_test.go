package server

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestMemoryThatGetsShortIsTold before anybody waits and when somebody does, and not for each
// request.
func TestMemoryThatGetsShortIsTold(t *testing.T) {
	full := func(m *Memory) { m.Add(210 << 10); m.Done(210 << 10) }
	for name, c := range map[string]struct {
		use                    func(t *testing.T, m *Memory)
		told, waiting, everOne int
	}{
		"little":           {use: func(_ *testing.T, m *Memory) { m.Add(100 << 10) }},
		"much":             {use: func(_ *testing.T, m *Memory) { m.Add(200 << 10) }, told: 1},
		"much again":       {use: func(_ *testing.T, m *Memory) { full(m); full(m) }, told: 1},
		"much later again": {use: func(_ *testing.T, m *Memory) { full(m); time.Sleep(11 * time.Second); full(m) }, told: 2},
		"answers alone":    {use: func(_ *testing.T, m *Memory) { m.Begin(1, 190<<10, true) }, told: 1},
		"answers that grow": {use: func(_ *testing.T, m *Memory) {
			m.Begin(1, 100<<10, true)
			m.Grow(90 << 10)
		}, told: 1},
		"a request that waits": {use: func(t *testing.T, m *Memory) {
			m.Add(257 << 10)
			go func() { _ = m.Wait(t.Context(), func() {}) }()
		}, told: 1, waiting: 1, everOne: 1},
		"a request that has waited": {use: func(t *testing.T, m *Memory) {
			m.Add(257 << 10)
			go func() { _ = m.Wait(t.Context(), func() {}) }()
			synctest.Wait()
			m.Done(257 << 10)
		}, told: 1, everOne: 1},
		"batches that wait": {use: func(t *testing.T, m *Memory) {
			a, b := m.Inflate(t.Context()), m.Inflate(t.Context())
			_ = a.Grow(300 << 10)
			go func() { _ = b.Grow(1 << 10) }()
		}, told: 1, waiting: 1, everOne: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, told := NewMemory(256<<10), make(chan int64, 10)
				m.Near = func(used, _ int64, _ int) { told <- used }
				c.use(t, m)
				synctest.Wait()
				if len(told) != c.told {
					t.Errorf("told %d times, want %d", len(told), c.told)
				}
				if now, ever := m.Waiting(); now != c.waiting || ever != c.everOne {
					t.Errorf("%d wait, %d have", now, ever)
				}
			})
		})
	}
	m := NewMemory(0)
	m.Near = func(int64, int64, int) { t.Error("told without a limit") }
	m.Add(1 << 40)
}
