package telemetry

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
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
}

// given reports whether there is a receiver of a signal, TRACES or METRICS: one that is configured, or one that the variables
// name and don't turn off.
func (r Receiver) given(signal string) bool {
	if r.Endpoint != "" {
		return true
	}
	off := os.Getenv("OTEL_"+signal+"_EXPORTER") == "none" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true")
	return !off && variable(signal, "ENDPOINT") != ""
}

// overHTTP chooses between the two protocols.
func (r Receiver) overHTTP(signal string) bool {
	return strings.HasPrefix(cmp.Or(r.Protocol, variable(signal, "PROTOCOL")), "http")
}

// variable is what the variables say of a signal, or of all.
func variable(signal, name string) string {
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_"+name), os.Getenv("OTEL_EXPORTER_OTLP_"+name))
}

// options are those of an exporter of the SDK, which reads the variables by itself.
func options[O any](r Receiver, endpoint func(string) O, insecure func() O) (out []O) {
	if r.Endpoint != "" {
		out = append(out, endpoint(r.Endpoint))
	}
	if r.Insecure {
		out = append(out, insecure())
	}
	return out
}

// Source is a gateway among others, as where traces and metrics come from.
type Source struct {
	Version string
	// Instance is the gateway's own: no other one has it, and it has it again after a restart.
	Instance string
}

// resource is the gateway as the source of traces and metrics. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME may say otherwise.
func (s Source) resource(ctx context.Context) (*resource.Resource, error) {
	return resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "sluice"), attribute.String("service.version", s.Version), attribute.String("service.instance.id", s.Instance),
	), resource.WithFromEnv(), resource.WithTelemetrySDK())
}

// outcome says in the log when exports of a signal begin to fail, and when they work again. They are made one at a time.
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
