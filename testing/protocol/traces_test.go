package protocol

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// receiver is an OTLP receiver that keeps what it gets.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu     sync.Mutex
	spans  []*traces.Span
	scopes []*traces.ScopeSpans
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			r.spans = append(r.spans, ss.Spans...)
			r.scopes = append(r.scopes, ss)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *receiver) all() []*traces.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// traced is a house whose gateway sends traces to a receiver.
func traced(t *testing.T, settings string, more ...string) (*house, *receiver) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rec := &receiver{}
	s := grpc.NewServer()
	collector.RegisterTraceServiceServer(s, rec)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	h := build(t, append([]string{"orders"}, more...)...)
	if err := h.gw.Edit("state: {dir: ./state}", fmt.Sprintf("state: {dir: ./state}\ntelemetry: {traces: {endpoint: %q, insecure: true%s}}", l.Addr(), settings)); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool { return h.gw.Snapshot().Telemetry.Traces.Endpoint != "" })
	return h, rec
}

// spans stops the gateway, which sends what is left, and returns the spans by name.
func (h *house) spans(rec *receiver) map[string][]*traces.Span {
	h.t.Helper()
	if err := h.gw.Stop(); err != nil {
		h.t.Fatal(err)
	}
	if err := h.gw.Restart(h.ctx); err != nil {
		h.t.Fatal(err)
	}
	out := map[string][]*traces.Span{}
	for _, s := range rec.all() {
		out[s.Name] = append(out[s.Name], s)
		if s.EndTimeUnixNano < s.StartTimeUnixNano {
			h.t.Errorf("%s ends before it begins", s.Name)
		}
		conventional(h.t, s)
	}
	for _, s := range rec.scopes {
		if s.SchemaUrl != telemetry.SchemaURL || s.Scope.GetName() == "" || s.Scope.GetVersion() == "" {
			h.t.Errorf("a scope is %v of the schema %q", s.Scope, s.SchemaUrl)
		}
	}
	return out
}

// conventional holds a span against the table of conventions: it has attributes of the table alone,
// of their types, and an error.type if it failed, and then alone.
func conventional(t *testing.T, s *traces.Span) {
	t.Helper()
	lists := [][]*common.KeyValue{s.Attributes}
	for _, e := range s.Events {
		lists = append(lists, e.Attributes)
	}
	for _, l := range s.Links {
		lists = append(lists, l.Attributes)
	}
	for _, kv := range slices.Concat(lists...) {
		c, ok := telemetry.ConventionOf(attribute.Key(kv.Key))
		if got := typeOf(kv.Value); !ok || got != c.Type {
			t.Errorf("%s has %s, a %s, which is not in the table", s.Name, kv.Key, got)
		}
	}
	if failed, kind := s.Status.GetCode() == traces.Status_STATUS_CODE_ERROR, attributes(s)["error.type"]; failed != (kind != "") {
		t.Errorf("%s has failed: %t, with the error %q", s.Name, failed, kind)
	}
}

func typeOf(v *common.AnyValue) attribute.Type {
	switch v.Value.(type) {
	case *common.AnyValue_StringValue:
		return attribute.STRING
	case *common.AnyValue_IntValue:
		return attribute.INT64
	case *common.AnyValue_DoubleValue:
		return attribute.FLOAT64
	case *common.AnyValue_BoolValue:
		return attribute.BOOL
	case *common.AnyValue_ArrayValue:
		return attribute.STRINGSLICE
	}
	return attribute.EMPTY
}

func attributes(s *traces.Span) map[string]string {
	out := map[string]string{}
	for _, a := range s.Attributes {
		switch v := a.Value; {
		case v.GetStringValue() != "":
			out[a.Key] = v.GetStringValue()
		case v.GetArrayValue() != nil:
			var all []string
			for _, e := range v.GetArrayValue().Values {
				all = append(all, e.GetStringValue())
			}
			out[a.Key] = strings.Join(all, ", ")
		default:
			out[a.Key] = fmt.Sprint(v.GetIntValue())
		}
	}
	return out
}

func events(s *traces.Span) (out []string) {
	for _, e := range s.Events {
		out = append(out, e.Name)
	}
	return out
}

func server(spans []*traces.Span) (out []*traces.Span) {
	return slices.DeleteFunc(slices.Clone(spans), func(s *traces.Span) bool { return s.Kind != traces.Span_SPAN_KIND_SERVER })
}

// TestRequestsAreTraced over OTLP: one server span per request, with spans: all a child per
// interceptor, each inside the one above it, and a client span per upstream request below the last.
// Contexts in records become links, and records without one get one.
func TestRequestsAreTraced(t *testing.T) {
	h, rec := traced(t, ", spans: all")
	if err := h.gw.Edit("- offsets: {}", "- traces: {inject: missing}\n      - offsets: {}"); err != nil {
		t.Fatal(err)
	}
	h.wait("the interceptor", func() bool { return strings.Contains(string(h.gw.Snapshot().Source), "inject") })
	p := h.client(h.gw.Bootstrap, kgo.ClientID("traced"))
	const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	h.produce(p, "orders", "x", 2)
	if err := p.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("linked"), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(theirs)}}}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	got := h.read(h.prod.Bootstrap()[0], "orders", 0, 3)
	all := h.spans(rec)
	byID := map[string]*traces.Span{}
	for _, list := range all {
		for _, s := range list {
			byID[string(s.SpanId)] = s
		}
	}
	chains := map[string]int{}
	for _, s := range byID {
		if s.Kind != traces.Span_SPAN_KIND_CLIENT {
			continue
		}
		if want := []string{"queued", "sent", "first byte"}; !slices.Equal(events(s), want) {
			t.Errorf("%s has the events %q", s.Name, events(s))
		}
		var path []string
		for at := s; at != nil; at = byID[string(at.ParentSpanId)] {
			path = append(path, at.Name)
		}
		chains[strings.Join(path, " < ")]++
	}
	if n := chains["send orders < offsets < traces < topics < routing < send orders"]; n != 3 {
		t.Errorf("%d produces with their chain; all: %v", n, chains)
	}
	if n := chains["Metadata orders < offsets < topics < routing < Metadata orders"]; n == 0 {
		t.Errorf("no metadata with its chain: %v", chains)
	}
	produces := server(all["send orders"])
	slices.SortFunc(produces, func(a, b *traces.Span) int { return int(a.StartTimeUnixNano) - int(b.StartTimeUnixNano) })
	for i, s := range produces {
		a := attributes(s)
		for k, want := range map[string]string{
			"messaging.system": "kafka", "messaging.operation.name": "send", "messaging.operation.type": "send", "messaging.destination.name": "orders",
			"messaging.destination.partition.id": "0", "messaging.kafka.offset": strconv.Itoa(i), "messaging.batch.message_count": "1", "sluice.offsets": fmt.Sprintf("orders-0: %d", i), "server.address": "127.0.0.1", "messaging.client.id": "traced", "network.peer.address": "127.0.0.1", "network.transport": "tcp",
			"sluice.virtual_cluster": tenant, "sluice.error_code": "0", "sluice.topics": "orders",
		} {
			if a[k] != want {
				t.Errorf("%s is %q, want %q", k, a[k], want)
			}
		}
		about := fact.Of(t, "attributes %v", a)
		fact.Other(about, `a["sluice.request.size"]`, a["sluice.request.size"], "0")
		fact.Other(about, `a["sluice.response.size"]`, a["sluice.response.size"], "0")
		fact.Other(about, `a["network.peer.port"]`, a["network.peer.port"], "0")
		fact.Other(about, `a["server.port"]`, a["server.port"], "")
		fact.Other(about, `a["sluice.interceptor.duration_ms.routing"]`, a["sluice.interceptor.duration_ms.routing"], "")
		header := string(got[i].Headers[0].Value)
		if i == 2 {
			about := fact.Of(t, "links %v, headers %v", s.Links, got[i].Headers)
			if fact.Equal(about, "len(s.Links)", len(s.Links), 1) {
				fact.Equal(about, "hex.EncodeToString(s.Links[0].TraceId)", hex.EncodeToString(s.Links[0].TraceId), theirs[3:35])
				if fact.Equal(about, "len(got[i].Headers)", len(got[i].Headers), 1) {
					fact.Equal(about, "header", header, theirs)
				}
			}
		} else if len(s.Links) != 0 || !strings.Contains(header, hex.EncodeToString(s.TraceId)) {
			t.Errorf("record %d carries %q, links %v", i, header, s.Links)
		}
	}
}

// TestMovesAreTraced: a move is one trace over its phases, and what it held links to it and says
// for how long.
func TestMovesAreTraced(t *testing.T) {
	h, rec := traced(t, "")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "x", 3)
	h.copier(kafkatest.Faults{}, "orders")
	gate := h.gw.Gate(tenant, "orders")
	done := make(chan error, 1)
	go func() { // as soon as the move holds the topic
		for !gate.Held() && h.ctx.Err() == nil {
			time.Sleep(100 * time.Microsecond)
		}
		done <- p.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("held")}).FirstErr()
	}()
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	all := h.spans(rec)
	if len(all["move"]) != 1 {
		t.Fatalf("%d moves", len(all["move"]))
	}
	move := all["move"][0]
	a := attributes(move)
	about := fact.Of(t, "attributes %v", a)
	fact.Equal(about, `a["messaging.destination.name"]`, a["messaging.destination.name"], "orders")
	fact.Equal(about, `a["sluice.move.from"]`, a["sluice.move.from"], "prod")
	fact.Equal(about, `a["sluice.move.to"]`, a["sluice.move.to"], "dr")
	fact.Other(about, `a["sluice.move"]`, a["sluice.move"], "")
	for _, phase := range []string{"pending", "pre-check", "hold", "prepare", "commit", "drain", "publish"} {
		if len(all[phase]) == 0 || string(all[phase][0].ParentSpanId) != string(move.SpanId) {
			t.Errorf("no span of %s below the move", phase)
		}
	}
	held := 0
	for _, s := range server(all["send orders"]) {
		if !slices.Contains(events(s), "held") {
			continue
		}
		held++
		if len(s.Links) != 1 || string(s.Links[0].SpanId) != string(move.SpanId) {
			t.Errorf("links %v", s.Links)
		}
	}
	if held == 0 {
		t.Error("nothing was held")
	}
}

// TestFailuresAreTracedWithoutSampling: at a ratio of 0, requests that are answered with an error
// have their server span with its links and their upstream requests, and others have none.
func TestFailuresAreTracedWithoutSampling(t *testing.T) {
	h, rec := traced(t, ", sample_ratio: 0")
	h.prod.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		if !strings.Contains(string(p.Topics[0].Partitions[0].Records), "refuse") {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		topic, part := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
		part.ErrorCode = 87
		topic.Topic, topic.TopicID, topic.Partitions = p.Topics[0].Topic, p.Topics[0].TopicID, append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	p := h.client(h.gw.Bootstrap, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordRetries(0))
	h.produce(p, "orders", "x", 5)
	const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if err := p.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("refuse"), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(theirs)}}}).FirstErr(); err == nil {
		t.Fatal("it was taken")
	}
	all := h.spans(rec)
	produces := server(all["send orders"])
	if len(produces) != 1 || len(all["send orders"]) != 2 {
		t.Fatalf("%d server spans of %d", len(produces), len(all["send orders"]))
	}
	s := produces[0]
	if a := attributes(s); a["error.type"] != "INVALID_RECORD" || a["sluice.error_code"] != "87" || s.Status.GetCode() != traces.Status_STATUS_CODE_ERROR {
		t.Errorf("attributes %v, status %v", a, s.Status)
	}
	if len(s.Links) != 1 || hex.EncodeToString(s.Links[0].TraceId) != theirs[3:35] {
		t.Errorf("links %v", s.Links)
	}
	for _, c := range all["send orders"] {
		if c != s && (!slices.Equal(events(c), []string{"queued", "sent", "first byte"}) || string(c.ParentSpanId) != string(s.SpanId) || c.Kind != traces.Span_SPAN_KIND_CLIENT) {
			t.Errorf("the other span is %v", c)
		}
	}
}

// TestSlowRequestsAreTracedWithoutSampling: a fetch that waits for records is not slow.
func TestSlowRequestsAreTracedWithoutSampling(t *testing.T) {
	h, rec := traced(t, ", sample_ratio: 0, errors: false, slower: 2s")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "x", 3)
	c := h.client(h.gw.Bootstrap, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"orders": {0: kgo.NewOffset().At(3)}}), kgo.FetchMaxWait(5*time.Second))
	gate := h.gw.Gate(tenant, "orders")
	gate.Hold(t)
	done := make(chan error, 1)
	go func() { done <- p.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("slow")}).FirstErr() }()
	h.wait("the produce", func() bool { return gate.Waiting() == 1 })
	slow := time.Now().Add(2100 * time.Millisecond)
	h.wait("the produce to be slow", func() bool { return time.Now().After(slow) })
	gate.Release(t)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if f := c.PollFetches(h.ctx); f.Err() != nil || f.NumRecords() != 1 {
		t.Fatalf("%v, %d records", f.Err(), f.NumRecords())
	}
	all := h.spans(rec)
	if produces := server(all["send orders"]); len(produces) != 1 || !slices.Contains(events(produces[0]), "held") {
		t.Errorf("%d produces are slow", len(produces))
	}
	if n := len(all["poll orders"]); n != 0 {
		t.Errorf("%d fetches are slow", n)
	}
}
