package chain

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// SampledOf is of how many requests one is Sampled.
const SampledOf = 32

// Cost is what an interceptor costs, over its runtimes.
type Cost struct {
	// Own is the time in the interceptor itself, without what is below it and without waits, of the
	// requests that it handled. One in SampledOf is measured and counts for all of them.
	Own telemetry.Latency
	// Failures counts the errors that came from the interceptor and not from below, panics
	// included; not those of clients that had gone, nor sessions that it closed on purpose.
	Failures atomic.Int64
}

// failed counts an error of a client's request, unless it is one from below, and reports that.
func (c *Cost) failed(req *plugin.Request, err error) bool {
	if !req.Clock.Fails(err) || errors.Is(err, gate.ErrClientGone) || plugin.Closes(err) || req.Session.Context().Err() != nil {
		return false
	}
	c.Failures.Add(1)
	return true
}

// bottom is the end of a chain: what fails there is no interceptor's failure, and what it has
// handled has its turn no more.
type bottom struct {
	end  plugin.Handler
	rest plugin.Waiting // of what the end has to do; nil: all
}

func (b bottom) Handle(ctx context.Context, req *plugin.Request) (resp *plugin.Response, err error) {
	defer turn.Give(req.Turn())
	if b.rest != nil {
		resp, err = b.rest(ctx, nil)
	} else {
		resp, err = b.end.Handle(ctx, req)
	}
	if err != nil {
		req.Clock.Fails(err)
	}
	return resp, err
}

// watch measures the own time of an interceptor for one request. It stands below it in the chain.
// Each step has its own, which are used again, so that one that is called too late still calls the
// right handler. A nil watch measures nothing.
type watch struct {
	next plugin.Handler

	mu    sync.Mutex
	since time.Duration // when the last part came back, from the arrival of the request
	away  int           // parts that are below, or wait
	own   time.Duration
}

// begin starts to measure.
func (w *watch) begin(at time.Duration) {
	w.mu.Lock()
	w.since, w.away, w.own = at, 0, 0
	w.mu.Unlock()
}

// end is the own time, and whether no part is below any more: what comes back later would be
// counted to another request.
func (w *watch) end(at time.Duration) (own time.Duration, alone bool) {
	w.Stop(at)
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(w.own, 0), w.away == 1
}

// leave says that a part of the request has left the interceptor.
func (w *watch) Stop(at time.Duration) {
	if w == nil {
		return
	}
	w.mu.Lock()
	if w.away == 0 {
		w.own += at - w.since
	}
	w.away++
	w.mu.Unlock()
}

// enter ends leave.
func (w *watch) Start(at time.Duration) {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.away--
	w.since = at
	w.mu.Unlock()
}

// Handle hands a request on.
func (w *watch) Handle(ctx context.Context, req *plugin.Request) (*plugin.Response, error) {
	w.Stop(time.Since(req.Arrived))
	defer func() { w.Start(time.Since(req.Arrived)) }()
	return w.next.Handle(ctx, req)
}

// measured does the work with a watch. Cost and trace, if they are to know, are told its own time.
func (p *place) measured(ctx context.Context, req *plugin.Request, todo work) (*plugin.Response, error) {
	w, ok := p.watches.Get().(*watch)
	if !ok {
		w = &watch{next: p.next}
	}
	above := req.Stopwatch
	w.begin(time.Since(req.Arrived))
	req.Stopwatch = w
	defer func() {
		req.Stopwatch = above
		own, alone := w.end(time.Since(req.Arrived))
		own += todo.before
		if req.Sampled {
			p.member.Cost.Own.RecordTimes(own, SampledOf)
		}
		if todo.seen != nil {
			todo.seen.own = own
		}
		if alone {
			p.watches.Put(w)
		}
	}()
	return p.run(ctx, req, todo.rest, w)
}
