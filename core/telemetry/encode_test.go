package telemetry

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// message keeps what the SDK would send.
type message struct{ list []*otlp.ResourceSpans }

func (*message) Start(context.Context) error { return nil }
func (*message) Stop(context.Context) error  { return nil }
func (m *message) UploadTraces(_ context.Context, list []*otlp.ResourceSpans) error {
	m.list = append(m.list, list...)
	return nil
}

// sameAsTheSDK compares the encoding of a batch with what the SDK makes of it.
func sameAsTheSDK(t *testing.T, batch []sdk.ReadOnlySpan) {
	t.Helper()
	var want message
	exporter, err := otlptrace.New(t.Context(), &want)
	if err != nil {
		t.Fatal(err)
	}
	if err := exporter.ExportSpans(t.Context(), batch); err != nil || len(want.list) != 1 {
		t.Fatal(want.list, err)
	}
	for _, scope := range want.list[0].ScopeSpans {
		for _, s := range scope.Spans {
			if proto.Size(s.Status) == 0 {
				s.Status = nil // an empty message says as much as none
			}
		}
	}
	for _, scope := range want.list[0].ScopeSpans { // the SDK leaves out the states of links
		for _, s := range scope.Spans {
			for _, l := range s.Links {
				i := slices.IndexFunc(batch, func(b sdk.ReadOnlySpan) bool { id := b.SpanContext().SpanID(); return bytes.Equal(id[:], s.SpanId) })
				for _, of := range batch[i].Links() {
					if id := of.SpanContext.SpanID(); bytes.Equal(id[:], l.SpanId) {
						l.TraceState = of.SpanContext.TraceState().String()
					}
				}
			}
		}
	}
	sorted := func(m *otlp.ResourceSpans) *otlp.ResourceSpans {
		slices.SortFunc(m.ScopeSpans, func(a, b *otlp.ScopeSpans) int {
			return strings.Compare(a.GetScope().GetName(), b.GetScope().GetName())
		})
		return m
	}
	var e encoder
	for range 2 { // the second time in used memory
		if got := sorted(received(e.encode(batch))); !proto.Equal(got, sorted(want.list[0])) {
			t.Errorf("encoded as\n%v\nby the SDK as\n%v", got, want.list[0])
		}
	}
}

func contextOf(n byte, remote bool) trace.SpanContext {
	state, _ := trace.ParseTraceState("vendor=value")
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{n}, SpanID: trace.SpanID{n}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: remote})
}

// TestSpansAreEncodedAsTheSDKDoes: of all there is in a span, of several scopes, with short and
// long fields.
func TestSpansAreEncodedAsTheSDKDoes(t *testing.T) {
	long := strings.Repeat("long", 100)
	attrs := []attribute.KeyValue{
		attribute.String("string", "s"), attribute.String("empty", ""), attribute.String("long", long),
		attribute.Bool("true", true), attribute.Bool("false", false), attribute.Int64("int", -5), attribute.Int64("zero", 0), attribute.Float64("float", 2.5),
		attribute.StringSlice("strings", []string{"a", "", "b"}), attribute.BoolSlice("bools", []bool{true, false}),
		attribute.Int64Slice("ints", []int64{0, 1, -1}), attribute.Float64Slice("floats", []float64{0, 1.5}), attribute.StringSlice("none", nil),
	}
	at := time.Unix(1_700_000_000, 123_456_789)
	res := resource.NewWithAttributes("https://example.com/resource", attribute.String("service.name", "sluice"))
	stubs := tracetest.SpanStubs{
		{Name: "least", Resource: res, StartTime: at, EndTime: at},
		{
			Name: "most", Resource: res, SpanContext: contextOf(1, false), Parent: contextOf(2, true), SpanKind: trace.SpanKindServer, StartTime: at, EndTime: at.Add(time.Second),
			Attributes: attrs, Status: sdk.Status{Code: codes.Error, Description: long},
			Events: []sdk.Event{{Name: "event", Time: at, Attributes: attrs, DroppedAttributeCount: 1}, {Time: at}},
			Links:  []sdk.Link{{SpanContext: contextOf(3, true), Attributes: attrs, DroppedAttributeCount: 2}, {SpanContext: contextOf(4, false)}},

			DroppedAttributes: 3, DroppedEvents: 4, DroppedLinks: 1 << 20, InstrumentationScope: instrumentation.Scope{Name: "one", Version: "v1", SchemaURL: "https://example.com/schema"},
		},
		{Name: "other scope", Resource: res, SpanContext: contextOf(5, false), SpanKind: trace.SpanKindClient, Status: sdk.Status{Code: codes.Ok}, StartTime: at, InstrumentationScope: instrumentation.Scope{Name: "two", Attributes: attribute.NewSet(attribute.Int("a", 1))}},
		{Name: "first scope again", Resource: res, SpanContext: contextOf(6, false), SpanKind: trace.SpanKindProducer, StartTime: at, EndTime: at, InstrumentationScope: instrumentation.Scope{Name: "one", Version: "v1", SchemaURL: "https://example.com/schema"}},
	}
	sameAsTheSDK(t, stubs.Snapshots())
}
