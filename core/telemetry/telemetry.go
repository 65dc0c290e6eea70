// Package telemetry holds the OpenTelemetry providers and the names of spans and attributes. It knows
// nothing of Sluice; everybody may use it.
package telemetry

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Attributes of spans. Those of messaging and network follow the semantic conventions.
const (
	System         = attribute.Key("messaging.system")
	Operation      = attribute.Key("messaging.operation.name")
	ClientID       = attribute.Key("messaging.client.id")
	Peer           = attribute.Key("network.peer.address")
	VirtualCluster = attribute.Key("sluice.virtual_cluster")
	APIVersion     = attribute.Key("sluice.api.version")
	RequestSize    = attribute.Key("sluice.request.size")
	Interceptor    = attribute.Key("sluice.interceptor")
	Stage          = attribute.Key("sluice.stage")
	Cluster        = attribute.Key("sluice.cluster")
	Node           = attribute.Key("sluice.node")
)

// Config says where traces go.
type Config struct {
	// Endpoint is host:port of an OTLP receiver.
	Endpoint string
	// Protocol is grpc or http.
	Protocol string
	Insecure bool
	// SampleRatio is the share of requests that are traced, 0 to 1.
	SampleRatio float64
}

// Tracer makes spans. A nil Tracer makes none, so that tracing that is off costs a comparison.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Open connects to a receiver; it does not wait for it. The OTEL_* variables of the SDK are respected
// for what Config does not say: resource attributes, headers, batching. An empty endpoint is a nil
// Tracer.
func Open(ctx context.Context, c Config) (*Tracer, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	var exporter sdk.SpanExporter
	var err error
	switch c.Protocol {
	case "http":
		o := []otlptracehttp.Option{otlptracehttp.WithEndpoint(c.Endpoint)}
		if c.Insecure {
			o = append(o, otlptracehttp.WithInsecure())
		}
		exporter, err = otlptracehttp.New(ctx, o...)
	default:
		o := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(c.Endpoint)}
		if c.Insecure {
			o = append(o, otlptracegrpc.WithInsecure())
		}
		exporter, err = otlptracegrpc.New(ctx, o...)
	}
	if err != nil {
		return nil, fmt.Errorf("telemetry.traces: %w", err)
	}
	res, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "sluice")), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("telemetry.traces: %w", err)
	}
	p := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(res), sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(c.SampleRatio))))
	return &Tracer{provider: p, tracer: p.Tracer("github.com/sluice-gateway/sluice")}, nil
}

// Close sends what is left.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Server starts the span of a client's request.
func (t *Tracer) Server(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	return t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(append(attrs, System.String("kafka"), Operation.String(name))...))
}

// Client starts the span of a request to a cluster.
func (t *Tracer) Client(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	return t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(append(attrs, System.String("kafka"), Operation.String(name))...))
}

// Internal starts the span of a step inside the gateway.
func (t *Tracer) Internal(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	return t.tracer.Start(ctx, name, trace.WithAttributes(attrs...))
}

// End ends a span with the outcome of its work.
func End(s trace.Span, err error) {
	if err != nil {
		s.RecordError(err)
		s.SetStatus(codes.Error, err.Error())
	}
	s.End()
}
