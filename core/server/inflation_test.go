package server

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestInflationsWaitForEachOther past the limit, but for one, so that what all take together is the
// limit and one batch, and nobody waits for ever.
func TestInflationsWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(100)
		ended := make(chan error, 8)
		var mu sync.Mutex
		highest := int64(0)
		for range 8 {
			go func() {
				i := m.Inflate(t.Context())
				defer i.Done()
				for range 9 {
					if err := i.Grow(10); err != nil {
						ended <- err
						return
					}
					mu.Lock()
					highest = max(highest, m.Used())
					mu.Unlock()
					time.Sleep(time.Second) // of the fake clock: the others take as much as they may meanwhile
				}
				ended <- i.Grow(-5)
			}()
		}
		for range 8 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if highest > 100+90 {
			t.Errorf("%d bytes at once", highest)
		}
		if n := m.Used(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	})
}

// TestAnInflationEndsWithItsSession, while it waits.
func TestAnInflationEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(100)
		first := m.Inflate(t.Context())
		if err := first.Grow(500); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Inflate(ctx).Grow(1) }()
		synctest.Wait()
		if len(ended) != 0 {
			t.Error("it does not wait")
		}
		gone := errors.New("gone")
		cancel(gone)
		if err := <-ended; !errors.Is(err, gone) {
			t.Errorf("%v", err)
		}
		first.Done()
		if err := m.Inflate(t.Context()).Grow(50); err != nil || m.Used() != 50 {
			t.Errorf("%v, %d bytes", err, m.Used())
		}
	})
}
