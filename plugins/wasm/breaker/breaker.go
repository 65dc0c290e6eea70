// Package breaker leaves a guest alone with what it fails at again and again.
package breaker

import (
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// After so many failures within a while a guest is left alone, First for so long.
const (
	After  = 5
	Within = 10 * time.Second
	First  = time.Second

	most = time.Minute // that it is left alone
	// mostKept bounds the breakers of a guest. Those that have had no failure for long are
	// forgotten first.
	mostKept = 10_000
)

// ErrOpen is of a call that is not made, since the guest is left alone.
var ErrOpen = errors.New("the guest has failed too often with this client's requests and is left alone with them for a while")

// About is what failures are counted by: what one client sends to a partition, asks of an API, or
// is told when it connects. Others are not to suffer for it.
type About struct {
	Client, Address, Function string
	API                       kmsg.Key
	Topic                     string // or the id, where nobody knows the name
	ID                        [16]byte
	Partition                 int32
}

// Breakers leave a guest alone where it fails again and again: every failure costs an instance and
// the time of a call.
type Breakers struct {
	Opened, Closed atomic.Int64 // how often a breaker has done so
	some           atomic.Bool  // there is one

	mu   sync.Mutex
	seed maphash.Seed
	by   map[uint64]*breaker
}

// breaker is closed as long as wait is 0.
type breaker struct {
	times  [After]time.Time // of the last failures, in a ring
	next   int
	wait   time.Duration
	until  time.Time
	turned time.Time // when it opened or closed
	trying bool      // a call is let through to try
}

// Admission is a call that a breaker has let through.
type Admission struct {
	key   uint64 // 0: nothing was known
	began time.Time
	trial bool
}

// Began is the admission of a call of whose kind none has failed yet.
func Began(now time.Time) Admission { return Admission{began: now} }

// When is when the call has begun.
func (a Admission) When() time.Time { return a.began }

// Counts reports that the breakers must be told of a call that has ended so.
func (a Admission) Counts(how Outcome) bool { return how == Failed || a.trial }

// Outcome says how a call has ended.
type Outcome int

// How a call may end.
const (
	Worked Outcome = iota
	Failed         // inside the guest
	Undone         // of no fault of its own: its client left, or there was no instance
)

// Event is what an outcome has made of a breaker.
type Event int

// What may become of a breaker.
const (
	Nothing Event = iota
	Opened
	Closed
)

func (b *Breakers) hash(a About) uint64 { return maphash.Comparable(b.seed, a) | 1 }

// Any reports that there is one: without, every call is let through.
func (b *Breakers) Any() bool { return b.some.Load() }

// Admits reports that the guest may be called. Of one that is left alone, one call at a time is let
// through to try, after a wait. Ended must be told of each that counts.
func (b *Breakers) Admits(a About, now time.Time) (Admission, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.by) == 0 {
		return Admission{began: now}, true
	}
	key := b.hash(a)
	p := b.by[key]
	switch {
	case p == nil || p.wait == 0:
		return Admission{key: key, began: now}, true
	case p.trying || now.Before(p.until):
		return Admission{}, false
	}
	p.trying = true
	return Admission{key: key, began: now, trial: true}, true
}

// Ended is told how a call has ended that was let through.
func (b *Breakers) Ended(a About, in Admission, how Outcome, now time.Time) (Event, time.Duration) {
	if !in.Counts(how) {
		return Nothing, 0
	}
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
	case p == nil && how != Failed: // a trial of what was forgotten meanwhile
		return Nothing, 0
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
func (b *Breakers) tried(p *breaker, how Outcome, now time.Time) Event {
	p.trying = false
	switch how {
	case Failed:
		p.wait = min(2*p.wait, most)
		p.until = now.Add(p.wait)
	case Worked:
		*p = breaker{turned: now}
		b.Closed.Add(1)
		return Closed
	case Undone: // the next one tries
	}
	return Nothing
}

// failed notes a failure of a call that was no trial. One that began before the breaker has turned
// tells nothing new.
func (b *Breakers) failed(p *breaker, in Admission, now time.Time) Event {
	if p.wait > 0 || in.began.Before(p.turned) {
		return Nothing
	}
	p.times[p.next] = now
	p.next = (p.next + 1) % After
	if first := p.times[p.next]; first.IsZero() || now.Sub(first) >= Within {
		return Nothing
	}
	p.wait, p.turned = First, now
	p.until = now.Add(p.wait)
	b.Opened.Add(1)
	return Opened
}

// Left is with how many the guest is left alone.
func (b *Breakers) Left(now time.Time) (n int) {
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
func (b *Breakers) expire(now time.Time) {
	for key, p := range b.by {
		last := p.times[(p.next+After-1)%After]
		if p.wait == 0 && now.Sub(last) >= Within || p.wait > 0 && !p.trying && now.Sub(p.until) >= most {
			b.forget(key)
		}
	}
}

// sweep makes room for one more, though it be that of another.
func (b *Breakers) sweep(now time.Time) {
	if len(b.by) < mostKept {
		return
	}
	b.expire(now)
	for key := range b.by {
		if len(b.by) < mostKept {
			return
		}
		b.forget(key)
	}
}

func (b *Breakers) forget(key uint64) {
	if b.by[key].wait > 0 {
		b.Closed.Add(1)
	}
	delete(b.by, key)
}
