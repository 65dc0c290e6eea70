package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Export says where metrics are sent.
type Export struct {
	// Endpoint is host:port of an OTLP receiver; "" leaves it to the OTEL_* variables.
	Endpoint string
	// Protocol is grpc or http.
	Protocol string
	Insecure bool
	// Interval is the time from one export to the next; 0 leaves it to the OTEL_* variables.
	Interval time.Duration
}

// told is an exporter that says when exports begin to fail, and when they work again.
type told struct {
	metric.Exporter
	log     *slog.Logger
	failing bool // exports are made one at a time
}

// Export reports no error: it is said.
func (t *told) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	err := t.Exporter.Export(ctx, m)
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // the last export is still to come
	case err != nil && !t.failing:
		t.log.Warn("metrics are not sent", "error", err)
	case err == nil && t.failing:
		t.log.Info("metrics are sent again")
	}
	t.failing = err != nil
	return nil
}

// Exporter sends metrics over OTLP. A nil Exporter sends none.
type Exporter struct{ provider *metric.MeterProvider }

// OpenExport begins to send what collect gives; it does not wait for the receiver. Counters began at began. The
// OTEL_* variables of the SDK are respected for what Export does not say: endpoint, protocol, interval, time limit,
// resource attributes, headers, certificates, and classic histograms in place of exponential ones. Without an
// endpoint, or if OTEL_METRICS_EXPORTER is none, the Exporter is nil.
func OpenExport(ctx context.Context, e Export, began time.Time, collect Collect, log *slog.Logger) (*Exporter, error) {
	if e.Endpoint == "" && (os.Getenv("OTEL_METRICS_EXPORTER") == "none" || !endpointGiven("METRICS")) {
		return nil, nil
	}
	exporter, err := e.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("telemetry.metrics: %w", err)
	}
	res, err := ownResource(ctx)
	if err != nil {
		return nil, fmt.Errorf("telemetry.metrics: %w", err)
	}
	explicit := os.Getenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION") == "explicit_bucket_histogram"
	o := []metric.PeriodicReaderOption{metric.WithProducer(&producer{began, collect, explicit})}
	if e.Interval > 0 {
		o = append(o, metric.WithInterval(e.Interval))
	}
	return &Exporter{metric.NewMeterProvider(metric.WithReader(metric.NewPeriodicReader(&told{Exporter: exporter, log: log}, o...)), metric.WithResource(res))}, nil
}

func (e Export) open(ctx context.Context) (metric.Exporter, error) {
	if protocol(e.Protocol, "METRICS") == "http" {
		var o []otlpmetrichttp.Option
		if e.Endpoint != "" {
			o = append(o, otlpmetrichttp.WithEndpoint(e.Endpoint))
		}
		if e.Insecure {
			o = append(o, otlpmetrichttp.WithInsecure())
		}
		return otlpmetrichttp.New(ctx, o...)
	}
	var o []otlpmetricgrpc.Option
	if e.Endpoint != "" {
		o = append(o, otlpmetricgrpc.WithEndpoint(e.Endpoint))
	}
	if e.Insecure {
		o = append(o, otlpmetricgrpc.WithInsecure())
	}
	return otlpmetricgrpc.New(ctx, o...)
}

// Close sends the last values.
func (e *Exporter) Close(ctx context.Context) error {
	if e == nil {
		return nil
	}
	return e.provider.Shutdown(ctx)
}

// producer gives the SDK's reader what the gateway counts by itself.
type producer struct {
	began   time.Time
	collect Collect
	classic bool
}

// Produce is for metric.Producer.
func (p *producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	now := time.Now()
	out := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: "github.com/sluice-gateway/sluice"}}
	for _, f := range families(p.collect()) {
		m := f[0].Metric
		out.Metrics = append(out.Metrics, metricdata.Metrics{Name: m.Name, Description: m.Help, Unit: m.Unit, Data: p.data(m, f, now)})
	}
	return []metricdata.ScopeMetrics{out}, nil
}

func (p *producer) data(m *Metric, samples []Sample, now time.Time) metricdata.Aggregation {
	switch {
	case m.Kind != Durations:
		var points []metricdata.DataPoint[float64]
		for _, s := range samples {
			points = append(points, metricdata.DataPoint[float64]{Attributes: s.attributes(), StartTime: p.began, Time: now, Value: s.Value})
		}
		if m.Kind == Gauge {
			return metricdata.Gauge[float64]{DataPoints: points}
		}
		return metricdata.Sum[float64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true, DataPoints: points}
	case p.classic:
		h := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
		for _, s := range samples {
			d := metricdata.HistogramDataPoint[float64]{Attributes: s.attributes(), StartTime: p.began, Time: now, Sum: s.Sum.Seconds()}
			var upTo []uint64
			d.Bounds, upTo, d.Count = m.classic(s.Latency)
			var before uint64
			for _, n := range append(upTo, d.Count) {
				d.BucketCounts = append(d.BucketCounts, n-before)
				before = n
			}
			h.DataPoints = append(h.DataPoints, d)
		}
		return h
	}
	h := metricdata.ExponentialHistogram[float64]{Temporality: metricdata.CumulativeTemporality}
	for _, s := range samples {
		first, counts := exponential(s.Latency)
		h.DataPoints = append(h.DataPoints, metricdata.ExponentialHistogramDataPoint[float64]{
			Attributes: s.attributes(), StartTime: p.began, Time: now, Count: uint64(s.Latency.Count()), Sum: s.Sum.Seconds(), Scale: scale,
			PositiveBucket: metricdata.ExponentialBucket{Offset: int32(first - 1), Counts: counts}, // numbered by their lower bounds
		})
	}
	return h
}

func (s Sample) attributes() attribute.Set {
	var out []attribute.KeyValue
	for i, k := range s.Metric.Labels {
		out = append(out, k.String(s.Values[i]))
	}
	return attribute.NewSet(out...)
}
