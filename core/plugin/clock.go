package plugin

import (
	"errors"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/internal/turn"
)

// leastHold is how long a request must have waited to have been held: gates that are being opened
// let it pass in less.
const leastHold = time.Millisecond

// Clock divides the time of a client's request, over all its forks, and knows its errors. At a
// moment the request is upstream while a part of it is at a cluster, else held while a part waits,
// else the gateway's. A nil Clock measures nothing.
type Clock struct {
	mu             sync.Mutex
	trips, waits   int32
	since          time.Duration // of the last change, from the arrival of the request
	held, upstream time.Duration
	failures       *failures
}

// failures are the last errors of a request, each counted to whom it came from.
type failures struct{ last []error }

// mostFailures bounds what is remembered of a request that is tried again and again.
const mostFailures = 8

// Fails reports an error that it has not been told of before, as it is or wrapped.
func (c *Clock) Fails(err error) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures == nil {
		c.failures = &failures{}
	}
	f := c.failures
	if slices.ContainsFunc(f.last, func(known error) bool { return errors.Is(err, known) }) {
		return false
	}
	if len(f.last) == mostFailures {
		f.last = slices.Delete(f.last, 0, 1)
	}
	f.last = append(f.last, err)
	return true
}

// change counts the time since the last change; c.mu is held.
func (c *Clock) change(at time.Duration) {
	switch passed := at - c.since; {
	case passed < 0: // the clocks of two goroutines were read in one order and told in the other
		return
	case c.trips > 0:
		c.upstream += passed
	case c.waits > 0:
		c.held += passed
	}
	c.since = at
}

func (c *Clock) count(at time.Duration, trips, waits int32) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.change(at)
	c.trips += trips
	c.waits += waits
	c.mu.Unlock()
}

// Split is how long the request was held and upstream until so long after its arrival; the rest is
// the gateway's own. A wait that took next to no time is no hold.
func (c *Clock) Split(at time.Duration) (held, upstream time.Duration) {
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(at)
	if held = c.held; held < leastHold {
		held = 0
	}
	return held, c.upstream
}

// Sent says that the request, or this part of it, was queued for a cluster so long after its
// arrival.
func (r *Request) Sent(at time.Duration) { r.Clock.count(at, 1, 0) }

// Answered ends Sent.
func (r *Request) Answered(at time.Duration) { r.Clock.count(at, -1, 0) }

// Pause says that the request, or this part of it, waits from now on, and why: for a move, a leader
// or a cluster. by is the span of whoever holds it, if there is one. It is no time of the
// interceptor in which it waits, and the session's next request need not wait with it: its turn is
// given on. resume ends the wait.
func (r *Request) Pause(why string, by trace.SpanContext) (resume func()) {
	turn.Give(r.turn)
	began, w := time.Since(r.Arrived), r.Stopwatch
	r.Clock.count(began, 0, 1)
	if w != nil {
		w.Stop(began)
	}
	noted := func() {}
	if r.Session != nil {
		noted = r.Session.Holds.begin(r.Key, r.Arrived)
	}
	return func() {
		noted()
		ended := time.Since(r.Arrived)
		r.Clock.count(ended, 0, -1)
		if w != nil {
			w.Start(ended)
		}
		if ended-began >= leastHold {
			r.Trace.Held(r.Arrived.Add(began), ended-began, why, by)
		}
	}
}
