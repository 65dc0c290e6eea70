// Package chain compiles interceptors into a table with a row per API, and takes requests down
// their row to a cluster and their answers up again.
package chain

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Named is an interceptor in its place in a chain.
type Named struct {
	Name        string
	Stage       plugin.Stage
	Interceptor plugin.Interceptor
	// Cost is what it costs; nil in a chain that need not know.
	Cost *Cost
}

// Chain is a table with one row per API key: the interceptors that stand in it, top to bottom, and
// the end of the chain. It is immutable.
type Chain struct {
	members []Named
	rows    map[kmsg.Key]*row
	empty   *row
	// observers see sessions, top to bottom.
	observers []plugin.SessionObserver
}

// New compiles interceptors, in the order of the file, above end. spans says which calls of
// them are spans, for a request that is sampled.
func New(members []Named, end plugin.Handler, spans telemetry.Spans) (*Chain, error) {
	starts, _ := end.(End)
	c := &Chain{members: members, rows: map[kmsg.Key]*row{}, empty: &row{spans: spans, bottom: bottom{end, nil}, end: starts}}
	last, routing := plugin.Any, 0
	for _, m := range members {
		if m.Stage == plugin.Any {
			continue
		}
		if m.Stage < last {
			return nil, fmt.Errorf("interceptor %q (stage %s) stands below one of stage %s: the order is logical, routing, physical", m.Name, m.Stage, last)
		}
		last = m.Stage
		if m.Stage == plugin.Routing {
			routing++
		}
	}
	if routing > 1 {
		return nil, fmt.Errorf("a chain has at most one routing interceptor, found %d", routing)
	}
	for i := len(members) - 1; i >= 0; i-- {
		m := members[i]
		if m.Cost == nil {
			m.Cost = &Cost{}
		}
		if s, ok := m.Interceptor.(plugin.Sender); ok {
			below := &Chain{rows: maps.Clone(c.rows), empty: c.empty}
			s.SetBelow(below.Row)
		}
		if o, ok := m.Interceptor.(plugin.SessionObserver); ok && o.Observes() {
			c.observers = append([]plugin.SessionObserver{o}, c.observers...)
		}
		for _, k := range m.Interceptor.Keys().Keys() {
			p := &place{member: m, next: c.Row(k), spans: spans}
			p.stepper, _ = m.Interceptor.(plugin.Stepper)
			if spans != "" {
				p.attrs = []attribute.KeyValue{telemetry.Interceptor.String(m.Name), telemetry.Stage.String(m.Stage.String())}
				p.took = telemetry.OwnTimeOf(m.Name)
			}
			below := c.row(k)
			c.rows[k] = &row{places: append([]*place{p}, below.places...), spans: spans, bottom: below.bottom, end: starts}
		}
	}
	return c, nil
}

// row is what the requests of one API go through.
type row struct {
	places []*place // top to bottom
	bottom plugin.Handler
	end    End       // nil: it can't start requests
	walks  sync.Pool // of *Walk
	spans  telemetry.Spans
}

// head handles a request from the top.
func (r *row) head() plugin.Handler {
	if len(r.places) > 0 {
		return r.places[0]
	}
	return r.bottom
}

// traced reports that the request's trace tells of each interceptor.
func (r *row) traced(req *plugin.Request) bool {
	return r.spans != "" && len(r.places) > 0 && req.Trace.Sampled()
}

func (c *Chain) row(key kmsg.Key) *row {
	if r := c.rows[key]; r != nil {
		return r
	}
	return c.empty
}

// Row returns the handler of requests with this key, for those that wait for the answer.
func (c *Chain) Row(key kmsg.Key) plugin.Handler { return c.row(key).head() }

// Passes reports that nobody stands in the row: such a request goes to the end of the chain
// without being decoded.
func (c *Chain) Passes(key kmsg.Key) bool { return len(c.row(key).places) == 0 }

// Members lists the interceptors of one row, top to bottom.
func (c *Chain) Members(key kmsg.Key) (out []Named) {
	for _, p := range c.row(key).places {
		out = append(out, p.member)
	}
	return out
}

// All lists every interceptor, top to bottom.
func (c *Chain) All() []Named { return c.members }

// MaxVersion is the highest version of an API that every interceptor of the chain understands, at
// most offered; -1 hides the API.
func (c *Chain) MaxVersion(key int16, offered int16) int16 {
	for _, m := range c.members {
		if l, ok := m.Interceptor.(plugin.VersionLimiter); ok {
			offered = min(offered, l.MaxVersion(key, offered))
		}
	}
	return offered
}

// Open tells those who observe sessions of a new one; an error of one closes it.
func (c *Chain) Open(ctx context.Context, s *plugin.Session) error {
	for _, o := range c.observers {
		if err := o.SessionOpened(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Closed tells those who observe sessions of the end of one.
func (c *Chain) Closed(ctx context.Context, s *plugin.Session) {
	for _, o := range c.observers {
		o.SessionClosed(ctx, s)
	}
}

// Placement returns the interceptor that routes, or nil.
func (c *Chain) Placement() plugin.Placement { return find[plugin.Placement](c) }

// Namer returns the interceptor that names topics, or nil.
func (c *Chain) Namer() plugin.Namer { return find[plugin.Namer](c) }

func find[T any](c *Chain) (found T) {
	for _, m := range c.members {
		if t, ok := m.Interceptor.(T); ok {
			return t
		}
	}
	return found
}

// place is where an interceptor stands in a row.
type place struct {
	member  Named
	stepper plugin.Stepper // the interceptor, if it is one
	next    plugin.Handler
	watches sync.Pool // of *watch
	spans   telemetry.Spans
	attrs   []attribute.KeyValue // of its spans
	took    attribute.Key        // of its time, in the span of the request
}

// Handle runs the interceptor for a caller that waits.
func (p *place) Handle(ctx context.Context, req *plugin.Request) (*plugin.Response, error) {
	if p.spans != "" && req.Trace.Sampled() {
		return p.traced(ctx, req)
	}
	return p.handle(ctx, req, work{})
}

// work is what an interceptor has to do with a request, and who wants to know what it takes.
type work struct {
	rest   plugin.Waiting // of it; nil: all
	before time.Duration  // that it has taken already
	seen   *seen          // by a trace; nil: by none
}

// handle does the work. It is measured if a trace or the request asks for it.
func (p *place) handle(ctx context.Context, req *plugin.Request, w work) (resp *plugin.Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			resp, err = nil, &plugin.PanicError{Value: v, Stack: debug.Stack()}
		}
		turn.Give(req.Turn())
		if err != nil && p.member.Cost.failed(req, err) && w.seen != nil {
			w.seen.failed = true
		}
	}()
	if req.Sampled || w.seen != nil {
		return p.measured(ctx, req, w)
	}
	return p.run(ctx, req, w.rest, p.next)
}

func (p *place) run(ctx context.Context, req *plugin.Request, rest plugin.Waiting, next plugin.Handler) (*plugin.Response, error) {
	if rest != nil {
		return rest(ctx, next)
	}
	return p.member.Interceptor.Intercept(ctx, req, next)
}

// seen is what a trace tells of an interceptor.
type seen struct {
	own    time.Duration
	failed bool // itself, not what is below it
}

// slowSpan is how long an interceptor takes itself that is slow.
const slowSpan = time.Millisecond

// traced is handle for a request whose trace tells of each interceptor. What is below an
// interceptor that may turn out to be slow hangs on the span above it: a span that is not sent
// can't be a parent.
func (p *place) traced(ctx context.Context, req *plugin.Request) (*plugin.Response, error) {
	var seen seen
	if p.spans == telemetry.AllSpans {
		within, span := telemetry.Child(ctx, p.member.Name, p.attrs...)
		resp, err := p.handle(within, req, work{seen: &seen})
		telemetry.End(span, err)
		req.Trace.Took(p.took, seen.own)
		return resp, err
	}
	began := time.Now()
	resp, err := p.handle(ctx, req, work{seen: &seen})
	if p.spans == telemetry.SlowSpans && (seen.failed || seen.own >= slowSpan) {
		telemetry.Past(ctx, p.member.Name, began, err, p.attrs...)
	}
	req.Trace.Took(p.took, seen.own)
	return resp, err
}
