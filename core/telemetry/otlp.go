package telemetry

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/sluice-gateway/sluice/core/trust"
)

// Receiver is an OTLP receiver of one signal. What it leaves open, the OTEL_* variables say.
type Receiver struct {
	// Endpoint is host:port; "" leaves it to the variables.
	Endpoint string
	// Protocol is grpc or http; "" leaves it to the variables, and without them is grpc.
	Protocol string
	Insecure bool
	// Source is who sends.
	Source Source
	// Headers are sent with what is exported.
	Headers map[string]string
	// CA, Cert and Key are PEM files; "" leaves them to the variables.
	CA, Cert, Key string
}

// given reports whether there is a receiver of a signal, TRACES or METRICS: one that is configured,
// or one that the variables name and don't turn off.
func (r Receiver) given(signal string) bool {
	if r.Endpoint != "" {
		return true
	}
	off := os.Getenv("OTEL_"+signal+"_EXPORTER") == "none" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true")
	return !off && variable(signal, "ENDPOINT") != ""
}

// OverHTTP chooses between the two protocols for a signal, TRACES or METRICS.
func (r Receiver) OverHTTP(signal string) bool {
	return strings.HasPrefix(cmp.Or(r.Protocol, variable(signal, "PROTOCOL")), "http")
}

// variable is what the variables say of a signal, or of all.
func variable(signal, name string) string {
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_"+name), os.Getenv("OTEL_EXPORTER_OTLP_"+name))
}

// Exporters make what carries traces and metrics to receivers: core/telemetry/otlp has them.
type Exporters interface {
	Traces(r Receiver) (Uploader, error)
	Metrics(ctx context.Context, r Receiver) (metric.Exporter, error)
}

// Uploader carries spans to a receiver.
type Uploader interface {
	Start(ctx context.Context) error
	// Upload sends a ResourceSpans of OTLP, encoded, which is the callee's until it returns.
	Upload(ctx context.Context, encoded []byte) error
	Stop(ctx context.Context) error
}

// ErrNoExporters says that a program can't send what it is told to.
var ErrNoExporters = errors.New("this program was built without exporters, and can't send anything to a receiver")

// wanted reports whether a signal is to be sent. A program without exporters sends none, whatever
// the variables say, and a file that names a receiver is an error.
func (r Receiver) wanted(signal string, by Exporters) (bool, error) {
	if by == nil && r.Endpoint != "" {
		return false, ErrNoExporters
	}
	return by != nil && r.given(signal), nil
}

// Check reports a *trust.FileError of a file that can't be used.
func (r Receiver) Check() error {
	_, err := r.TLS()
	return err
}

// TLS is what connections are made with; nil leaves it to the variables.
func (r Receiver) TLS() (*tls.Config, error) {
	if r.CA == "" && r.Cert == "" {
		return nil, nil
	}
	return trust.Files{CA: r.CA, Cert: r.Cert, Key: r.Key}.Config()
}

// Source is a gateway among others, as where traces and metrics come from.
type Source struct {
	Version string
	// Instance is the gateway's own: no other one has it, and it has it again after a restart.
	Instance string
}

// resource is the gateway as the source of traces and metrics. OTEL_RESOURCE_ATTRIBUTES and
// OTEL_SERVICE_NAME may say otherwise.
func (s Source) resource(ctx context.Context) (*resource.Resource, error) {
	return resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "sluice"), attribute.String("service.version", s.Version), attribute.String("service.instance.id", s.Instance),
	), resource.WithFromEnv(), resource.WithTelemetrySDK())
}

// outcome says in the log when exports of a signal begin to fail, and when they work again. They
// are made one at a time.
type outcome struct {
	signal  string
	log     *slog.Logger
	failing bool
}

func (o *outcome) tell(ctx context.Context, err error) {
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // the last export is still to come
	case err != nil && !o.failing:
		o.log.Warn(o.signal+" are not sent", "error", err)
	case err == nil && o.failing:
		o.log.Info(o.signal + " are sent again")
	}
	o.failing = err != nil
}
