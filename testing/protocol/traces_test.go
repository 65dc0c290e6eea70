package protocol

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// receiver is an OTLP receiver that keeps what it gets.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*traces.Span
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			r.spans = append(r.spans, ss.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *receiver) all() []*traces.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// TestRequestsAreTraced over OTLP: one server span per request, a child per interceptor, each inside the
// one above it, and a client span per upstream request below the last.
func TestRequestsAreTraced(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rec := &receiver{}
	s := grpc.NewServer()
	collector.RegisterTraceServiceServer(s, rec)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)

	h := build(t, "orders")
	if err := h.gw.Edit("state: {dir: ./state}", fmt.Sprintf("state: {dir: ./state}\ntelemetry: {traces: {endpoint: %q, insecure: true}}", l.Addr())); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool { return h.gw.Snapshot().Telemetry.Traces.Endpoint != "" })
	h.produce(h.client(h.gw.Bootstrap, kgo.ClientID("traced")), "orders", "x", 3)
	if err := h.gw.Stop(); err != nil { // sends what is left
		t.Fatal(err)
	}
	if err := h.gw.Restart(h.ctx); err != nil {
		t.Fatal(err)
	}
	byID := map[string]*traces.Span{}
	for _, sp := range rec.all() {
		byID[string(sp.SpanId)] = sp
	}
	chains := map[string]int{}
	for _, sp := range rec.all() {
		if sp.Kind != traces.Span_SPAN_KIND_CLIENT {
			continue
		}
		var path []string
		for at := sp; at != nil; at = byID[string(at.ParentSpanId)] {
			path = append(path, at.Name)
			if at.EndTimeUnixNano < at.StartTimeUnixNano {
				t.Errorf("%s ends before it begins", at.Name)
			}
			if at.Kind == traces.Span_SPAN_KIND_SERVER {
				attrs := map[string]string{}
				for _, a := range at.Attributes {
					attrs[a.Key] = a.Value.GetStringValue()
				}
				if attrs["messaging.system"] != "kafka" || attrs["sluice.virtual_cluster"] != tenant || attrs["messaging.operation.name"] != at.Name || attrs["network.peer.address"] == "" {
					t.Errorf("attributes of %s: %v", at.Name, attrs)
				}
			}
		}
		chains[strings.Join(path, " < ")]++
	}
	if n := chains["Produce < offsets < topics < routing < Produce"]; n != 3 {
		t.Errorf("%d produces with their chain; all: %v", n, chains)
	}
	if n := chains["Metadata < offsets < topics < routing < Metadata"]; n == 0 {
		t.Errorf("no metadata with its chain: %v", chains)
	}
}
