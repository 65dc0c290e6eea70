package telemetry

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Trace is what is noted of one client request. A nil Trace notes nothing. It outlives the request, whose
// forks may still be on their way.
type Trace struct {
	tracer *Tracer
	name   string
	began  time.Time
	span   trace.Span // nil while the request is only watched: it is traced if it fails or is slow

	mu     sync.Mutex
	events []event
	trips  []*Trip // that have ended
	first  Trip
	held   time.Duration
	until  time.Time // the end of the last wait that is counted in held
	used   bool
}

type event struct {
	at    time.Time
	name  string
	attrs []attribute.KeyValue
	link  trace.SpanContext
}

// Request begins the trace of a client's request that arrived at a time, or returns nil. Spans of what is done
// for it are children of the span in the context returned.
func (t *Tracer) Request(ctx context.Context, name string, arrived time.Time) (context.Context, *Trace) {
	if t == nil {
		return ctx, nil
	}
	r := &Trace{tracer: t, name: name, began: arrived}
	switch {
	case t.sample():
		ctx, r.span = t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(arrived))
	case !t.errors && t.slower == 0:
		return ctx, nil
	}
	return ctx, r
}

// Watch notes where the time of a request goes that is not traced.
func Watch() *Trace { return &Trace{} }

// Context is that of the request's span, not valid if it has none.
func (t *Trace) Context() trace.SpanContext {
	if t == nil || t.span == nil {
		return trace.SpanContext{}
	}
	return t.span.SpanContext()
}

// Waited is for how long the request, or a part of it, was held.
func (t *Trace) Waited() time.Duration {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held
}

// mostNodes bounds what Upstream names.
const mostNodes = 8

// Upstream names the nodes that were asked, cluster/id or just the cluster where any would do, in the order of their answers, and says how long the slowest took.
func (t *Trace) Upstream() (nodes []string, slowest time.Duration) {
	if t == nil {
		return nil, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.trips {
		slowest = max(slowest, p.ended.Sub(p.queued))
		name := p.cluster
		if p.node >= 0 {
			name += "/" + strconv.Itoa(int(p.node))
		}
		if len(nodes) < mostNodes && !slices.Contains(nodes, name) {
			nodes = append(nodes, name)
		}
	}
	return nodes, slowest
}

// note adds an event.
func (t *Trace) note(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

// Event notes something that happened now.
func (t *Trace) Event(name string, attrs ...attribute.KeyValue) {
	if t != nil {
		t.note(event{at: time.Now(), name: name, attrs: attrs})
	}
}

// Held notes that the request has waited since began, why, and the span of whoever held it.
func (t *Trace) Held(began time.Time, reason string, by trace.SpanContext) {
	if t != nil {
		now := time.Now()
		t.note(event{at: began, name: "held", attrs: []attribute.KeyValue{Reason.String(reason), millis(now.Sub(began))}, link: by})
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.until.After(began) { // parts of a request wait side by side
			began = t.until
		}
		t.held, t.until = t.held+max(now.Sub(began), 0), now
	}
}

func millis(d time.Duration) attribute.KeyValue {
	return Duration.Float64(float64(d.Microseconds()) / 1000)
}

// Linked notes the spans that the request's records come from.
func (t *Trace) Linked(list []trace.SpanContext) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range list {
		t.events = append(t.events, event{link: l})
	}
}

// Sampled reports a trace that is sent whatever comes of its request.
func (t *Trace) Sampled() bool { return t != nil && t.span != nil }

// Wanted reports whether the trace is sent, given the outcome of the request and how long it may have taken
// without being slow.
func (t *Trace) Wanted(failed bool, patience time.Duration) bool {
	switch {
	case t == nil, t.tracer == nil:
		return false
	case t.span != nil:
		return true
	case failed && t.tracer.errors, t.tracer.slower > 0 && patience >= 0 && time.Since(t.began) > t.tracer.slower+patience:
		return t.tracer.failures.Allow()
	}
	return false
}

// End sends the trace of a request that is Wanted. code is the name of the Kafka error that it was answered
// with, "" for none.
func (t *Trace) End(err error, code string, attrs ...attribute.KeyValue) {
	span := t.span
	t.mu.Lock()
	events, trips := t.events, t.trips
	t.mu.Unlock()
	ctx := context.Background()
	if span == nil {
		ctx, span = t.tracer.tracer.Start(ctx, t.name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(t.began))
	}
	for _, e := range events {
		if e.name != "" {
			span.AddEvent(e.name, trace.WithTimestamp(e.at), trace.WithAttributes(e.attrs...))
		}
		if e.link.IsValid() {
			span.AddLink(trace.Link{SpanContext: e.link})
		}
	}
	for _, p := range trips {
		if p.parent == nil {
			p.send(ctx)
		}
	}
	span.SetAttributes(attrs...)
	span.SetAttributes(System.String("kafka"), Operation.String(t.name), Transport.String("tcp"))
	fail(span, err)
	if code != "" {
		span.SetAttributes(ErrorType.String(code))
		span.SetStatus(codes.Error, code)
	}
	span.End()
}

// Trip is a request to a cluster and back. A nil Trip notes nothing.
type Trip struct {
	trace   *Trace
	name    string
	cluster string
	node    int32
	parent  context.Context // nil if the request is only watched
	queued  time.Time
	sent    atomic.Int64 // unix nanoseconds; 0: never
	came    time.Time    // the first byte of the answer
	ended   time.Time
	peer    net.Addr
	err     error
}

// Trip begins one.
func (t *Trace) Trip(ctx context.Context, name, cluster string, node int32) *Trip {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	p := &t.first
	if t.used {
		p = &Trip{}
	}
	t.used = true
	p.trace, p.name, p.cluster, p.node, p.queued = t, name, cluster, node, time.Now()
	if t.span != nil {
		p.parent = ctx
	}
	t.mu.Unlock()
	return p
}

// Sent notes that the request is handed to the kernel.
func (p *Trip) Sent() { p.sent.Store(time.Now().UnixNano()) }

// End notes the answer, of which the first byte came at a time (0: none did), or the error in its place.
func (p *Trip) End(came int64, peer net.Addr, err error) {
	if p == nil {
		return
	}
	p.ended, p.peer, p.err = time.Now(), peer, err
	if came > 0 {
		p.came = time.Unix(0, came)
	}
	if p.parent != nil {
		p.send(p.parent)
	}
	p.trace.mu.Lock()
	defer p.trace.mu.Unlock()
	p.trace.trips = append(p.trace.trips, p)
}

// send makes the span.
func (p *Trip) send(ctx context.Context) {
	_, span := p.trace.tracer.tracer.Start(ctx, p.name, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(p.queued), trace.WithAttributes(
		System.String("kafka"), Operation.String(p.name), Transport.String("tcp"), Cluster.String(p.cluster), Node.Int(int(p.node))))
	if p.peer != nil {
		span.SetAttributes(Peer(p.peer)...)
	}
	span.AddEvent("queued", trace.WithTimestamp(p.queued))
	if at := p.sent.Load(); at > 0 {
		span.AddEvent("sent", trace.WithTimestamp(time.Unix(0, at)))
	}
	if !p.came.IsZero() {
		span.AddEvent("first byte", trace.WithTimestamp(p.came))
	}
	fail(span, p.err)
	span.End(trace.WithTimestamp(p.ended))
}

// Peer are the attributes of the other side's address.
func Peer(a net.Addr) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return []attribute.KeyValue{PeerAddress.String(a.String())}
	}
	n, _ := strconv.Atoi(port)
	return []attribute.KeyValue{PeerAddress.String(host), PeerPort.Int(n)}
}
