package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric"
)

// direct are exporters that leave all to the variables.
type direct struct{}

func (direct) Traces(Receiver) (Uploader, error) { return &kept{}, nil }

func (direct) Metrics(ctx context.Context, _ Receiver) (metric.Exporter, error) {
	return otlpmetrichttp.New(ctx)
}

// TestProgramsWithoutExporters send nothing, and say so where a file wants it.
func TestProgramsWithoutExporters(t *testing.T) {
	named := Receiver{Endpoint: "collector:4317"}
	if _, err := Open(t.Context(), Config{Receiver: named}, nil, slog.Default()); !errors.Is(err, ErrNoExporters) {
		t.Errorf("traces: %v", err)
	}
	if _, err := OpenExport(t.Context(), Export{Receiver: named}, nil, time.Now(), example, slog.Default()); !errors.Is(err, ErrNoExporters) {
		t.Errorf("metrics: %v", err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")
	if tracer, err := Open(t.Context(), Config{}, nil, slog.Default()); err != nil || tracer != nil {
		t.Errorf("traces by the variables: %v, %v", tracer, err)
	}
	if e, err := OpenExport(t.Context(), Export{}, nil, time.Now(), example, slog.Default()); err != nil || e != nil {
		t.Errorf("metrics by the variables: %v, %v", e, err)
	}
}

// TestVariablesSayWhatTheConfigurationLeavesOpen.
func TestVariablesSayWhatTheConfigurationLeavesOpen(t *testing.T) {
	const endpoint, sampler, arg = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
	for name, c := range map[string]struct {
		config    Config
		variables map[string]string
		off, http bool
		ratio     float64
		parents   bool
	}{
		"nothing":                 {off: true, ratio: 1, parents: true, config: Config{SampleRatio: -1}},
		"producers":               {off: true, ratio: 0.5, parents: true, config: Config{SampleRatio: 0.5, ParentBased: true}},
		"a configuration":         {config: Config{Receiver: Receiver{Endpoint: "a:1", Protocol: "http"}, SampleRatio: 0.5}, http: true, ratio: 0.5},
		"a configuration first":   {config: Config{Receiver: Receiver{Endpoint: "a:1", Protocol: "grpc"}}, variables: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", sampler: "always_on"}},
		"variables":               {config: Config{SampleRatio: -1}, variables: map[string]string{endpoint: "http://a:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", sampler: "parentbased_traceidratio", arg: "0.25"}, http: true, ratio: 0.25, parents: true},
		"variables of the signal": {config: Config{SampleRatio: -1}, variables: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", sampler: "always_off"}},
		"those of another":        {off: true, variables: map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://a:1"}},
		"no exporter":             {off: true, variables: map[string]string{endpoint: "http://a:1", "OTEL_TRACES_EXPORTER": "none"}},
		"no SDK":                  {off: true, variables: map[string]string{endpoint: "http://a:1", "OTEL_SDK_DISABLED": "True"}},
		"no such ratio":           {config: Config{SampleRatio: -1}, variables: map[string]string{endpoint: "http://a:1", sampler: "traceidratio", arg: "NaN"}, ratio: 1},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.variables {
				t.Setenv(k, v)
			}
			if got := c.config.given("TRACES"); got == c.off {
				t.Errorf("there is a receiver: %t", got)
			}
			if got := c.config.OverHTTP("TRACES"); got != c.http {
				t.Errorf("over HTTP: %t", got)
			}
			if ratio, parents := c.config.sampler(); ratio != c.ratio || parents != c.parents {
				t.Errorf("of the requests %v are traced, producers decide: %t", ratio, parents)
			}
			tracer, err := Open(t.Context(), c.config, direct{}, slog.Default())
			if err != nil || (tracer == nil) != c.off {
				t.Errorf("%v, %v", tracer, err)
			}
			if err := tracer.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAShare picks all, none, or about as many as it says.
func TestAShare(t *testing.T) {
	for ratio, want := range map[float64]int{-1: 0, 0: 0, 0.5: 5000, 1: 10_000, 7: 10_000} {
		n := 0
		for range 10_000 {
			if ShareOf(ratio).Picks() {
				n++
			}
		}
		if n < want-500 || n > want+500 || ratio != 0.5 && n != want {
			t.Errorf("%v picks %d of 10,000", ratio, n)
		}
	}
}
