// Package traces puts the context of the gateway's trace into records that carry none, so that who consumes them
// finds the request that produced them.
package traces

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// header is the name of the W3C header.
const header = "traceparent"

// Spec describes the interceptor to the chain's builder.
func Spec() plugin.Spec {
	return plugin.Spec{Type: "traces", Stage: plugin.Any, New: func(_ context.Context, _ plugin.Env, section config.Section) (plugin.Interceptor, error) {
		return New(section)
	}}
}

// Config is the traces section of a chain.
type Config struct {
	// Inject is `missing`: records without a traceparent get one. Their batches are encoded again.
	Inject string `koanf:"inject"`
}

// Traces is the interceptor. It changes produces of requests that are sampled, and no others.
type Traces struct{}

// New decodes the section.
func New(section config.Section) (*Traces, error) {
	var c Config
	if err := section.Decode(&c); err != nil {
		return nil, err
	}
	if c.Inject != "missing" {
		return nil, config.Errors{section.Errorf([]string{"inject"}, "%q: say `missing`, which is all that there is to inject", c.Inject)}
	}
	return &Traces{}, nil
}

// Keys is Produce.
func (*Traces) Keys() kafka.KeySet { return kafka.NewKeySet(kmsg.Produce) }

// Intercept adds the header.
func (*Traces) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return next.Handle(ctx, req)
	}
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	f, m, err := plugin.Edit[*kmsg.ProduceRequest](req)
	if err != nil {
		return nil, err
	}
	within, done := req.Session.Decode()
	err = kafka.EachRecords(m, func(records *[]byte) (err error) {
		*records, err = injected(within, *records, []byte(c[header]))
		return err
	})
	done()
	if err != nil {
		return nil, err
	}
	return next.Handle(ctx, f)
}

// injected returns record batches whose records all have the header. What can't be read is the broker's to refuse.
func injected(within kafka.Bounds, records, value []byte) ([]byte, error) {
	var out []byte
	read := 0
	for _, b := range kafka.Batches(records) {
		read += len(b)
		list, err := within.Records(b)
		if err != nil || b.IsControl() {
			return records, nil
		}
		changed := false
		for i := range list {
			r := &list[i]
			if !slices.ContainsFunc(r.Headers, func(h kmsg.Header) bool { return h.Key == header }) {
				r.Headers = append(slices.Clip(r.Headers), kmsg.Header{Key: header, Value: value})
				changed = true
			}
		}
		if changed {
			if b, err = kafka.Rebuild(b, list, kafka.CloseGaps); errors.Is(err, kafka.ErrNoRecords) {
				return records, nil
			} else if err != nil {
				return nil, err
			}
		}
		out = append(out, b...)
	}
	if read != len(records) {
		return records, nil
	}
	return out, nil
}
