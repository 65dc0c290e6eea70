package traces

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

func TestOnlyRecordsWithoutAContextGetOne(t *testing.T) {
	plain := kafka.Batch(kafkatest.Batch(200))
	first := injected(kafka.Bounds{}, plain, []byte("ours"))
	for _, b := range kafka.Batches(first) {
		list, err := kafka.Records(b)
		about := fact.Must(t, "%+v %v", list, err)
		fact.NoError(about, err)
		fact.Equal(about, "len(list)", len(list), 1)
		fact.Equal(about, "len(list[0].Headers)", len(list[0].Headers), 1)
		fact.Equal(about, "list[0].Headers[0].Key", list[0].Headers[0].Key, "traceparent")
		fact.Equal(about, "string(list[0].Headers[0].Value)", string(list[0].Headers[0].Value), "ours")
		if !b.ValidCRC() || b.ProducerID() != plain.ProducerID() || b.BaseSequence() != plain.BaseSequence() {
			t.Error("the batch is not the same any more")
		}
	}
	if again := injected(kafka.Bounds{}, first, []byte("another")); !bytes.Equal(again, first) {
		t.Error("a context was replaced")
	}
	for name, broken := range map[string][]byte{"cut": plain[:len(plain)-3], "followed by more": append(bytes.Clone(plain), 1, 2, 3), "empty": {}} {
		if got := injected(kafka.Bounds{}, broken, []byte("ours")); !bytes.Equal(got, broken) {
			t.Errorf("%s: changed", name)
		}
	}
}

func TestConfiguration(t *testing.T) {
	for yaml, right := range map[string]bool{"{inject: missing}": true, "{inject: all}": false, "{}": false, "{inject: missing, more: 1}": false} {
		i, err := New(plugin.Env{}, plugintest.Section(t, yaml))
		if (err == nil) != right {
			t.Errorf("%s: %v", yaml, err)
		}
		if right && (!i.Keys().Has(kmsg.Produce) || i.Keys().Has(kmsg.Fetch)) {
			t.Error("it stands in the wrong rows")
		}
	}
}

func TestConforms(t *testing.T) {
	i := &Traces{func(context.Context, *plugin.Request, string, [16]byte) int { return 1 << 20 }}
	for flags, changes := range map[trace.TraceFlags]bool{trace.FlagsSampled: true, 0: false} {
		span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags})
		w := within{i, span, &atomic.Int64{}}
		plugintest.Conform(t, w, "orders")
		if n := w.changed.Load(); (n > 0) != changes {
			t.Errorf("with flags %s it has changed %d requests", flags, n)
		}
	}
}

// within runs an interceptor for requests that are traced, and finds out whether it changes them.
type within struct {
	plugin.Interceptor
	span    trace.SpanContext
	changed *atomic.Int64
}

func (w within) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return w.Interceptor.Intercept(trace.ContextWithSpanContext(ctx, w.span), req, plugin.HandlerFunc(func(ctx context.Context, sent *plugin.Request) (*plugin.Response, error) {
		if sent.Body != req.Body {
			w.changed.Add(1)
		}
		return next.Handle(ctx, sent)
	}))
}
