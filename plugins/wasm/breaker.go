package wasm

import (
	"errors"
	"sync"
	"time"
)

const (
	breakAfter  = 5 // failures
	breakWithin = 10 * time.Second
	breakFirst  = time.Second
	breakMost   = time.Minute
)

var errOpen = errors.New("the guest failed too often and is left alone for a while")

// breaker leaves a guest alone that fails again and again: every failure costs an instance and the time of a
// request.
type breaker struct {
	mu    sync.Mutex
	times [breakAfter]time.Time // of the last failures, in a ring
	next  int
	wait  time.Duration // 0: closed
	until time.Time
}

// allows reports that the guest may be called. After a wait one call is let through to try.
func (b *breaker) allows(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wait == 0 {
		return true
	}
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(b.wait)
	return true
}

func (b *breaker) failed(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.times[b.next] = now
	b.next = (b.next + 1) % breakAfter
	switch {
	case b.wait > 0:
		b.wait = min(2*b.wait, breakMost)
	case now.Sub(b.times[b.next]) < breakWithin:
		b.wait = breakFirst
	default:
		return
	}
	b.until = now.Add(b.wait)
}

func (b *breaker) worked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wait > 0 {
		b.wait, b.times = 0, [breakAfter]time.Time{}
	}
}

func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wait > 0
}
