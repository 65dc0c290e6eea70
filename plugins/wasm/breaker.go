package wasm

import (
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	breakAfter  = 5 // failures
	breakWithin = 10 * time.Second
	breakFirst  = time.Second
	breakMost   = time.Minute
	// mostBreakers bounds the breakers of a guest. Those that have had no failure for long are
	// forgotten first.
	mostBreakers = 10_000
)

var errOpen = errors.New("the guest has failed too often with this client's requests and is left alone with them for a while")

// about is what failures are counted by: what one client sends to a partition, asks of an API, or
// is told when it connects. Others are not to suffer for it.
type about struct {
	client, address, function string
	api                       kmsg.Key
	topic                     string // or the id, where nobody knows the name
	id                        [16]byte
	partition                 int32
}

// breakers leave a guest alone where it fails again and again: every failure costs an instance and
// the time of a call.
type breakers struct {
	Opened, Closed atomic.Int64 // how often a breaker has done so
	some           atomic.Bool  // there is one

	mu   sync.Mutex
	seed maphash.Seed
	by   map[uint64]*breaker
}

// breaker is closed as long as wait is 0.
type breaker struct {
	times  [breakAfter]time.Time // of the last failures, in a ring
	next   int
	wait   time.Duration
	until  time.Time
	turned time.Time // when it opened or closed
	trying bool      // a call is let through to try
}

// admission is a call that a breaker has let through.
type admission struct {
	key   uint64 // 0: nothing was known
	began time.Time
	trial bool
}

// outcome says how a call has ended.
type outcome int

const (
	worked outcome = iota
	failed         // inside the guest
	undone         // of no fault of its own: its client left, or there was no instance
)

// event is what an outcome has made of a breaker.
type event int

const (
	nothing event = iota
	opened
	closed
)

func (b *breakers) hash(a about) uint64 { return maphash.Comparable(b.seed, a) | 1 }

// admits reports that the guest may be called. Of one that is left alone, one call at a time is let
// through to try, after a wait. ended must be told of each.
func (b *breakers) admits(a about, now time.Time) (admission, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.by) == 0 {
		return admission{began: now}, true
	}
	key := b.hash(a)
	p := b.by[key]
	switch {
	case p == nil || p.wait == 0:
		return admission{key: key, began: now}, true
	case p.trying || now.Before(p.until):
		return admission{}, false
	}
	p.trying = true
	return admission{key: key, began: now, trial: true}, true
}

// ended is told how a call has ended that was let through.
func (b *breakers) ended(a about, in admission, how outcome, now time.Time) (event, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if in.key == 0 {
		if b.by == nil {
			b.by, b.seed = map[uint64]*breaker{}, maphash.MakeSeed()
		}
		in.key = b.hash(a)
	}
	p := b.by[in.key]
	switch {
	case p == nil && how != failed:
		return nothing, 0
	case p == nil:
		b.sweep(now)
		p = &breaker{}
		b.by[in.key] = p
		b.some.Store(true)
	case in.trial:
		return b.tried(p, how, now), p.wait
	}
	return b.failed(p, in, now), p.wait
}

// tried notes the outcome of a trial.
func (b *breakers) tried(p *breaker, how outcome, now time.Time) event {
	p.trying = false
	switch how {
	case failed:
		p.wait = min(2*p.wait, breakMost)
		p.until = now.Add(p.wait)
	case worked:
		*p = breaker{turned: now}
		b.Closed.Add(1)
		return closed
	case undone: // the next one tries
	}
	return nothing
}

// failed notes a failure of a call that was no trial. One that began before the breaker has turned
// tells nothing new.
func (b *breakers) failed(p *breaker, in admission, now time.Time) event {
	if p.wait > 0 || in.began.Before(p.turned) {
		return nothing
	}
	p.times[p.next] = now
	p.next = (p.next + 1) % breakAfter
	if first := p.times[p.next]; first.IsZero() || now.Sub(first) >= breakWithin {
		return nothing
	}
	p.wait, p.turned = breakFirst, now
	p.until = now.Add(p.wait)
	b.Opened.Add(1)
	return opened
}

// left is with how many the guest is left alone.
func (b *breakers) left(now time.Time) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	for _, p := range b.by {
		if p.wait > 0 {
			n++
		}
	}
	return n
}

// expire forgets breakers that have seen nothing for long: those clients don't ask any more.
func (b *breakers) expire(now time.Time) {
	for key, p := range b.by {
		last := p.times[(p.next+breakAfter-1)%breakAfter]
		if p.wait == 0 && now.Sub(last) >= breakWithin || p.wait > 0 && !p.trying && now.Sub(p.until) >= breakMost {
			b.forget(key)
		}
	}
}

// sweep makes room for one more, though it be that of another.
func (b *breakers) sweep(now time.Time) {
	if len(b.by) < mostBreakers {
		return
	}
	b.expire(now)
	for key := range b.by {
		if len(b.by) < mostBreakers {
			return
		}
		b.forget(key)
	}
}

func (b *breakers) forget(key uint64) {
	if b.by[key].wait > 0 {
		b.Closed.Add(1)
	}
	delete(b.by, key)
}
