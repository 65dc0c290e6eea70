package plugin

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
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Named is an interceptor in its place in a chain.
type Named struct {
	Name        string
	Stage       Stage
	Interceptor Interceptor
	// Cost is what it costs; nil in a chain that need not know.
	Cost *Cost
}

// Chain is a table with one row per API key: the interceptors that stand in it, top to bottom, and
// the end of the chain. It is immutable.
type Chain struct {
	members []Named
	rows    map[kmsg.Key][]Named
	heads   map[kmsg.Key]Handler
	end     Handler
	// observers see sessions, top to bottom.
	observers []SessionObserver
}

// NewChain compiles interceptors, in the order of the file, above end. spans says which calls of them are spans, for a request that is
// sampled.
func NewChain(members []Named, end Handler, spans telemetry.Spans) (*Chain, error) {
	end = bottom{end}
	c := &Chain{members: members, rows: map[kmsg.Key][]Named{}, heads: map[kmsg.Key]Handler{}, end: end}
	last, routing := Any, 0
	for _, m := range members {
		if m.Stage == Any {
			continue
		}
		if m.Stage < last {
			return nil, fmt.Errorf("interceptor %q (stage %s) stands below one of stage %s: the order is logical, routing, physical", m.Name, m.Stage, last)
		}
		last = m.Stage
		if m.Stage == Routing {
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
		if s, ok := m.Interceptor.(Sender); ok {
			below := &Chain{heads: maps.Clone(c.heads), end: end}
			s.SetBelow(below.Row)
		}
		if o, ok := m.Interceptor.(SessionObserver); ok && o.Observes() {
			c.observers = append([]SessionObserver{o}, c.observers...)
		}
		for _, k := range m.Interceptor.Keys().Keys() {
			next := c.Row(k)
			s := &step{member: m, next: next, spans: spans}
			if spans != "" {
				s.attrs = []attribute.KeyValue{telemetry.Interceptor.String(m.Name), telemetry.Stage.String(m.Stage.String())}
				s.took = telemetry.OwnTimeOf(m.Name)
			}
			c.heads[k] = s
			c.rows[k] = append([]Named{m}, c.rows[k]...)
		}
	}
	return c, nil
}

// Row returns the handler that a request with this key starts at.
func (c *Chain) Row(key kmsg.Key) Handler {
	if h, ok := c.heads[key]; ok {
		return h
	}
	return c.end
}

// Passes reports that nobody stands in the row: such a request goes to the end of the chain
// without being decoded.
func (c *Chain) Passes(key kmsg.Key) bool { return c.heads[key] == nil }

// Members lists the interceptors of one row, top to bottom.
func (c *Chain) Members(key kmsg.Key) []Named { return c.rows[key] }

// All lists every interceptor, top to bottom.
func (c *Chain) All() []Named { return c.members }

// MaxVersion is the highest version of an API that every interceptor of the chain understands, at
// most offered; -1 hides the API.
func (c *Chain) MaxVersion(key int16, offered int16) int16 {
	for _, m := range c.members {
		if l, ok := m.Interceptor.(VersionLimiter); ok {
			offered = min(offered, l.MaxVersion(key, offered))
		}
	}
	return offered
}

// Open tells those who observe sessions of a new one; an error of one closes it.
func (c *Chain) Open(ctx context.Context, s *Session) error {
	for _, o := range c.observers {
		if err := o.SessionOpened(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Closed tells those who observe sessions of the end of one.
func (c *Chain) Closed(ctx context.Context, s *Session) {
	for _, o := range c.observers {
		o.SessionClosed(ctx, s)
	}
}

// Placement returns the interceptor that routes, or nil.
func (c *Chain) Placement() Placement { return find[Placement](c) }

// Namer returns the interceptor that names topics, or nil.
func (c *Chain) Namer() Namer { return find[Namer](c) }

func find[T any](c *Chain) (found T) {
	for _, m := range c.members {
		if t, ok := m.Interceptor.(T); ok {
			return t
		}
	}
	return found
}

type step struct {
	member  Named
	next    Handler
	watches sync.Pool // of *watch
	spans   telemetry.Spans
	attrs   []attribute.KeyValue // of its spans
	took    attribute.Key        // of its time, in the span of the request
}

func (s *step) Handle(ctx context.Context, req *Request) (*Response, error) {
	if s.spans != "" && req.Trace.Sampled() {
		return s.traced(ctx, req)
	}
	return s.handle(ctx, req, nil)
}

// handle runs the interceptor. It is measured if seen is not nil, or the request asks for it.
func (s *step) handle(ctx context.Context, req *Request, seen *seen) (resp *Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			resp, err = nil, &PanicError{Value: v, Stack: debug.Stack()}
		}
		turn.Give(req.turn)
		if err != nil && s.member.Cost.failed(req, err) && seen != nil {
			seen.failed = true
		}
	}()
	if req.Sampled || seen != nil {
		return s.measured(ctx, req, seen)
	}
	return s.member.Interceptor.Intercept(ctx, req, s.next)
}

// seen is what a trace tells of an interceptor.
type seen struct {
	own    time.Duration
	failed bool // itself, not what is below it
}

// slowSpan is how long an interceptor takes itself that is slow.
const slowSpan = time.Millisecond

// traced is handle for a request whose trace tells of each interceptor. What is below an interceptor that may turn out to be slow hangs
// on the span above it: a span that is not sent can't be a parent.
func (s *step) traced(ctx context.Context, req *Request) (*Response, error) {
	var seen seen
	if s.spans == telemetry.AllSpans {
		within, span := telemetry.Child(ctx, s.member.Name, s.attrs...)
		resp, err := s.handle(within, req, &seen)
		telemetry.End(span, err)
		req.Trace.Took(s.took, seen.own)
		return resp, err
	}
	began := time.Now()
	resp, err := s.handle(ctx, req, &seen)
	if s.spans == telemetry.SlowSpans && (seen.failed || seen.own >= slowSpan) {
		telemetry.Past(ctx, s.member.Name, began, err, s.attrs...)
	}
	req.Trace.Took(s.took, seen.own)
	return resp, err
}

// PanicError is a panic of an interceptor, recovered so that it costs only its own request.
type PanicError struct {
	Value any
	Stack []byte
}

// ErrorType is what traces call it.
func (*PanicError) ErrorType() string { return "panic" }

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Protect runs a handler and turns a panic into a PanicError. Whatever the handler has done with it, the request's turn, if it is not
// given on yet, is.
func Protect(ctx context.Context, req *Request, h Handler) (resp *Response, err error) {
	defer func() {
		turn.Give(req.turn)
		if v := recover(); v != nil {
			resp, err = nil, &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return h.Handle(ctx, req)
}
