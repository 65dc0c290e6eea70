package telemetry

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	otlp "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// example is a metric of each kind: a counter, a gauge, durations, some of which are fine, and one
// that has none.
func example() []Sample {
	by := []attribute.Key{"z", "a"}
	var l, none Latency
	for _, d := range []time.Duration{0, 500 * time.Nanosecond, time.Millisecond, time.Millisecond, time.Second, time.Second + 1, 70 * time.Second, time.Hour} {
		l.Record(d)
	}
	values := []string{"1", "2"}
	coarse, fine := &Metric{"d", Durations, "s", "D.", by, false}, &Metric{"f", Durations, "s", "F.", by, true}
	return []Sample{
		{Metric: &Metric{"c.c", Counter, "By", "C.", by, false}, Values: values, Value: 3},
		{Metric: coarse, Values: values, Latency: l.Histogram(), Sum: l.Sum()},
		{Metric: &Metric{"g", Gauge, "", "G.", nil, false}, Value: -1},
		{Metric: coarse, Values: []string{"3", "4"}, Latency: none.Histogram()},
		{Metric: coarse, Values: []string{"3", "\xff"}, Latency: l.Histogram(), Sum: l.Sum()}, // which no label can hold
		{Metric: fine, Values: values, Latency: l.Histogram(), Sum: l.Sum()},
	}
}

func scrape(t *testing.T, accept string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	Prometheus(time.Unix(1000, 0), Source{Version: "v9", Instance: "here"}, example).ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w
}

func read(t *testing.T, w *httptest.ResponseRecorder) map[string]*dto.MetricFamily {
	t.Helper()
	families := map[string]*dto.MetricFamily{}
	d := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header()))
	for {
		f := &dto.MetricFamily{}
		if err := d.Decode(f); errors.Is(err, io.EOF) {
			return families
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = f
	}
}

// TestScrapesHaveBothKindsOfBuckets: text has classic ones, protobuf both, and they say the same.
func TestScrapesHaveBothKindsOfBuckets(t *testing.T) {
	text, both := read(t, scrape(t, "text/plain")), read(t, scrape(t, string(expfmt.NewFormat(expfmt.TypeProtoDelim))))
	for name, want := range map[string]map[float64]uint64{
		"d_seconds": {1.0 / 16384: 2, 1.0 / 1024: 2, 1.0 / 512: 4, 1: 5, 2: 6, 64: 6},
		"f_seconds": {1.0 / (1 << 20): 2, 1.0 / 1024: 2, 1.0 / 256: 4, 1: 5},
	} {
		for kind, families := range map[string]map[string]*dto.MetricFamily{"text": text, "protobuf": both} {
			h := families[name].Metric[0].Histogram
			found := 0
			for _, b := range h.Bucket {
				if n, ok := want[b.GetUpperBound()]; ok {
					found++
					if b.GetCumulativeCount() != n {
						t.Errorf("%s in %s: %d up to %v, want %d", name, kind, b.GetCumulativeCount(), b.GetUpperBound(), n)
					}
				}
			}
			if found != len(want) || h.GetSampleCount() != 8 || h.GetSampleSum() < 3672 {
				t.Errorf("%s in %s: %v", name, kind, h)
			}
		}
		h := both[name].Metric[0].Histogram
		if h.GetSchema() != 2 || len(h.PositiveSpan) != 1 {
			t.Fatalf("%s: %v", name, h)
		}
		counts, at, n := map[int]int64{}, int(h.PositiveSpan[0].GetOffset()), int64(0)
		for _, d := range h.PositiveDelta {
			if n += d; n > 0 {
				counts[at] = n
			}
			at++
		}
		// The bucket i ends at 2^(i/4) seconds; a millisecond is 2^(-9.97), 70 s 2^6.13.
		for i, want := range map[int]int64{4 * finest: 1, -83: 1, -39: 2, 0: 1, 1: 1, 25: 1, 36: 1} {
			if counts[i] != want {
				t.Errorf("%s: %d in the native bucket %d, want %d: %v", name, counts[i], i, want, counts)
			}
		}
	}
	empty := both["d_seconds"].Metric[1].Histogram
	if len(empty.PositiveSpan) != 1 || empty.PositiveSpan[0].GetLength() != 0 || empty.GetSampleCount() != 0 {
		t.Errorf("nothing counted: %v", empty)
	}
	c := both["c_c_bytes_total"].GetMetric()
	about := fact.Of(t, "counter: %v", c)
	if fact.Equal(about, "len(c)", len(c), 1) {
		fact.Equal(about, "c[0].Counter.GetValue()", c[0].Counter.GetValue(), 3)
		fact.Equal(about, "c[0].Counter.CreatedTimestamp.GetSeconds()", c[0].Counter.CreatedTimestamp.GetSeconds(), 1000)
		fact.Equal(about, "c[0].Label[0].GetName()", c[0].Label[0].GetName(), "a")
		fact.Equal(about, "c[0].Label[0].GetValue()", c[0].Label[0].GetValue(), "2")
	}
	if g := both["g"].GetMetric(); len(g) != 1 || g[0].Gauge.GetValue() != -1 || both["go_goroutines"] == nil {
		t.Errorf("gauge: %v", g)
	}
	{
		info := both["target_info"].GetMetric()
		about := fact.Of(t, "the source: %v", info)
		if fact.Equal(about, "len(info)", len(info), 1) {
			fact.True(about, `labelled(info[0], "service_name", "sluice")`, labelled(info[0], "service_name", "sluice"))
			fact.True(about, `labelled(info[0], "service_version", "v9")`, labelled(info[0], "service_version", "v9"))
			fact.True(about, `labelled(info[0], "service_instance_id", "here")`, labelled(info[0], "service_instance_id", "here"))
		}
	}
	open := scrape(t, "application/openmetrics-text").Body.String()
	if !strings.Contains(open, "# EOF") || !strings.Contains(open, `d_seconds_bucket{a="2",z="1",le="+Inf"} 8`) {
		t.Error(open)
	}
}

func labelled(m *dto.Metric, name, value string) bool {
	return slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == name && l.GetValue() == value })
}

// TestAttributesOfTheResourceAreLabels, whatever their names are: what the environment says breaks
// no scrape.
func TestAttributesOfTheResourceAreLabels(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test,service.instance.id=other,__name__=x,1st=y,=z,bytes=%FF")
	m := read(t, scrape(t, "text/plain"))["target_info"].GetMetric()
	for name, value := range map[string]string{"deployment_environment": "test", "service_instance_id": "other", "_name__": "x", "_st": "y", "bytes": "\uFFFD"} {
		if len(m) != 1 || !labelled(m[0], name, value) {
			t.Errorf("no label %s=%q: %v", name, value, m)
		}
	}
}

// receiver takes metrics over HTTP.
type receiver struct {
	mu   sync.Mutex
	last map[string]*otlp.Metric
	from map[string]string // attributes of the resource
	n    int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(req.Body)
	}
	b, err := io.ReadAll(body)
	m := &collectormetrics.ExportMetricsServiceRequest{}
	asked := req.URL.Path == "/v1/metrics" && req.Header.Get("X-Tenant") == "a"
	if err = errors.Join(err, proto.Unmarshal(b, m)); err != nil || !asked {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	r.last, r.from = map[string]*otlp.Metric{}, map[string]string{}
	for _, a := range m.ResourceMetrics[0].Resource.Attributes {
		r.from[a.Key] = a.Value.GetStringValue()
	}
	for _, x := range m.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		r.last[x.Name] = x
	}
}

// TestMetricsAreExported as the OTEL_* variables say, until the exporter is closed, which sends the
// last values.
func TestMetricsAreExported(t *testing.T) {
	if e, err := OpenExport(t.Context(), Export{}, direct{}, time.Now(), example, slog.Default()); e != nil || err != nil || e.Close(t.Context()) != nil {
		t.Fatalf("without an endpoint: %v, %v", e, err)
	}
	r := &receiver{}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "X-Tenant=a")
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "5")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	run := func() map[string]*otlp.Metric {
		t.Helper()
		began := time.Unix(1000, 0)
		e, err := OpenExport(t.Context(), Export{Receiver: Receiver{Source: Source{Version: "v9", Instance: "here"}}}, direct{}, began, example, slog.Default())
		if e == nil || err != nil {
			t.Fatalf("%v, %v", e, err)
		}
		for more := true; more; time.Sleep(time.Millisecond) {
			r.mu.Lock()
			more = r.n < 2
			r.mu.Unlock()
		}
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.n = 0
		about := fact.Of(t, "resource %v", r.from)
		fact.Equal(about, `r.from["service.name"]`, r.from["service.name"], "sluice")
		fact.Equal(about, `r.from["service.version"]`, r.from["service.version"], "v9")
		fact.Equal(about, `r.from["service.instance.id"]`, r.from["service.instance.id"], "here")
		fact.Equal(about, `r.from["deployment.environment"]`, r.from["deployment.environment"], "test")
		return r.last
	}
	all := run()
	{
		c := all["c.c"].GetSum()
		about := fact.Of(t, "counter: %v", all["c.c"])
		fact.True(about, "c.GetIsMonotonic()", c.GetIsMonotonic())
		fact.Equal(about, "c.AggregationTemporality", c.AggregationTemporality, otlp.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE)
		fact.Equal(about, "c.DataPoints[0].GetAsDouble()", c.DataPoints[0].GetAsDouble(), 3)
		fact.Equal(about, "c.DataPoints[0].StartTimeUnixNano", c.DataPoints[0].StartTimeUnixNano, 1000e9)
		if fact.Equal(about, "len(c.DataPoints[0].Attributes)", len(c.DataPoints[0].Attributes), 2) {
			fact.Equal(about, `all["c.c"].Unit`, all["c.c"].Unit, "By")
		}
	}
	if g := all["g"].GetGauge(); g.GetDataPoints()[0].GetAsDouble() != -1 {
		t.Errorf("gauge: %v", all["g"])
	}
	// Of Go's runtime, what a test can't hold still: that it is there, and how.
	for name, points := range map[string]int{"go.memory.used": 2, "go.memory.limit": 0, "go.memory.allocated": 1, "go.memory.allocations": 1, "go.memory.gc.goal": 1, "go.goroutine.count": 1, "go.processor.limit": 1, "go.config.gogc": 1} {
		got := all[name].GetSum()
		if len(got.GetDataPoints()) != points || got.GetIsMonotonic() != strings.HasPrefix(name, "go.memory.alloc") {
			t.Errorf("%s is %v", name, got)
		}
		for _, p := range got.GetDataPoints() {
			if v := p.GetAsDouble(); v < 1 || v > 1e12 {
				t.Errorf("%s is %v", name, v)
			}
		}
	}
	d := all["d"].GetExponentialHistogram().GetDataPoints()
	about := fact.Of(t, "durations: %v", all["d"])
	if fact.Equal(about, "len(d)", len(d), 2) {
		fact.Equal(about, "d[0].Count", d[0].Count, 8)
		fact.Equal(about, "d[0].Scale", d[0].Scale, 2)
		fact.Equal(about, "d[0].Positive.Offset", d[0].Positive.Offset, 4*finest-1)
		fact.Equal(about, "d[0].Positive.BucketCounts[-39-4*finest]", d[0].Positive.BucketCounts[-39-4*finest], 2)
		fact.Equal(about, "d[1].Count", d[1].Count, 0)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram")
	h := run()["d"].GetHistogram().GetDataPoints()
	about = fact.Of(t, "classic durations: %v", h)
	if fact.Equal(about, "len(h)", len(h), 2) {
		fact.Equal(about, "h[0].Count", h[0].Count, 8)
		if fact.Equal(about, "len(h[0].BucketCounts)", len(h[0].BucketCounts), len(h[0].ExplicitBounds)+1) {
			fact.Equal(about, "h[0].BucketCounts[0]", h[0].BucketCounts[0], 2)
			fact.Equal(about, "h[0].BucketCounts[len(h[0].BucketCounts)-1]", h[0].BucketCounts[len(h[0].BucketCounts)-1], 2)
		}
	}
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
	if r := run(); r["c.c"] != nil || r["d"] != nil || r["g"] == nil { // the same as the time before
		t.Errorf("deltas: %v", r)
	}
	t.Setenv("OTEL_METRICS_EXPORTER", "none")
	if e, err := OpenExport(t.Context(), Export{}, direct{}, time.Now(), example, slog.Default()); e != nil || err != nil {
		t.Errorf("with none: %v, %v", e, err)
	}
}

// TestFailedExportsAreToldOnce, and that they work again.
func TestFailedExportsAreToldOnce(t *testing.T) {
	var b strings.Builder
	inner := &failing{}
	e := &told{inner, outcome{signal: "metrics", log: slog.New(slog.NewTextHandler(&b, nil))}}
	gone, cancel := context.WithCancel(t.Context())
	for _, err := range []error{nil, errors.New("one"), errors.New("two"), nil, nil, errors.New("three")} {
		inner.err = err
		if e.Export(t.Context(), nil) != nil {
			t.Error("told twice")
		}
	}
	cancel()
	inner.err, e.outcome.failing = errors.New("four"), false
	if e.Export(gone, nil) != nil {
		t.Error("told twice")
	}
	log := b.String()
	about := fact.Of(t, "%v", log)
	fact.Equal(about, `strings.Count(log, "\n")`, strings.Count(log, "\n"), 3)
	fact.Has(about, log, "one")
	fact.HasNo(about, log, "two")
	fact.Has(about, log, "again")
	fact.Has(about, log, "three")
	fact.HasNo(about, log, "four")
}

type failing struct {
	metric.Exporter
	err error
}

func (f *failing) Export(context.Context, *metricdata.ResourceMetrics) error { return f.err }

// TestDeltas: a receiver that wants them gets what has come since the last time, of series that
// have anything new, and gauges as they are.
func TestDeltas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter, gauge := &Metric{Name: "c", Kind: Counter, Labels: []attribute.Key{"a"}}, &Metric{Name: "g", Kind: Gauge}
		durations := &Metric{Name: "d", Kind: Durations}
		var now []Sample
		began := time.Now()
		p := &producer{collect: func() []Sample { return now }, temporality: metric.DeltaTemporalitySelector, from: began}
		histogram := func(n int64) Histogram { return Histogram{{time.Second, n}, {2 * time.Second, 1}} }
		at := began
		for i, step := range []struct {
			samples []Sample
			want    string
		}{
			{[]Sample{{Metric: counter, Values: []string{"x"}, Value: 5}, {Metric: counter, Values: []string{"y"}}, {Metric: gauge, Value: 7}, {Metric: durations, Latency: histogram(2), Sum: 4 * time.Second}}, "c x 5, g 7, d 3 4"},
			{[]Sample{{Metric: counter, Values: []string{"x"}, Value: 8}, {Metric: counter, Values: []string{"y"}, Value: 1}, {Metric: gauge, Value: 7}, {Metric: durations, Latency: histogram(3), Sum: 5 * time.Second}}, "c x 3, c y 1, g 7, d 1 1"},
			{[]Sample{{Metric: counter, Values: []string{"x"}, Value: 8}, {Metric: gauge, Value: 6}, {Metric: durations, Latency: histogram(3), Sum: 5 * time.Second}}, "g 6"},
			{[]Sample{{Metric: counter, Values: []string{"x"}, Value: 2}, {Metric: durations, Latency: histogram(0)[1:], Sum: time.Second}}, "c x 2, d 1 1"},
		} {
			time.Sleep(time.Minute)
			now = step.samples
			scopes, err := p.Produce(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			from := func(start, end time.Time, what metricdata.Temporality) {
				if !start.Equal(at) || !end.Equal(time.Now()) || what != metricdata.DeltaTemporality {
					t.Errorf("%d: from %s to %s, %s", i, start, end, what)
				}
			}
			for _, m := range scopes[0].Metrics {
				switch d := m.Data.(type) {
				case metricdata.Sum[float64]:
					for _, x := range d.DataPoints {
						a, _ := x.Attributes.Value("a")
						got = append(got, fmt.Sprintf("%s %s %v", m.Name, a.AsString(), x.Value))
						from(x.StartTime, x.Time, d.Temporality)
					}
				case metricdata.Gauge[float64]:
					got = append(got, fmt.Sprintf("%s %v", m.Name, d.DataPoints[0].Value))
				case metricdata.ExponentialHistogram[float64]:
					got = append(got, fmt.Sprintf("%s %d %v", m.Name, d.DataPoints[0].Count, d.DataPoints[0].Sum))
					from(d.DataPoints[0].StartTime, d.DataPoints[0].Time, d.Temporality)
				}
			}
			if all := strings.Join(got, ", "); all != step.want {
				t.Errorf("%d: %s, not %s", i, all, step.want)
			}
			at = time.Now()
		}
	})
}
