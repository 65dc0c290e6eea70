// Package telemetry holds the OpenTelemetry providers and the names of spans and attributes. It
// knows nothing of Sluice; everybody may use it.
package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says where traces go, and which requests are traced.
type Config struct {
	Receiver
	// SampleRatio is the share of requests that are traced, 0 to 1; negative leaves it to the
	// OTEL_* variables.
	SampleRatio float64
	// Errors adds those that are answered with an error, Slower those that take longer (0: none).
	// They have no spans of interceptors: what comes of a request is known at its end only.
	Errors bool
	Slower time.Duration
	// ParentBased samples requests whose records' producers have sampled them, and none whose
	// producers have not; the ratio is for the others. Where SampleRatio is left to the variables,
	// they say so too.
	ParentBased bool
}

// Spans says which interceptors have spans of their own in a request that is sampled; "" is none,
// where nothing is traced. Calls of guests always have.
type Spans string

// Those that took slowSpan or failed, all, or none.
const (
	SlowSpans Spans = "slow"
	AllSpans  Spans = "all"
	NoSpans   Spans = "none"
)

// failuresPerSecond bounds the requests that are traced because they failed or were slow.
const failuresPerSecond = 100

// Tracer makes spans. A nil Tracer makes none, so that tracing that is off costs a comparison.
type Tracer struct {
	provider *sdk.TracerProvider // of spans that are not of requests
	tracer   trace.Tracer
	batches  *batches
	resource *resource.Resource
	scope    instrumentation.Scope
	limits   sdk.SpanLimits
	sampled  Share
	parents  bool
	errors   bool
	slower   time.Duration
	failures *allowance
}

// Open connects to a receiver; it does not wait for it. The OTEL_* variables of the SDK are
// respected for what Config does not say: endpoint, protocol, sampler, resource attributes,
// headers, certificates, batching. Without an endpoint the Tracer is nil.
func Open(ctx context.Context, c Config, by Exporters, log *slog.Logger) (*Tracer, error) {
	if ok, err := c.wanted("TRACES", by); err != nil {
		return nil, fmt.Errorf("telemetry.traces: %w", err)
	} else if !ok {
		return nil, nil
	}
	client, err := by.Traces(c.Receiver)
	if err == nil {
		err = client.Start(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("telemetry.traces: %w", err)
	}
	res, err := c.Source.resource(ctx)
	if err != nil {
		return nil, fmt.Errorf("telemetry.traces: %w", err)
	}
	return newTracer(c, client, res, log), nil
}

func newTracer(c Config, client Uploader, res *resource.Resource, log *slog.Logger) *Tracer {
	b := newBatches(client, log)
	of := instrumentation.Scope{Name: scope, Version: versionOf(res), SchemaURL: SchemaURL}
	ratio, parents := c.sampler()
	// Requests have no parent, so that the ratio decides here, before a span is made; children
	// follow.
	p := sdk.NewTracerProvider(sdk.WithSpanProcessor(b), sdk.WithResource(res), sdk.WithSampler(sdk.AlwaysSample()))
	return &Tracer{
		provider: p, tracer: p.Tracer(of.Name, trace.WithInstrumentationVersion(of.Version), trace.WithSchemaURL(of.SchemaURL)),
		batches: b, resource: res, scope: of, limits: sdk.NewSpanLimits(),
		sampled: ShareOf(ratio), parents: parents, errors: c.Errors, slower: c.Slower,
		failures: newAllowance(failuresPerSecond),
	}
}

// versionOf is the version of the gateway, which makes the spans: that of the resource, or of the
// build.
func versionOf(res *resource.Resource) string {
	if v, ok := res.Set().Value("service.version"); ok {
		return v.AsString()
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// sampler is the share of requests that are traced, and whether producers' decisions come first, by
// the configuration or by the variables, whose sampler the SDK would ask for every span.
func (c Config) sampler() (ratio float64, parents bool) {
	if c.SampleRatio >= 0 {
		return c.SampleRatio, c.ParentBased
	}
	root, parents := strings.CutPrefix(cmp.Or(os.Getenv("OTEL_TRACES_SAMPLER"), "parentbased_always_on"), "parentbased_")
	switch ratio = 1; root {
	case "always_off":
		ratio = 0
	case "traceidratio":
		if r, err := strconv.ParseFloat(os.Getenv("OTEL_TRACES_SAMPLER_ARG"), 64); err == nil && r >= 0 && r <= 1 {
			ratio = r
		}
	}
	return ratio, parents || c.ParentBased
}

// Lost is how many spans were dropped, since they came faster than they could be sent, or could not
// be sent at all.
func (t *Tracer) Lost() int {
	if t == nil {
		return 0
	}
	t.batches.mu.Lock()
	defer t.batches.mu.Unlock()
	return t.batches.lost
}

// Close sends what is left.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Start begins a span of the gateway's own work, such as a move. A nil Tracer gives a span that is
// none.
func (t *Tracer) Start(ctx context.Context, name string, at time.Time, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if t == nil {
		return ctx, trace.SpanFromContext(ctx)
	}
	return t.tracer.Start(ctx, name, trace.WithTimestamp(at), trace.WithAttributes(attrs...))
}
