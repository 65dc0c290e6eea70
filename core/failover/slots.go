package failover

import (
	"context"
	"slices"
	"sync"
)

// slots bound how many moves hold clients at once. The bound may change while moves wait. They get
// in in the order in which they came, and each is woken when it does.
type slots struct {
	mu      sync.Mutex
	limit   int
	taken   int
	waiting []chan struct{} // closed when its slot is taken
}

func newSlots(limit int) *slots { return &slots{limit: limit} }

// take waits for a slot.
func (s *slots) take(ctx context.Context) error {
	s.mu.Lock()
	if s.taken < s.limit {
		s.taken++
		s.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	s.waiting = append(s.waiting, mine)
	s.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiting, mine); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	} else { // it got one at the same time
		s.taken--
		s.admit()
	}
	return ctx.Err()
}

// give returns one.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	s.admit()
}

// resize changes the bound; moves that hold clients go on.
func (s *slots) resize(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
	s.admit()
}

// admit gives what is free to those who wait. s.mu is held.
func (s *slots) admit() {
	for s.taken < s.limit && len(s.waiting) > 0 {
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
		s.taken++
	}
}
