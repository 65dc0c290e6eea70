package telemetry

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
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
	// Of a request that is watched or kept: most have one trip, which costs no allocation.
	first Trip
	more  []Trip
	kept  bool // trips are noted though they are sent at once
}

type event struct {
	at    time.Time
	name  string
	attrs []attribute.KeyValue
	link  trace.SpanContext
}

// Request begins the trace of a client's request that arrived at a time, in room, which is zero and lasts as long as the request and
// its forks, or returns nil. Spans of what is done for it are children of the span in the context returned.
func (t *Tracer) Request(ctx context.Context, name string, arrived time.Time, room *Trace) (context.Context, *Trace) {
	if t == nil {
		return ctx, nil
	}
	sampled := t.sampled.Picks()
	if !sampled && !t.errors && t.slower == 0 {
		return ctx, nil
	}
	room.tracer, room.name, room.began = t, name, arrived // the rest is zero already
	if sampled {
		ctx, room.span = t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(arrived))
		ctx = trace.ContextWithSpan(ctx, recorded{room.span, t.tracer})
	}
	return ctx, room
}

// Keep notes the trips of a request whatever becomes of its trace, for Nodes.
func (t *Trace) Keep() { t.kept = true }

// Context is that of the request's span, not valid if it has none.
func (t *Trace) Context() trace.SpanContext {
	if t == nil || t.span == nil {
		return trace.SpanContext{}
	}
	return t.span.SpanContext()
}

// mostNodes bounds what Nodes names.
const mostNodes = 8

// Nodes names the nodes that were asked, cluster/id or just the cluster where any would do, in the order of their answers, as far as
// trips are noted.
func (t *Trace) Nodes() (nodes []string) {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	add := func(p *Trip) {
		name := p.Cluster
		if p.Node >= 0 {
			name += "/" + strconv.Itoa(int(p.Node))
		}
		if len(nodes) < mostNodes && !slices.Contains(nodes, name) {
			nodes = append(nodes, name)
		}
	}
	if !t.first.Queued.IsZero() {
		add(&t.first)
	}
	for i := range t.more {
		add(&t.more[i])
	}
	return nodes
}

// note adds an event.
func (t *Trace) note(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

// Forked notes that the request was divided, into how many, and by what.
func (t *Trace) Forked(n int, by string) {
	if t != nil {
		t.note(event{at: time.Now(), name: "fork", attrs: []attribute.KeyValue{Count.Int(n), Reason.String(by)}})
	}
}

// SentAgain notes that a cluster did not take the request, or a part of it, and why.
func (t *Trace) SentAgain(cluster, why string) {
	if t != nil {
		t.note(event{at: time.Now(), name: "sent again", attrs: []attribute.KeyValue{Cluster.String(cluster), Reason.String(why)}})
	}
}

// Held notes that the request waited, from when on and for how long, why, and the span of whoever held it.
func (t *Trace) Held(began time.Time, d time.Duration, why string, by trace.SpanContext) {
	if t != nil {
		t.note(event{at: began, name: "held", attrs: []attribute.KeyValue{Reason.String(why), millis(d)}, link: by})
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
func (t *Trace) End(err error, code string, attrs []attribute.KeyValue) {
	span := t.span
	t.mu.Lock()
	events, first, more := t.events, t.first, t.more
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
	if t.span == nil { // the trips of a sampled one were sent as they ended
		if !first.Queued.IsZero() {
			t.send(ctx, &first)
		}
		for i := range more {
			t.send(ctx, &more[i])
		}
	}
	attrs = append(attrs, System.String("kafka"), Operation.String(t.name), Transport.String("tcp"))
	fail(span, err)
	if code != "" {
		attrs = append(attrs, ErrorType.String(code))
		span.SetStatus(codes.Error, code)
	}
	span.SetAttributes(attrs...)
	span.End()
}

// Trip is a request to a cluster and back.
type Trip struct {
	Name, Cluster string
	Node          int32
	Queued, Ended time.Time
	// When the request was handed to the kernel, and the first byte of its answer came, in unix nanoseconds; 0: never.
	Sent, Came int64
	Peer       net.Addr
	Err        error // in place of an answer
}

// Trip notes one that has ended. ctx is the one in which it began.
func (t *Trace) Trip(ctx context.Context, p *Trip) {
	if t.span != nil {
		t.send(ctx, p)
		if !t.kept {
			return
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first.Queued.IsZero() {
		t.first = *p
		return
	}
	t.more = append(t.more, *p)
}

// send makes the span of a trip.
func (t *Trace) send(ctx context.Context, p *Trip) {
	_, span := t.tracer.tracer.Start(ctx, p.Name, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(p.Queued))
	attrs := append(make([]attribute.KeyValue, 0, 7), System.String("kafka"), Operation.String(p.Name), Transport.String("tcp"), Cluster.String(p.Cluster), Node.Int(int(p.Node)))
	if p.Peer != nil {
		attrs = append(attrs, Peer(p.Peer)...)
	}
	span.SetAttributes(attrs...)
	span.AddEvent("queued", trace.WithTimestamp(p.Queued))
	if p.Sent >= p.Queued.UnixNano() { // an earlier one is of the trip before, on a link that broke
		span.AddEvent("sent", trace.WithTimestamp(time.Unix(0, p.Sent)))
	}
	if p.Came > 0 {
		span.AddEvent("first byte", trace.WithTimestamp(time.Unix(0, p.Came)))
	}
	fail(span, p.Err)
	span.End(trace.WithTimestamp(p.Ended))
}

// Peer are the attributes of the other side's address.
func Peer(a net.Addr) []attribute.KeyValue {
	if a, ok := a.(*net.TCPAddr); ok {
		return []attribute.KeyValue{PeerAddress.String(a.IP.String()), PeerPort.Int(a.Port)}
	}
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return []attribute.KeyValue{PeerAddress.String(a.String())}
	}
	n, _ := strconv.Atoi(port)
	return []attribute.KeyValue{PeerAddress.String(host), PeerPort.Int(n)}
}
