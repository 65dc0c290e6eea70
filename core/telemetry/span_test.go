package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// tracing is a Tracer whose spans stay where they wait to be sent.
func tracing(t *testing.T, c Config) *Tracer {
	t.Helper()
	tracer := newTracer(c, &kept{}, resource.NewSchemaless(attribute.String("service.name", "sluice")), slog.Default())
	t.Cleanup(func() { _ = tracer.Close(context.Background()) })
	return tracer
}

// ended are the spans that have ended, in words: their parents, kinds and what they tell.
func ended(t *Tracer) map[string]string {
	t.batches.mu.Lock()
	defer t.batches.mu.Unlock()
	names, out := map[trace.SpanID]string{}, map[string]string{}
	for _, s := range t.batches.waiting {
		names[s.SpanContext().SpanID()] = s.Name()
	}
	for _, s := range t.batches.waiting {
		var b strings.Builder
		fmt.Fprintf(&b, "%s, %s:", names[s.Parent().SpanID()], s.SpanKind())
		for _, kv := range s.Attributes() {
			fmt.Fprintf(&b, " %s=%s", kv.Key, kv.Value.String())
		}
		for _, e := range s.Events() {
			fmt.Fprintf(&b, "; %s", e.Name)
			for _, kv := range e.Attributes {
				fmt.Fprintf(&b, " %s=%s", kv.Key, kv.Value.String())
			}
		}
		if n := len(s.Links()); n > 0 {
			fmt.Fprintf(&b, "; %d links", n)
		}
		if st := s.Status(); st.Code != codes.Unset {
			fmt.Fprintf(&b, "; %s %s", st.Code, st.Description)
		}
		if s.DroppedAttributes()+s.DroppedEvents()+s.DroppedLinks() > 0 {
			fmt.Fprintf(&b, "; dropped %d, %d, %d", s.DroppedAttributes(), s.DroppedEvents(), s.DroppedLinks())
		}
		out[s.Name()] = b.String()
	}
	return out
}

func wantSpans(t *testing.T, tracer *Tracer, want map[string]string) {
	t.Helper()
	got := ended(tracer)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s is\n%s, not\n%s", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("the spans are %v", slices.Sorted(maps.Keys(got)))
	}
}

// origins are those of records with such headers.
func origins(traceparents ...string) *Origins {
	o := &Origins{}
	for _, header := range traceparents {
		o.Add([]byte(header), nil, Record{})
	}
	return o
}

// facts is Facts.
type facts []attribute.KeyValue

func (f facts) AppendAttributes(dst []attribute.KeyValue) []attribute.KeyValue {
	return append(dst, f...)
}

// TestTheSpansOfARequest that is sampled: of interceptors, guests, trips, and of interceptors that
// use the SDK.
func TestTheSpansOfARequest(t *testing.T) {
	tracer, arrived := tracing(t, Config{SampleRatio: 1}), time.Now()
	ctx, r := tracer.Request(t.Context(), kmsg.Produce, arrived, &Trace{}, nil)
	if !r.Sampled() || !trace.SpanContextFromContext(ctx).Equal(r.Context()) {
		t.Fatalf("the trace is %v", r)
	}
	within, child := Child(ctx, "mask", Interceptor.String("mask"))
	_, guest := Child(within, "on_produce", Guest.String("mask"))
	guest.SetAttributes(attribute.Int("records", 1), attribute.Int("records", 2))
	guest.AddEvent("seen", trace.WithAttributes(attribute.Bool("all", true)))
	guest.AddLink(trace.Link{SpanContext: contextOf(7, true)})
	guest.SetStatus(codes.Error, "not yet")
	End(guest, errors.New("broken"))
	guest.SetAttributes(attribute.Int("records", 3)) // too late, like those below
	guest.AddEvent("late")
	guest.SetName("late")
	guest.SetStatus(codes.Ok, "")
	End(guest, nil)
	under, foreign := child.TracerProvider().Tracer("foreign").Start(within, "of the SDK")
	_, below := Child(under, "below", attribute.Int("n", 1))
	End(below, nil)
	foreign.End()
	child.SetStatus(codes.Ok, "not told")
	End(child, nil)

	where, queued := NewWhere("prod", "id-1", 1, "kafka.example.com:9093", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092}), arrived.UnixNano()
	r.Trip(within, Trip{Where: where, Key: kmsg.Produce, Queued: queued, Sent: queued + 1, Came: queued + 2, Ended: queued + 3, Code: "INVALID_RECORD", About: &Subject{
		Topics: []string{"p.orders"}, Topic: "p.orders", Partition: 3, Records: 2, Runs: []Run{{"p.orders", 3, 7, 8}}, Failed: []Failed{{"p.orders", 4, "INVALID_RECORD"}},
	}})
	r.Trip(ctx, Trip{Where: NewWhere("dr", "", -1, "", nil), Key: kmsg.Metadata, Queued: queued, Sent: queued - 1, Ended: queued + 3, Err: errors.New("gone")})
	r.Forked(2, "routing")
	r.Held(arrived, time.Millisecond, "a move", contextOf(8, false))
	r.SentAgain("prod", "not the leader")
	r.Linked(origins("00-09000000000000000000000000000000-0900000000000000-01", "none"))
	r.Took(OwnTimeOf("wasm mask"), time.Millisecond)
	r.Took(OwnTimeOf("wasm mask"), time.Millisecond/2) // of another part
	if !r.Wanted(false, arrived, 0) {
		t.Error("it is not wanted")
	}
	r.End(kmsg.Produce, &Subject{Topic: "orders"}, nil, "NOT_LEADER_OR_FOLLOWER", facts{ErrorType.String("none"), Topics.StringSlice([]string{"orders"})})
	if _, none := Child(ctx, "late"); none.IsRecording() {
		t.Error("a span that has ended has a child")
	}
	wantSpans(t, tracer, map[string]string{
		"send orders": `, server: error.type=NOT_LEADER_OR_FOLLOWER sluice.topics=["orders"] sluice.interceptor.duration_ms.wasm.mask=1.5; fork sluice.count=2 sluice.reason=routing; held sluice.reason=a move sluice.duration_ms=1` +
			`; sent again sluice.cluster=prod sluice.reason=not the leader; 2 links; Error NOT_LEADER_OR_FOLLOWER`,
		"send p.orders": `mask, client: network.transport=tcp sluice.cluster=prod sluice.node=1 sluice.cluster.id=id-1 server.address=kafka.example.com server.port=9093 network.peer.address=127.0.0.1 network.peer.port=9092` +
			` messaging.system=kafka messaging.operation.name=send messaging.operation.type=send messaging.destination.name=p.orders messaging.destination.partition.id=3 messaging.batch.message_count=2` +
			` sluice.topics=["p.orders"] messaging.kafka.offset=7 sluice.offsets=["p.orders-3: 7-8"] sluice.failures=["p.orders-4: INVALID_RECORD"] error.type=INVALID_RECORD; queued; sent; first byte; Error INVALID_RECORD`,
		"mask":       "send orders, internal: sluice.interceptor=mask; Ok ",
		"on_produce": "mask, internal: sluice.guest=mask records=2 error.type=_OTHER; seen all=true; exception exception.type=*errors.errorString exception.message=broken; 1 links; Error broken",
		"of the SDK": "mask, internal:",
		"below":      "of the SDK, internal: n=1",
		"Metadata": "send orders, client: network.transport=tcp sluice.cluster=dr sluice.node=-1 messaging.system=kafka messaging.operation.name=Metadata error.type=_OTHER" +
			"; queued; exception exception.type=*errors.errorString exception.message=gone; Error gone",
	})
	sameAsTheSDK(t, tracer.batches.waiting)
}

// TestARequestThatIsWatched is traced if it fails or is slow, with what was noted of it, and
// without what would be noted for ever.
func TestARequestThatIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracer, arrived := tracing(t, Config{SampleRatio: 0, Errors: true, Slower: time.Second}), time.Now()
		begun := func() *Trace {
			ctx, r := tracer.Request(t.Context(), kmsg.Fetch, arrived, &Trace{}, nil)
			about := fact.Must(t, "the trace is %v", r)
			fact.True(about, "r != nil", r != nil)
			fact.False(about, "r.Sampled()", r.Sampled())
			fact.False(about, "r.Context().IsValid()", r.Context().IsValid())
			fact.Equal(about, "ctx", ctx, t.Context())
			return r
		}
		well, tried := begun(), begun()
		queued := arrived.UnixNano()
		trip := Trip{Where: NewWhere("prod", "", 1, "", nil), Key: kmsg.Fetch, Queued: queued + 1e6, Sent: queued + 2e6, Came: queued + 3e6, Ended: queued + 4e6}
		well.Trip(t.Context(), trip)
		well.mu.Lock()
		if got := well.trips(); len(got) != 1 || got[0] != trip {
			t.Errorf("of a trip to the millisecond, %+v was noted", got)
		}
		well.mu.Unlock()
		if well.Wanted(false, arrived, 0) {
			t.Error("one that went well is wanted")
		}
		for range 2 * most {
			tried.Trip(t.Context(), trip)
			tried.Held(arrived, 0, "a move", contextOf(1, false))
			tried.Linked(origins("00-02000000000000000000000000000000-0200000000000000-01"))
		}
		if got := tried.Nodes(); len(got) != 1 || got[0] != "prod/1" {
			t.Errorf("the nodes are %v", got)
		}
		if !tried.Wanted(true, arrived, 0) {
			t.Error("one that failed is not wanted")
		}
		tried.End(kmsg.Fetch, nil, errors.New("gone"), "", nil)
		events, links, trips := 0, 0, 0
		for _, s := range tracer.batches.waiting {
			if s.Name() == "poll" && s.SpanKind() == trace.SpanKindServer {
				events, links = len(s.Events()), len(s.Links())
			} else {
				trips++
			}
		}
		if events != most+1 || links != most || trips != most+1 {
			t.Errorf("%d events, %d links and %d trips were noted", events, links, trips)
		}
		time.Sleep(time.Second + 1)
		if !well.Wanted(false, arrived, 0) || well.Wanted(false, arrived, time.Second) || well.Wanted(false, arrived, -1) {
			t.Error("a slow one is not told from one that may take that long")
		}
		_ = tracer.Close(t.Context())
	})
}

// TestTripsAreNotedInMicroseconds from the arrival, however the clock was set meanwhile.
func TestTripsAreNotedInMicroseconds(t *testing.T) {
	const hour = int64(time.Hour)
	where := NewWhere("prod", "", -1, "", nil)
	for trip, want := range map[Trip]Trip{
		{Queued: 5_999, Sent: 0, Came: 0, Ended: 6_000}:     {Queued: 5_000, Ended: 6_000},
		{Queued: 1, Sent: 2, Came: 3, Ended: 4}:             {Queued: 1000, Sent: 1000, Came: 1000, Ended: 1000},
		{Queued: -5, Ended: 2 * hour}:                       {Queued: 1000, Ended: (1<<32 - 1) * 1000},
		{Queued: hour, Sent: hour, Came: hour, Ended: hour}: {Queued: hour, Sent: hour, Came: hour, Ended: hour},
	} {
		trip.Where, want.Where, trip.Key, want.Key = where, where, kmsg.Fetch, kmsg.Fetch
		for _, began := range []int64{0, 1_700_000_000_000_000_000} {
			at := func(p Trip) Trip {
				for _, f := range []*int64{&p.Queued, &p.Sent, &p.Came, &p.Ended} {
					if *f != 0 {
						*f += began
					}
				}
				return p
			}
			p := at(trip)
			if got := p.brief(began).trip(began, kmsg.Fetch); got != at(want) {
				t.Errorf("%+v became %+v", p, got)
			}
		}
	}
}

// TestAFailedSpanHasAnErrorType, also one of an interceptor that knows nothing of it, and none that
// said OK in the end.
func TestAFailedSpanHasAnErrorType(t *testing.T) {
	tracer := tracing(t, Config{SampleRatio: 1})
	ctx, _ := tracer.Request(t.Context(), kmsg.Fetch, time.Now(), &Trace{}, nil)
	for name, codes := range map[string][]codes.Code{"failed": {codes.Error}, "well in the end": {codes.Error, codes.Ok}} {
		_, s := Child(ctx, name)
		for _, c := range codes {
			s.SetStatus(c, "")
		}
		s.End()
	}
	wantSpans(t, tracer, map[string]string{"failed": ", internal: error.type=_OTHER; Error ", "well in the end": ", internal:; Ok "})
}

// TestSpansHaveLimits, which the variables of the SDK set.
func TestSpansHaveLimits(t *testing.T) {
	t.Setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
	t.Setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "1")
	t.Setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "1")
	t.Setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
	tracer := tracing(t, Config{SampleRatio: 1})
	ctx, r := tracer.Request(t.Context(), kmsg.Fetch, time.Now(), &Trace{}, nil)
	_, s := Child(ctx, "child", attribute.String("a", "äöüß"))
	for range 2 {
		s.SetAttributes(attribute.StringSlice("b", []string{"four", "abc"}), attribute.Int("c", 12345))
		s.AddEvent("event", trace.WithAttributes(attribute.String("d", "long")))
		s.AddLink(trace.Link{SpanContext: contextOf(1, false)})
	}
	End(s, nil)
	r.Trip(ctx, Trip{Where: NewWhere("prod", "", 1, "", nil), Key: kmsg.Metadata, Queued: 1, Sent: 2, Came: 3, Ended: 4})
	r.End(kmsg.Fetch, nil, nil, "", facts{attribute.String("e", "long"), attribute.Int("f", 1), attribute.Int("g", 1)})
	wantSpans(t, tracer, map[string]string{
		"child":    `poll, internal: a=äöü b=["fou","abc"]; event d=lon; 1 links; dropped 3, 1, 1`,
		"Metadata": "poll, client: network.transport=tcp sluice.cluster=pro; queued; dropped 3, 2, 0",
		"poll":     ", server: e=lon f=1; dropped 1, 0, 0",
	})
	sameAsTheSDK(t, tracer.batches.waiting)
}

// TestATextThatIsNoUTF8 costs its own span a few characters, and no batch.
func TestATextThatIsNoUTF8(t *testing.T) {
	tracer := tracing(t, Config{SampleRatio: 1})
	for _, id := range []string{"till \xff\xfe", "shop"} {
		_, r := tracer.Request(t.Context(), kmsg.Fetch, time.Now(), &Trace{}, nil)
		r.End(kmsg.Fetch, nil, errors.New(id), "", facts{ClientID.String(id), Topics.StringSlice([]string{id})})
	}
	var e encoder
	got := received(e.encode(tracer.batches.waiting)) // as a receiver, which would refuse it
	for i, want := range []string{"till \uFFFD", "shop"} {
		if s := got.ScopeSpans[0].Spans[i]; s.Attributes[0].Value.GetStringValue() != want || s.Status.Message != want {
			t.Errorf("%s became %v", want, s)
		}
	}
}

// TestSpansHaveIDsOfTheirOwn.
func TestSpansHaveIDsOfTheirOwn(t *testing.T) {
	tracer := tracing(t, Config{SampleRatio: 1})
	seen := map[string]bool{}
	for range 1000 {
		ctx, r := tracer.Request(t.Context(), kmsg.Fetch, time.Now(), &Trace{}, nil)
		_, s := Child(ctx, "child")
		for _, id := range []string{r.Context().TraceID().String(), r.Context().SpanID().String(), s.SpanContext().SpanID().String()} {
			if seen[id] || strings.Trim(id, "0") == "" {
				t.Fatalf("%s again", id)
			}
			seen[id] = true
		}
		if s.SpanContext().TraceID() != r.Context().TraceID() || !s.SpanContext().IsSampled() {
			t.Fatal(s.SpanContext())
		}
	}
}

// TestASpanHasAllMethods that exporters may call, also those of a later SDK.
func TestASpanHasAllMethods(t *testing.T) {
	tracer := tracing(t, Config{SampleRatio: 1})
	ctx, _ := tracer.Request(t.Context(), kmsg.Fetch, time.Now(), &Trace{}, nil)
	s := sdk.ReadOnlySpan(trace.SpanFromContext(ctx).(*span))
	for m := range reflect.TypeFor[sdk.ReadOnlySpan]().Methods() {
		if m.IsExported() {
			reflect.ValueOf(s).MethodByName(m.Name).Call(nil) // panics if nothing but the interface has it
		}
	}
}
