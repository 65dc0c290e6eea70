package telemetry

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// Prometheus answers scrapes of what collect gives, with what Go's runtime and the process tell of
// themselves. Counters began at began. Scrapes in text have classic histograms, those in protobuf
// the same ones native as well. source is in target_info, as the resource that it is over OTLP.
func Prometheus(began time.Time, source Source, collect Collect) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(source.target(), &collector{began, collect}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// target is the resource as OpenTelemetry's exporters for Prometheus show it. What is wrong with
// OTEL_RESOURCE_ATTRIBUTES is for exporters to say.
func (s Source) target() prometheus.Collector {
	labels := prometheus.Labels{}
	if res, _ := s.resource(context.Background()); res != nil {
		for _, a := range res.Attributes() {
			if name := noLabel.ReplaceAllString(string(a.Key), "_"); name != "" {
				labels[name] = strings.ToValidUTF8(a.Value.String(), "\uFFFD")
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "target_info", Help: "The resource of this gateway.", ConstLabels: labels})
	g.Set(1)
	return g
}

// noLabel is what names of labels can't hold.
var noLabel = regexp.MustCompile(`^(__|[0-9])|[^a-zA-Z0-9_]`)

// collector is a prometheus.Collector whose series are known when they are asked for only.
type collector struct {
	began   time.Time
	collect Collect
}

// Describe tells nothing.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends every sample.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	for _, f := range families(c.collect()) {
		m := f[0].Metric
		var labels []string
		for _, k := range m.Labels {
			labels = append(labels, string(k))
		}
		all := prometheus.NewDesc(m.PrometheusName(), m.Help, labels, nil)
		for _, s := range f {
			desc := all
			if len(s.Labels) > 0 {
				own := slices.Clone(labels)
				s.Values = slices.Clone(s.Values)
				for _, l := range s.Labels {
					own, s.Values = append(own, string(l.Key)), append(s.Values, l.Value.AsString())
				}
				desc = prometheus.NewDesc(m.PrometheusName(), m.Help, own, nil)
			}
			switch m.Kind {
			case Counter:
				out <- prometheus.MustNewConstMetricWithCreatedTimestamp(desc, prometheus.CounterValue, s.Value, c.began, s.Values...)
			case Gauge, UpDown:
				out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, s.Value, s.Values...)
			case Values:
				d := &s.Distribution
				out <- prometheus.MustNewConstHistogramWithCreatedTimestamp(desc, d.Count(), d.sum, d.upTo(), c.began, s.Values...)
			default:
				out <- &durations{desc, s}
			}
		}
	}
}

// durations is a histogram with buckets of both kinds.
type durations struct {
	desc *prometheus.Desc
	Sample
}

// Desc is the metric's name.
func (d *durations) Desc() *prometheus.Desc { return d.desc }

// Write is for prometheus.Metric.
func (d *durations) Write(out *dto.Metric) error {
	bounds, upTo, count := d.Metric.classic(d.Latency)
	h := &dto.Histogram{SampleCount: &count, SampleSum: new(d.Sum.Seconds()), Schema: new(int32(scale)), ZeroThreshold: new(float64), ZeroCount: new(uint64)}
	for i := range bounds {
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: &bounds[i], CumulativeCount: &upTo[i]})
	}
	first, counts := exponential(d.Latency)
	// A span, be it empty, says that the histogram is a native one.
	offset, length := int32(first), uint32(len(counts))
	h.PositiveSpan = []*dto.BucketSpan{{Offset: &offset, Length: &length}}
	var before int64
	for _, n := range counts {
		h.PositiveDelta = append(h.PositiveDelta, int64(n)-before)
		before = int64(n)
	}
	out.Label, out.Histogram = prometheus.MakeLabelPairs(d.desc, d.Values), h
	return nil
}
