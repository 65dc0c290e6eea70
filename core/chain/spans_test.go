package chain

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/telemetry/otlp"
)

// spansOf runs a request that is sampled down a chain, and returns its spans, as the names from
// each to the root, with its error, and the attributes of the root.
func spansOf(t *testing.T, spans telemetry.Spans, run ...func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error)) (paths []string, root map[string]float64) {
	t.Helper()
	var sent collector.ExportTraceServiceRequest
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || proto.Unmarshal(b, &sent) != nil {
			t.Error("no spans")
		}
	}))
	defer s.Close()
	tracer, err := telemetry.Open(t.Context(), telemetry.Config{Receiver: telemetry.Receiver{Endpoint: strings.TrimPrefix(s.URL, "http://"), Protocol: "http", Insecure: true}, SampleRatio: 1}, otlp.Exporters{}, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	var members []Named
	for i, f := range run {
		members = append(members, Named{Name: string(rune('a' + i)), Interceptor: &member{key: kmsg.Produce, run: f}})
	}
	c, err := New(members, plugin.HandlerFunc(func(ctx context.Context, _ *plugin.Request) (*plugin.Response, error) {
		_, span := telemetry.Child(ctx, "end")
		telemetry.End(span, nil)
		return nil, nil
	}), spans)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // whose clock stands still while nobody sleeps
		arrived := time.Now()
		req := &plugin.Request{Arrived: arrived, Session: testSession(t, nil), Clock: &plugin.Clock{}}
		ctx, trace := tracer.Request(t.Context(), kmsg.Produce, arrived, &telemetry.Trace{}, nil)
		req.Trace = trace
		_, _ = c.Row(kmsg.Produce).Handle(ctx, req)
		trace.End(kmsg.Produce, nil, nil, "", nil)
	})
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return read(&sent)
}

func read(sent *collector.ExportTraceServiceRequest) (paths []string, root map[string]float64) {
	names, parents := map[string]string{}, map[string]string{}
	root = map[string]float64{}
	list := sent.ResourceSpans[0].ScopeSpans[0].Spans
	for _, s := range list {
		names[string(s.SpanId)], parents[string(s.SpanId)] = s.Name, string(s.ParentSpanId)
		for _, kv := range s.Attributes {
			if kv.Key == "error.type" {
				names[string(s.SpanId)] += " (" + kv.Value.GetStringValue() + ")"
			}
			if s.Name == "send" {
				root[kv.Key] = kv.Value.GetDoubleValue()
			}
		}
	}
	for _, s := range list {
		var path []string
		for at := string(s.SpanId); at != ""; at = parents[at] {
			path = append(path, names[at])
		}
		paths = append(paths, strings.Join(path, " < "))
	}
	slices.Sort(paths)
	return paths, root
}

// TestSpansOfInterceptors: with slow, those that took long themselves or failed themselves; in any
// case the time of each is told.
func TestSpansOfInterceptors(t *testing.T) {
	pass := func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
		return next.Handle(ctx, req)
	}
	busy := func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
		time.Sleep(slowSpan)
		return next.Handle(ctx, req)
	}
	fails := func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
		_, _ = next.Handle(ctx, req)
		return nil, errors.New("broken")
	}
	gone := func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) {
		return nil, gate.ErrClientGone
	}
	panics := func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) { panic("test") }
	type chain = []func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error)
	for name, c := range map[string]struct {
		spans telemetry.Spans
		run   chain
		want  []string
	}{
		"quick":              {telemetry.SlowSpans, chain{pass, pass}, []string{"end < send", "send"}},
		"slow below quick":   {telemetry.SlowSpans, chain{pass, busy}, []string{"b < send", "end < send", "send"}},
		"one that fails":     {telemetry.SlowSpans, chain{pass, fails}, []string{"b (_OTHER) < send", "end < send", "send"}},
		"one that panics":    {telemetry.SlowSpans, chain{pass, panics}, []string{"b (panic) < send", "send"}},
		"a client that left": {telemetry.SlowSpans, chain{pass, gone}, []string{"send"}},
		"all":                {telemetry.AllSpans, chain{pass, pass}, []string{"a < send", "b < a < send", "end < b < a < send", "send"}},
		"all, one fails":     {telemetry.AllSpans, chain{pass, gone}, []string{"a (client_gone) < send", "b (client_gone) < a (client_gone) < send", "send"}},
		"none":               {telemetry.NoSpans, chain{busy, fails}, []string{"end < send", "send"}},
	} {
		paths, root := spansOf(t, c.spans, c.run...)
		if !slices.Equal(paths, c.want) {
			t.Errorf("%s: the spans are %q", name, paths)
		}
		for i := range c.run {
			key := "sluice.interceptor.duration_ms." + string(rune('a'+i))
			if _, told := root[key]; !told {
				t.Errorf("%s: the time of interceptor %d is not told", name, i)
			}
		}
	}
}

// TestTimesOfInterceptorsAreTheirOwn, without what is below.
func TestTimesOfInterceptorsAreTheirOwn(t *testing.T) {
	_, root := spansOf(t, telemetry.NoSpans, func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
		return next.Handle(ctx, req)
	}, func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) {
		time.Sleep(50 * time.Millisecond)
		return nil, nil
	})
	if above, below := root["sluice.interceptor.duration_ms.a"], root["sluice.interceptor.duration_ms.b"]; below != 50 || above != 0 {
		t.Errorf("%v and %v ms", above, below)
	}
}
