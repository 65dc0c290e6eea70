package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Kind is what a metric's values mean.
type Kind string

// The kinds of metrics.
const (
	Counter   Kind = "counter"   // only grows
	Gauge     Kind = "gauge"     // what is now
	Durations Kind = "histogram" // a Latency
)

// Metric describes something that is measured. Its name in Prometheus has underscores, the unit and, for a
// counter, _total.
type Metric struct {
	Name   string
	Kind   Kind
	Unit   string // UCUM: s, By, {request}
	Help   string
	Labels []attribute.Key
}

// PrometheusName is the name that scrapes show.
func (m *Metric) PrometheusName() string {
	name := strings.ReplaceAll(m.Name, ".", "_")
	if unit := map[string]string{"s": "_seconds", "By": "_bytes"}[m.Unit]; unit != "" {
		name += unit
	}
	if m.Kind == Counter {
		name += "_total"
	}
	return name
}

// Sample is a value of a metric.
type Sample struct {
	Metric *Metric
	Attrs  []attribute.KeyValue // of Metric.Labels, in their order
	Value  float64
	// Latency is the value of Durations.
	Latency Histogram
	Sum     time.Duration
}

// Metrics shows what a gateway counts to Prometheus. It costs nothing but when it is asked.
type Metrics struct {
	registry *prometheus.Registry
	provider *metric.MeterProvider
}

// NewMetrics returns metrics whose values collect gives, with those of the process. Counters began at began.
func NewMetrics(began time.Time, collect func() []Sample) (*Metrics, error) {
	m := &Metrics{registry: prometheus.NewRegistry()}
	reader, err := exporter.New(exporter.WithRegisterer(m.registry), exporter.WithProducer(&producer{began, collect}), exporter.WithoutScopeInfo(), exporter.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	m.provider = metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(resource.Empty()))
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m, nil
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Close ends the metrics.
func (m *Metrics) Close(ctx context.Context) error {
	if m == nil {
		return nil
	}
	return m.provider.Shutdown(ctx)
}

// producer gives the SDK's readers what the gateway counts by itself.
type producer struct {
	began   time.Time
	collect func() []Sample
}

// Produce is for metric.Producer.
func (p *producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	now := time.Now()
	var order []*Metric
	by := map[*Metric][]Sample{}
	for _, s := range p.collect() {
		if by[s.Metric] == nil {
			order = append(order, s.Metric)
		}
		by[s.Metric] = append(by[s.Metric], s)
	}
	out := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: "github.com/sluice-gateway/sluice"}}
	for _, m := range order {
		out.Metrics = append(out.Metrics, metricdata.Metrics{Name: m.Name, Description: m.Help, Unit: m.Unit, Data: p.data(m, by[m], now)})
	}
	return []metricdata.ScopeMetrics{out}, nil
}

func (p *producer) data(m *Metric, samples []Sample, now time.Time) metricdata.Aggregation {
	if m.Kind == Durations {
		h := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
		for _, s := range samples {
			h.DataPoints = append(h.DataPoints, p.durations(s, now))
		}
		return h
	}
	var points []metricdata.DataPoint[float64]
	for _, s := range samples {
		points = append(points, metricdata.DataPoint[float64]{Attributes: attribute.NewSet(s.Attrs...), StartTime: p.began, Time: now, Value: s.Value})
	}
	if m.Kind == Gauge {
		return metricdata.Gauge[float64]{DataPoints: points}
	}
	return metricdata.Sum[float64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true, DataPoints: points}
}

// bounds are the classic buckets, in microseconds: each doubles the one before, 64 us to 33 s. They are bounds of
// Latency's own.
var bounds = func() (out []int64) {
	for us := int64(64); us <= 32<<20; us *= 2 {
		out = append(out, us)
	}
	return out
}()

func (p *producer) durations(s Sample, now time.Time) metricdata.HistogramDataPoint[float64] {
	d := metricdata.HistogramDataPoint[float64]{
		Attributes: attribute.NewSet(s.Attrs...), StartTime: p.began, Time: now, Sum: s.Sum.Seconds(), BucketCounts: make([]uint64, len(bounds)+1),
	}
	for _, b := range bounds {
		d.Bounds = append(d.Bounds, float64(b)/1e6)
	}
	at := 0
	for _, b := range s.Latency {
		for at < len(bounds) && b.Below > bounds[at] {
			at++
		}
		d.BucketCounts[at] += uint64(b.Count)
		d.Count += uint64(b.Count)
	}
	return d
}
