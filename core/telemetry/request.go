package telemetry

import (
	"context"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Trace is what is noted of one client request. A nil Trace notes nothing. It outlives the request,
// whose forks may still be on their way. Each request that is watched has one, also those that are
// never traced, so that it is small.
type Trace struct {
	tracer *Tracer
	span   *span // nil while the request is only watched: it is traced if it fails or is slow
	began  int64 // in unix nanoseconds

	mu    sync.Mutex
	first brief    // of the trips of a request that is watched or kept: most have one, which ends well
	key   kmsg.Key // of first
	kept  bool     // trips are noted though they are sent at once
	notes *notes   // nil until there is something to note
}

// notes are what few requests have. They are bounded, like those of a span: a request may be tried
// for long.
type notes struct {
	events  []sdk.Event
	links   []sdk.Link
	leftOut int   // links past the bound
	unread  int64 // records that were not looked into for links
	trips   []Trip
	took    []attribute.KeyValue // by interceptors
}

// most of a kind that are noted of a request. The usual limit of a span leaves room for what comes
// at the end.
const most = 100

// Request begins the trace of a client's request of an API that arrived at a time, in room, which
// is zero and lasts as long as the request and its forks, or returns nil. from is where its records
// come from, nil if that is not known: a parent-based sampler does what their producers have
// decided. Spans of what is done for it are children of the span in the context returned.
func (t *Tracer) Request(ctx context.Context, key kmsg.Key, arrived time.Time, room *Trace, from *Origins) (context.Context, *Trace) {
	if t == nil {
		return ctx, nil
	}
	sampled, decided := from.decision()
	if !decided {
		sampled = t.sampled.Picks()
	}
	if !sampled && !t.errors && t.slower == 0 && !t.parents {
		return ctx, nil
	}
	room.tracer, room.began = t, arrived.UnixNano() // the rest is zero already
	if sampled {
		room.span = t.span(SpanName(key, ""), trace.SpanKindServer, room.began, trace.SpanContext{})
		ctx = trace.ContextWithSpan(ctx, room.span)
		room.Linked(from)
	}
	return ctx, room
}

// FollowsParents reports a sampler that is parent-based: requests are sampled if a producer has
// sampled their records.
func (t *Tracer) FollowsParents() bool { return t != nil && t.parents }

// Keep notes the trips of a request that arrived at a time whatever becomes of its trace, for
// Nodes.
func (t *Trace) Keep(arrived time.Time) { t.kept, t.began = true, arrived.UnixNano() }

// Context is that of the request's span, not valid if it has none.
func (t *Trace) Context() trace.SpanContext {
	if !t.Sampled() {
		return trace.SpanContext{}
	}
	return t.span.SpanContext()
}

// mostNodes bounds what Nodes names.
const mostNodes = 8

// Nodes names the nodes that were asked, cluster/id or just the cluster where any would do, in the
// order of their answers, as far as trips are noted.
func (t *Trace) Nodes() (nodes []string) {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, trip := range t.trips() {
		if name := trip.Where.String(); len(nodes) < mostNodes && !slices.Contains(nodes, name) {
			nodes = append(nodes, name)
		}
	}
	return nodes
}

// trips are those that are noted, in the order of their ends; t.mu is held.
func (t *Trace) trips() (trips []Trip) {
	if t.first.where != nil {
		trips = append(trips, t.first.trip(t.began, t.key))
	}
	if t.notes != nil {
		trips = append(trips, t.notes.trips...)
	}
	return trips
}

// note adds to what is told of the request.
func (t *Trace) note(add func(*notes)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.notes == nil {
		t.notes = &notes{}
	}
	add(t.notes)
}

// noted appends as many as there is room for, and returns how many are left out.
func noted[T any](list *[]T, more ...T) (leftOut int) {
	n := min(len(more), most-len(*list))
	*list = append(*list, more[:n]...)
	return len(more) - n
}

func (t *Trace) event(at time.Time, name string, attrs ...attribute.KeyValue) {
	t.note(func(n *notes) { noted(&n.events, sdk.Event{Time: at, Name: name, Attributes: attrs}) })
}

// Forked notes that the request was divided, into how many, and by what.
func (t *Trace) Forked(n int, by string) {
	if t != nil {
		t.event(time.Now(), "fork", Count.Int(n), Reason.String(by))
	}
}

// SentAgain notes that a cluster did not take the request, or a part of it, and why.
func (t *Trace) SentAgain(cluster, why string) {
	if t != nil {
		t.event(time.Now(), "sent again", Cluster.String(cluster), Reason.String(why))
	}
}

// Held notes that the request waited, from when on and for how long, why, and the span of whoever
// held it.
func (t *Trace) Held(began time.Time, d time.Duration, why string, by trace.SpanContext) {
	if t != nil {
		t.event(began, "held", Reason.String(why), millis(d))
		if by.IsValid() {
			t.note(func(n *notes) { n.leftOut += noted(&n.links, sdk.Link{SpanContext: by}) })
		}
	}
}

func millis(d time.Duration) attribute.KeyValue {
	return Duration.Float64(float64(d.Microseconds()) / 1000)
}

// Linked notes the spans that the request's records come from.
func (t *Trace) Linked(from *Origins) {
	if t == nil || from == nil {
		return
	}
	links, leftOut := from.Links()
	t.note(func(n *notes) {
		n.leftOut += leftOut
		for _, l := range links {
			n.leftOut += noted(&n.links, sdk.Link{SpanContext: l.SpanContext, Attributes: l.Attributes})
		}
		n.unread = from.Unread
	})
}

// Took notes the time that an interceptor, whose key that is, has taken itself. A request that is
// divided passes some of them more than once.
func (t *Trace) Took(interceptor attribute.Key, d time.Duration) {
	t.note(func(n *notes) {
		ms := float64(d.Nanoseconds()) / 1e6
		for i := range n.took {
			if n.took[i].Key == interceptor {
				n.took[i] = interceptor.Float64(n.took[i].Value.AsFloat64() + ms)
				return
			}
		}
		n.took = append(n.took, interceptor.Float64(ms))
	})
}

// Sampled reports a trace that is sent whatever comes of its request.
func (t *Trace) Sampled() bool { return t != nil && t.span != nil }

// Tells reports whether more than the times of a trip is worth to be noted: the trace is sent, or
// may be because of how the trip ended or of what a fetch has brought.
func (t *Trace) Tells(fetch, failed bool, now time.Time) bool {
	if t.span != nil || t.tracer == nil {
		return t.span != nil
	}
	return fetch && t.tracer.parents || failed && t.tracer.errors || t.tracer.slower > 0 && now.UnixNano()-t.began > int64(t.tracer.slower)
}

// Wanted reports whether the trace is sent, given the outcome of the request, when it arrived, and
// how long it may have taken without being slow.
func (t *Trace) Wanted(failed bool, arrived time.Time, patience time.Duration) bool {
	switch {
	case t == nil, t.tracer == nil:
		return false
	case t.span != nil:
		return true
	case failed && t.tracer.errors, t.tracer.slower > 0 && patience >= 0 && time.Since(arrived) > t.tracer.slower+patience:
		return t.tracer.failures.allow()
	}
	return false
}

// End sends the trace of a request of an API about something that is Wanted. code is the name of
// the Kafka error that it was answered with, "" for none.
func (t *Trace) End(key kmsg.Key, about *Subject, err error, code string, f Facts) {
	s := t.span
	if s == nil {
		s = t.tracer.span("", trace.SpanKindServer, t.began, trace.SpanContext{})
	}
	s.SetName(SpanName(key, about.topic()))
	t.mu.Lock()
	var trips []Trip
	if t.span == nil { // those of a sampled one were sent as they ended
		trips = t.trips()
	}
	if t.notes != nil {
		s.tell(t.notes)
		t.notes = nil
	}
	t.mu.Unlock()
	for i := range trips {
		t.tracer.send(s.SpanContext(), &trips[i])
	}
	s.facts = f
	fail(s, err)
	if code != "" {
		FailAs(s, code, code)
	}
	s.End()
}

// tell adds what was noted.
func (s *span) tell(n *notes) {
	s.edit(func() {
		s.events = append(n.events, s.events...)
		links, over := first(append(n.links, s.links...), s.tracer.limits.LinkCountLimit)
		s.links = links
		s.dropped.links += int32(min(over+n.leftOut, math.MaxInt32))
		s.attrs = append(s.attrs, n.took...)
		if n.unread > 0 {
			s.attrs = append(s.attrs, Unread.Int64(n.unread))
		}
	})
}

// Where is a node of a cluster, or a cluster where any node does, as it is known to trips: one
// value for all of a connection.
type Where struct {
	cluster string
	node    int32
	attrs   []attribute.KeyValue
}

// NewWhere names a cluster, Kafka's id of it, a node, negative for any, its address as the cluster
// tells it, host:port, and the one that it was reached at; what is not known is empty.
func NewWhere(cluster, id string, node int32, server string, peer net.Addr) *Where {
	w := &Where{cluster: cluster, node: node}
	w.attrs = append(w.attrs, Transport.String("tcp"), Cluster.String(cluster), Node.Int(int(node)))
	if id != "" {
		w.attrs = append(w.attrs, ClusterID.String(id))
	}
	if server != "" {
		w.attrs = appendAddress(w.attrs, ServerAddress, ServerPort, server)
	}
	if peer != nil {
		w.attrs = AppendPeer(w.attrs, peer)
	}
	return w
}

func (w *Where) String() string {
	if w.node < 0 {
		return w.cluster
	}
	return w.cluster + "/" + strconv.Itoa(int(w.node))
}

// Trip is a request of an API to a cluster and back. Times are in unix nanoseconds.
type Trip struct {
	Where         *Where
	Queued, Ended int64
	// When the request was handed to the kernel, and the first byte of its answer came; 0: never.
	Sent, Came int64
	Err        error // in place of an answer
	Key        kmsg.Key
	// Code is the name of the Kafka error that was answered, "" for none. About may be nil.
	Code  string
	About *Subject
}

// brief is a Trip that ended well. Its times are in microseconds from the arrival of the request;
// 0: never.
type brief struct {
	where                     *Where
	queued, sent, came, ended uint32
}

func (b brief) trip(began int64, key kmsg.Key) Trip {
	at := func(micros uint32) int64 {
		if micros == 0 {
			return 0
		}
		return began + int64(micros)*1000
	}
	return Trip{Where: b.where, Key: key, Queued: at(b.queued), Sent: at(b.sent), Came: at(b.came), Ended: at(b.ended)}
}

func (p *Trip) brief(began int64) brief {
	at := func(t int64) uint32 {
		if t == 0 {
			return 0
		}
		return uint32(min(max((t-began)/1000, 1), 1<<32-1))
	}
	return brief{p.Where, at(p.Queued), at(p.Sent), at(p.Came), at(p.Ended)}
}

// Trip notes one that has ended. ctx is the one in which it began.
func (t *Trace) Trip(ctx context.Context, p Trip) {
	if p.Sent < p.Queued {
		p.Sent = 0 // that was the trip before, on a link that broke
	}
	if t.span != nil {
		t.tracer.send(trace.SpanContextFromContext(ctx), &p)
		if !t.kept {
			return
		}
	}
	t.mu.Lock()
	if t.first.where == nil && t.notes == nil && p.Err == nil && p.About == nil {
		t.first, t.key = p.brief(t.began), p.Key
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	t.note(func(n *notes) { noted(&n.trips, p) })
}

// send makes the span of a trip.
func (t *Tracer) send(parent trace.SpanContext, p *Trip) {
	trip := *p
	s := t.span(SpanName(p.Key, p.About.topic()), trace.SpanKindClient, p.Queued, parent)
	s.facts = &trip
	fail(s, p.Err)
	if p.Code != "" {
		FailAs(s, p.Code, p.Code)
	}
	s.finish(p.Ended)
}

// AppendAttributes is for Facts.
func (p *Trip) AppendAttributes(dst []attribute.KeyValue) []attribute.KeyValue {
	return p.About.AppendAttributes(append(dst, p.Where.attrs...), p.Key)
}

func (p *Trip) events() []sdk.Event {
	events := append(make([]sdk.Event, 0, 3), sdk.Event{Name: "queued", Time: time.Unix(0, p.Queued)})
	if p.Sent > 0 {
		events = append(events, sdk.Event{Name: "sent", Time: time.Unix(0, p.Sent)})
	}
	if p.Came > 0 {
		events = append(events, sdk.Event{Name: "first byte", Time: time.Unix(0, p.Came)})
	}
	return events
}

// AppendPeer adds the attributes of the other side's address.
func AppendPeer(dst []attribute.KeyValue, a net.Addr) []attribute.KeyValue {
	return appendAddr(dst, PeerAddress, PeerPort, a)
}

// AppendServer adds the attributes of the address that a client has connected to.
func AppendServer(dst []attribute.KeyValue, a net.Addr) []attribute.KeyValue {
	return appendAddr(dst, ServerAddress, ServerPort, a)
}

func appendAddr(dst []attribute.KeyValue, host, port attribute.Key, a net.Addr) []attribute.KeyValue {
	if a, ok := a.(*net.TCPAddr); ok {
		return append(dst, host.String(a.IP.String()), port.Int(a.Port))
	}
	return appendAddress(dst, host, port, a.String())
}

func appendAddress(dst []attribute.KeyValue, host, port attribute.Key, addr string) []attribute.KeyValue {
	h, p, err := net.SplitHostPort(addr)
	if err != nil {
		return append(dst, host.String(addr))
	}
	n, _ := strconv.Atoi(p)
	return append(dst, host.String(h), port.Int(n))
}
