package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Export says where metrics are sent.
type Export struct {
	Receiver
	// Interval is the time from one export to the next; 0 leaves it to the OTEL_* variables.
	Interval time.Duration
}

// told is an exporter whose outcome is told.
type told struct {
	metric.Exporter
	outcome outcome
}

// Export reports no error: it is told.
func (t *told) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	t.outcome.tell(ctx, t.Exporter.Export(ctx, m))
	return nil
}

// Exporter sends metrics over OTLP. A nil Exporter sends none.
type Exporter struct{ provider *metric.MeterProvider }

// OpenExport begins to send what collect gives, and Go's runtime; it does not wait for the
// receiver. Counters began at began. The OTEL_* variables of the SDK are respected for what Export
// does not say: endpoint, protocol, interval, time limit, resource attributes, headers,
// certificates, delta temporality, and classic histograms in place of exponential ones. Without an
// endpoint, the Exporter is nil.
func OpenExport(ctx context.Context, e Export, by Exporters, began time.Time, collect Collect, log *slog.Logger) (*Exporter, error) {
	if ok, err := e.wanted("METRICS", by); err != nil {
		return nil, fmt.Errorf("telemetry.metrics: %w", err)
	} else if !ok {
		return nil, nil
	}
	exporter, err := by.Metrics(ctx, e.Receiver)
	if err != nil {
		return nil, fmt.Errorf("telemetry.metrics: %w", err)
	}
	res, err := e.Source.resource(ctx)
	if err != nil {
		return nil, fmt.Errorf("telemetry.metrics: %w", err)
	}
	runtime := goMetrics()
	all := func() []Sample { return append(collect(), goSamples(runtime)...) }
	explicit := os.Getenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION") == "explicit_bucket_histogram"
	o := []metric.PeriodicReaderOption{metric.WithProducer(&producer{collect: all, classic: explicit, temporality: exporter.Temporality, began: began, from: began})}
	if e.Interval > 0 {
		o = append(o, metric.WithInterval(e.Interval))
	}
	reader := metric.NewPeriodicReader(&told{exporter, outcome{signal: "metrics", log: log}}, o...)
	return &Exporter{metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(res))}, nil
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
	collect     Collect
	classic     bool
	temporality metric.TemporalitySelector
	began       time.Time // when counters did

	mu   sync.Mutex
	from time.Time         // from when on deltas are given next
	last map[string]Sample // of what deltas are given of, by series
}

// Produce is for metric.Producer.
func (p *producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, last := time.Now(), map[string]Sample{}
	out := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: scope}}
	for _, f := range families(p.collect()) {
		m := f[0].Metric
		t, from := p.temporalityOf(m), p.began
		if t == metricdata.DeltaTemporality {
			if f, from = p.differences(f, last), p.from; len(f) == 0 {
				continue
			}
		}
		out.Metrics = append(out.Metrics, metricdata.Metrics{Name: m.Name, Description: m.Help, Unit: m.Unit, Data: p.data(m, f, t, from, now)})
	}
	p.last, p.from = last, now
	return []metricdata.ScopeMetrics{out}, nil
}

// temporalityOf is what the exporter wants of a kind of metric: a receiver takes all that grows one
// way.
func (p *producer) temporalityOf(m *Metric) metricdata.Temporality {
	switch m.Kind {
	case Counter:
		return p.temporality(metric.InstrumentKindCounter)
	case Durations, Values:
		return p.temporality(metric.InstrumentKindHistogram)
	default:
		return metricdata.CumulativeTemporality
	}
}

// differences is what has come since the last time, of series where anything has, and remembers
// samples for the next.
func (p *producer) differences(samples []Sample, last map[string]Sample) (out []Sample) {
	for _, s := range samples {
		series := s.Metric.Name + "\x00" + strings.Join(s.Values, "\x00")
		for _, l := range s.Labels {
			series += "\x00" + string(l.Key) + "\x00" + l.Value.AsString()
		}
		last[series] = s
		if before := p.last[series]; before.Value <= s.Value && before.Latency.Count() <= s.Latency.Count() && before.Distribution.Count() <= s.Distribution.Count() { // else it has begun anew
			s.Value, s.Latency, s.Sum, s.Distribution = s.Value-before.Value, s.Latency.Since(before.Latency), s.Sum-before.Sum, s.Distribution.since(before.Distribution)
		}
		if s.Value > 0 || len(s.Latency) > 0 || s.Distribution.Count() > 0 {
			out = append(out, s)
		}
	}
	return out
}

func (p *producer) data(m *Metric, samples []Sample, t metricdata.Temporality, from, now time.Time) metricdata.Aggregation {
	switch {
	case m.Kind == Values:
		h := metricdata.Histogram[float64]{Temporality: t}
		for _, s := range samples {
			d := &s.Distribution
			h.DataPoints = append(h.DataPoints, metricdata.HistogramDataPoint[float64]{
				Attributes: s.attributes(), StartTime: from, Time: now, Count: d.Count(), Sum: d.sum, Bounds: distributionBounds[:], BucketCounts: slices.Clone(d.counts[:]),
			})
		}
		return h
	case m.Kind != Durations:
		var points []metricdata.DataPoint[float64]
		for _, s := range samples {
			points = append(points, metricdata.DataPoint[float64]{Attributes: s.attributes(), StartTime: from, Time: now, Value: s.Value})
		}
		if m.Kind == Gauge {
			return metricdata.Gauge[float64]{DataPoints: points}
		}
		return metricdata.Sum[float64]{Temporality: t, IsMonotonic: m.Kind == Counter, DataPoints: points}
	case p.classic:
		h := metricdata.Histogram[float64]{Temporality: t}
		for _, s := range samples {
			d := metricdata.HistogramDataPoint[float64]{Attributes: s.attributes(), StartTime: from, Time: now, Sum: s.Sum.Seconds()}
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
	h := metricdata.ExponentialHistogram[float64]{Temporality: t}
	for _, s := range samples {
		first, counts := exponential(s.Latency)
		h.DataPoints = append(h.DataPoints, metricdata.ExponentialHistogramDataPoint[float64]{
			Attributes: s.attributes(), StartTime: from, Time: now, Count: uint64(s.Latency.Count()), Sum: s.Sum.Seconds(), Scale: scale,
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
	return attribute.NewSet(append(out, s.Labels...)...)
}
