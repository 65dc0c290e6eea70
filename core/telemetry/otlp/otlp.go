// Package otlp holds the exporters that carry traces and metrics to receivers, over gRPC and HTTP.
// It is apart from core/telemetry because of its libraries, which are a third of all that a gateway
// needs: a program that sends nothing does without them.
package otlp

import (
	"context"
	"crypto/tls"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/credentials"

	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Exporters are those of the SDK. They read the OTEL_* variables by themselves for what a receiver
// leaves open.
type Exporters struct{}

// Traces makes a client of a receiver of traces; it connects when it is started.
func (Exporters) Traces(r telemetry.Receiver) (telemetry.Uploader, error) {
	if r.OverHTTP("TRACES") {
		o, err := options(r, making[otlptracehttp.Option]{otlptracehttp.WithEndpoint, otlptracehttp.WithInsecure, otlptracehttp.WithHeaders, otlptracehttp.WithTLSClientConfig})
		return uploader{otlptracehttp.NewClient(o...)}, err
	}
	o, err := options(r, making[otlptracegrpc.Option]{otlptracegrpc.WithEndpoint, otlptracegrpc.WithInsecure, otlptracegrpc.WithHeaders, func(c *tls.Config) otlptracegrpc.Option {
		return otlptracegrpc.WithTLSCredentials(credentials.NewTLS(c))
	}})
	return uploader{otlptracegrpc.NewClient(o...)}, err
}

// Metrics makes an exporter to a receiver of metrics; it does not wait for the receiver.
func (Exporters) Metrics(ctx context.Context, r telemetry.Receiver) (metric.Exporter, error) {
	if r.OverHTTP("METRICS") {
		o, err := options(r, making[otlpmetrichttp.Option]{otlpmetrichttp.WithEndpoint, otlpmetrichttp.WithInsecure, otlpmetrichttp.WithHeaders, otlpmetrichttp.WithTLSClientConfig})
		if err != nil {
			return nil, err
		}
		return otlpmetrichttp.New(ctx, o...)
	}
	o, err := options(r, making[otlpmetricgrpc.Option]{otlpmetricgrpc.WithEndpoint, otlpmetricgrpc.WithInsecure, otlpmetricgrpc.WithHeaders, func(c *tls.Config) otlpmetricgrpc.Option {
		return otlpmetricgrpc.WithTLSCredentials(credentials.NewTLS(c))
	}})
	if err != nil {
		return nil, err
	}
	return otlpmetricgrpc.New(ctx, o...)
}

// making makes the options of an exporter of the SDK.
type making[O any] struct {
	endpoint func(string) O
	insecure func() O
	headers  func(map[string]string) O
	tls      func(*tls.Config) O
}

// options are those of an exporter of the SDK.
func options[O any](r telemetry.Receiver, m making[O]) (out []O, err error) {
	if r.Endpoint != "" {
		out = append(out, m.endpoint(r.Endpoint))
	}
	if r.Insecure {
		out = append(out, m.insecure())
	}
	if len(r.Headers) > 0 {
		out = append(out, m.headers(r.Headers))
	}
	c, err := r.TLS()
	if c != nil {
		out = append(out, m.tls(c))
	}
	return out, err
}

// client is what the SDK's clients for traces have in common.
type client interface {
	Start(context.Context) error
	Stop(context.Context) error
	UploadTraces(context.Context, []*otlp.ResourceSpans) error
}

type uploader struct{ client }

// Upload sends spans that are encoded already: a message holds them as fields that it does not
// know, which it passes on as they are.
func (u uploader) Upload(ctx context.Context, encoded []byte) error {
	m := &otlp.ResourceSpans{}
	m.ProtoReflect().SetUnknown(encoded)
	return u.UploadTraces(ctx, []*otlp.ResourceSpans{m})
}
