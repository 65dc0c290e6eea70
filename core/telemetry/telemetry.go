// Package telemetry holds the OpenTelemetry providers and the names of spans and attributes. It knows
// nothing of Sluice; everybody may use it.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Attributes of spans. Those of messaging, network, server and error follow the semantic conventions.
const (
	System        = attribute.Key("messaging.system")
	Operation     = attribute.Key("messaging.operation.name")
	OperationType = attribute.Key("messaging.operation.type")
	Destination   = attribute.Key("messaging.destination.name")
	Partition     = attribute.Key("messaging.destination.partition.id")
	ClientID      = attribute.Key("messaging.client.id")
	ConsumerGroup = attribute.Key("messaging.consumer.group.name")
	Transport     = attribute.Key("network.transport")
	PeerAddress   = attribute.Key("network.peer.address")
	PeerPort      = attribute.Key("network.peer.port")
	ErrorType     = attribute.Key("error.type")
	// Of the event of an error.
	ExceptionType    = attribute.Key("exception.type")
	ExceptionMessage = attribute.Key("exception.message")

	VirtualCluster = attribute.Key("sluice.virtual_cluster")
	Software       = attribute.Key("sluice.client.software")
	APIKey         = attribute.Key("sluice.api.key")
	APIVersion     = attribute.Key("sluice.api.version")
	Topics         = attribute.Key("sluice.topics")
	RequestSize    = attribute.Key("sluice.request.size")
	ResponseSize   = attribute.Key("sluice.response.size")
	ErrorCode      = attribute.Key("sluice.error_code")
	Interceptor    = attribute.Key("sluice.interceptor")
	Stage          = attribute.Key("sluice.stage")
	Guest          = attribute.Key("sluice.guest")
	Cluster        = attribute.Key("sluice.cluster")
	Node           = attribute.Key("sluice.node")
	Reason         = attribute.Key("sluice.reason")
	Duration       = attribute.Key("sluice.duration_ms")
	Count          = attribute.Key("sluice.count")
	Move           = attribute.Key("sluice.move")
	From           = attribute.Key("sluice.move.from")
	To             = attribute.Key("sluice.move.to")
	Planned        = attribute.Key("sluice.move.planned")
)

// Config says where traces go, and which requests are traced.
type Config struct {
	Receiver
	// SampleRatio is the share of requests that are traced, 0 to 1; negative leaves it to the OTEL_* variables.
	SampleRatio float64
	// Errors adds those that are answered with an error, Slower those that take longer (0: none). They have
	// no spans of interceptors: what comes of a request is known at its end only.
	Errors bool
	Slower time.Duration
}

// failuresPerSecond bounds the requests that are traced because they failed or were slow.
const failuresPerSecond = 100

// Tracer makes spans. A nil Tracer makes none, so that tracing that is off costs a comparison.
type Tracer struct {
	provider *sdk.TracerProvider // of spans that are not of requests
	tracer   trace.Tracer
	batches  *batches
	resource *resource.Resource
	limits   sdk.SpanLimits
	sampled  Share
	errors   bool
	slower   time.Duration
	failures *rate.Limiter
}

// Open connects to a receiver; it does not wait for it. The OTEL_* variables of the SDK are respected for what
// Config does not say: endpoint, protocol, sampler, resource attributes, headers, certificates, batching. Without
// an endpoint the Tracer is nil.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Tracer, error) {
	if !c.given("TRACES") {
		return nil, nil
	}
	client := c.traces()
	if err := client.Start(ctx); err != nil {
		return nil, fmt.Errorf("telemetry.traces: %w", err)
	}
	res, err := c.Source.resource(ctx)
	if err != nil {
		return nil, fmt.Errorf("telemetry.traces: %w", err)
	}
	return newTracer(c, client, res, log), nil
}

func newTracer(c Config, client otlptrace.Client, res *resource.Resource, log *slog.Logger) *Tracer {
	b := newBatches(client, log)
	// Requests have no parent, so that the ratio decides here, before a span is made; children follow.
	p := sdk.NewTracerProvider(sdk.WithSpanProcessor(b), sdk.WithResource(res), sdk.WithSampler(sdk.AlwaysSample()))
	return &Tracer{
		provider: p, tracer: p.Tracer(scope), batches: b, resource: res, limits: sdk.NewSpanLimits(),
		sampled: ShareOf(c.ratio()), errors: c.Errors, slower: c.Slower,
		failures: rate.NewLimiter(failuresPerSecond, failuresPerSecond),
	}
}

func (r Receiver) traces() otlptrace.Client {
	if r.overHTTP("TRACES") {
		return otlptracehttp.NewClient(options(r, otlptracehttp.WithEndpoint, otlptracehttp.WithInsecure)...)
	}
	return otlptracegrpc.NewClient(options(r, otlptracegrpc.WithEndpoint, otlptracegrpc.WithInsecure)...)
}

// ratio is the share of requests that are traced, by the configuration or by the variables, whose sampler the SDK would
// ask for every span.
func (c Config) ratio() float64 {
	if c.SampleRatio >= 0 {
		return c.SampleRatio
	}
	switch sampler := os.Getenv("OTEL_TRACES_SAMPLER"); strings.TrimPrefix(sampler, "parentbased_") {
	case "always_off":
		return 0
	case "traceidratio":
		if r, err := strconv.ParseFloat(os.Getenv("OTEL_TRACES_SAMPLER_ARG"), 64); err == nil && r >= 0 && r <= 1 {
			return r
		}
	}
	return 1
}

// Lost is how many spans were dropped, since they came faster than they could be sent, or could not be sent at all.
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

// Start begins a span of the gateway's own work, such as a move. A nil Tracer gives a span that is none.
func (t *Tracer) Start(ctx context.Context, name string, at time.Time, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if t == nil {
		return ctx, trace.SpanFromContext(ctx)
	}
	return t.tracer.Start(ctx, name, trace.WithTimestamp(at), trace.WithAttributes(attrs...))
}
