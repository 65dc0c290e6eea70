package plugin

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// leastHold is how long a request must have waited to have been held: gates that are being opened let it pass in
// less.
const leastHold = time.Millisecond

// Clock divides the time of a client's request, over all its forks, and knows its errors. At a moment the request is upstream while a part of it is
// at a cluster, else held while a part waits, else the gateway's. A nil Clock measures nothing.
type Clock struct {
	// Sampled says that the interceptors' own times are measured.
	Sampled bool

	mu             sync.Mutex
	since          time.Time // the last change
	trips, waits   int32
	held, upstream time.Duration
	errors         []error // the last ones, each counted to whom it came from
}

// mostErrors bounds what a Clock remembers of a request that is tried again and again.
const mostErrors = 8

// fails reports an error that it has not been told of before, as it is or wrapped.
func (c *Clock) fails(err error) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.errors, func(known error) bool { return errors.Is(err, known) }) {
		return false
	}
	if len(c.errors) == mostErrors {
		c.errors = slices.Delete(c.errors, 0, 1)
	}
	c.errors = append(c.errors, err)
	return true
}

// change counts the time since the last change; c.mu is held.
func (c *Clock) change(now time.Time) {
	switch passed := now.Sub(c.since); {
	case passed < 0: // the clocks of two goroutines were read in one order and told in the other
		return
	case c.trips > 0:
		c.upstream += passed
	case c.waits > 0:
		c.held += passed
	}
	c.since = now
}

// Sent says that a part of the request is queued for a cluster.
func (c *Clock) Sent(now time.Time) { c.count(now, 1, 0) }

// Answered ends Sent.
func (c *Clock) Answered(now time.Time) { c.count(now, -1, 0) }

func (c *Clock) count(now time.Time, trips, waits int32) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.change(now)
	c.trips += trips
	c.waits += waits
	c.mu.Unlock()
}

// Split is how long the request was held and upstream until now; the rest is the gateway's own. A wait that took next
// to no time is no hold.
func (c *Clock) Split(now time.Time) (held, upstream time.Duration) {
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(now)
	if held = c.held; held < leastHold {
		held = 0
	}
	return held, c.upstream
}

// Pause says that the request, or this part of it, waits from now on: for a move, a leader or a cluster. It is no time
// of the interceptor in which it waits.
func (r *Request) Pause() {
	now := time.Now()
	r.Clock.count(now, 0, 1)
	r.watch.leave(now)
}

// Resume ends Pause.
func (r *Request) Resume() {
	now := time.Now()
	r.Clock.count(now, 0, -1)
	r.watch.enter(now)
}
