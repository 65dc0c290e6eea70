package failover

import (
	"context"
	"sync"
)

// slots bound how many moves hold clients at once. The bound may change while moves wait.
type slots struct {
	mu    sync.Mutex
	limit int
	taken int
	freed chan struct{} // closed, and made anew, when one may be free
}

func newSlots(limit int) *slots { return &slots{limit: limit, freed: make(chan struct{})} }

// take waits for a slot.
func (s *slots) take(ctx context.Context) error {
	for {
		s.mu.Lock()
		if s.taken < s.limit {
			s.taken++
			s.mu.Unlock()
			return nil
		}
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// give returns one.
func (s *slots) give() { s.change(func() { s.taken-- }) }

// resize changes the bound; moves that hold clients go on.
func (s *slots) resize(limit int) { s.change(func() { s.limit = limit }) }

func (s *slots) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.freed)
	s.freed = make(chan struct{})
}
