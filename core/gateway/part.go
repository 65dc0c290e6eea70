package gateway

import "sync/atomic"

// part is a part of what is in force. Those that use it are counted, and the last one to close it
// ends it. A nil part is one that the configuration does not ask for.
type part[T any] struct {
	value T
	users atomic.Int32
	end   func(T)
}

func newPart[T any](value T, end func(T)) *part[T] {
	p := &part[T]{value: value, end: end}
	p.users.Store(1)
	return p
}

// share returns the part for one more user, who closes it as well.
func (p *part[T]) share() *part[T] {
	if p != nil {
		p.users.Add(1)
	}
	return p
}

// get is the value, or the zero one of a nil part.
func (p *part[T]) get() (value T) {
	if p != nil {
		value = p.value
	}
	return value
}

// Close gives the part back.
func (p *part[T]) Close() error {
	if p != nil && p.users.Add(-1) == 0 {
		p.end(p.value)
	}
	return nil
}
