package server

import (
	"context"
	"testing"
	"testing/synctest"
)

// TestMemory: sessions wait past the bound until others are answered, or the bound is raised.
func TestMemory(t *testing.T) {
	for name, relief := range map[string]func(m *Memory){
		"answered": func(m *Memory) { m.Done(60) },
		"raised":   func(m *Memory) { m.SetLimit(200) },
		"lifted":   func(m *Memory) { m.SetLimit(0) },
	} {
		synctest.Test(t, func(t *testing.T) {
			m := NewMemory(100)
			m.Add(150)
			passed := make(chan error, 1)
			go func() { passed <- m.Wait(t.Context(), func() {}) }()
			synctest.Wait()
			if len(passed) != 0 {
				t.Errorf("%s: passed with %d of 100 bytes", name, m.Used())
			}
			m.SetLimit(120) // still too little
			synctest.Wait()
			if len(passed) != 0 {
				t.Errorf("%s: passed with %d of 120 bytes", name, m.Used())
			}
			relief(m)
			synctest.Wait()
			if len(passed) != 1 {
				t.Fatalf("%s: still waits", name)
			}
			if err := <-passed; err != nil {
				t.Error(err)
			}
			m.Add(1000)
			m.SetLimit(1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { passed <- m.Wait(ctx, func() {}) }()
			cancel()
			if err := <-passed; err == nil {
				t.Errorf("%s: passed after the end of its session", name)
			}
		})
	}
}
