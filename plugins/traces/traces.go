// Package traces puts the context of the gateway's trace into records that carry none, so that who
// consumes them finds the request that produced them.
package traces

import (
	"context"

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
	return plugin.Spec{Type: "traces", Stage: plugin.Any, Settings: Config{}, New: func(_ context.Context, env plugin.Env, section config.Section) (plugin.Interceptor, error) {
		return New(env, section)
	}}
}

// Config is the traces section of a chain.
type Config struct {
	// Inject is `missing`: records without a traceparent get one. Their batches are encoded again.
	Inject string `koanf:"inject" oneof:"missing" needed:"always"`
}

// Traces is the interceptor. It changes produces of requests that are sampled, and no others.
type Traces struct {
	// most is how long a batch of a topic may be; 0: unknown.
	most func(ctx context.Context, req *plugin.Request, topic string, id [16]byte) int
}

// New decodes the section.
func New(env plugin.Env, section config.Section) (*Traces, error) {
	var c Config
	if err := section.Decode(&c); err != nil {
		return nil, err
	}
	if c.Inject != "missing" {
		return nil, config.Errors{section.Errorf([]string{"inject"}, "%q: say `missing`, which is all that there is to inject", c.Inject)}
	}
	return &Traces{(&limits{env: env}).most}, nil
}

// Keys is Produce.
func (*Traces) Keys() kafka.KeySet { return kafka.NewKeySet(kmsg.Produce) }

// Intercept adds the header.
func (t *Traces) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return plugin.InSteps(ctx, t, req, next)
}

// Down passes on what is not sampled.
func (t *Traces) Down(ctx context.Context, req *plugin.Request, _ *plugin.Step) plugin.Outcome {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return plugin.GoOn()
	}
	return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) {
		return t.traced(ctx, req, next)
	})
}

// Up passes on everything.
func (*Traces) Up(_ context.Context, _ *plugin.Request, _ *plugin.Step, resp *plugin.Response, err error) plugin.Outcome {
	return plugin.Answer(resp, err)
}

// traced sends a request on whose records have the header. A batch that it would make longer than
// its topic allows stays as it is.
func (t *Traces) traced(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	f, m, err := plugin.Edit[*kmsg.ProduceRequest](req)
	if err != nil {
		return nil, err
	}
	t.inject(ctx, req, m, []byte(c[header]))
	return next.Handle(ctx, f)
}

func (t *Traces) inject(ctx context.Context, req *plugin.Request, m *kmsg.ProduceRequest, value []byte) {
	within, done := req.Session.Decode()
	defer done()
	for i := range m.Topics {
		topic := &m.Topics[i]
		most := t.most(ctx, req, topic.Topic, topic.TopicID)
		for j := range topic.Partitions {
			records := &topic.Partitions[j].Records
			if with := injected(within, *records, value); len(with) <= most {
				*records = with
			}
		}
	}
}

// injected returns record batches whose records all have the header. What can't be read is the
// broker's to refuse, as it is.
func injected(within kafka.Bounds, records, value []byte) []byte {
	var out []byte
	read := 0
	for _, b := range kafka.Batches(records) {
		read += len(b)
		if b.IsControl() {
			return records
		}
		next, err := within.Edit(nil, b, kafka.CloseGaps, func(r *kafka.RawRecord) kafka.Verdict {
			for key := range r.Headers.All() {
				if string(key) == header {
					return kafka.Unchanged
				}
			}
			r.Headers.Add([]byte(header), value)
			return kafka.Changed
		})
		if err != nil {
			return records
		}
		out = append(out, next...)
	}
	if read != len(records) {
		return records
	}
	return out
}
