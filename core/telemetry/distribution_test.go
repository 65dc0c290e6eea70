package telemetry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// distribution is one of values.
func distribution(values ...float64) (d Distribution) {
	for _, v := range values {
		d.Record(v)
	}
	return d
}

// TestDistributions show their buckets, and series of one metric may have labels of their own.
func TestDistributions(t *testing.T) {
	m, c := &Metric{Name: "v", Kind: Values, Help: "V.", Labels: []attribute.Key{"a"}}, &Metric{Name: "c", Kind: Counter, Labels: []attribute.Key{"a"}}
	samples := func() []Sample {
		return []Sample{
			{Metric: m, Values: []string{"1"}, Distribution: distribution(-1, 0, 1, 1.5, 4, 1e12)},
			{Metric: m, Values: []string{"1"}, Labels: []attribute.KeyValue{attribute.String("own", "x")}, Distribution: distribution(2)},
			{Metric: c, Values: []string{"1"}, Labels: []attribute.KeyValue{attribute.String("own", "x")}, Value: 7},
			{Metric: c, Values: []string{"1"}, Value: 8},
		}
	}
	w := httptest.NewRecorder()
	Prometheus(time.Unix(1000, 0), Source{}, samples).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`v_bucket{a="1",le="1"} 3`, `v_bucket{a="1",le="4"} 5`, `v_bucket{a="1",le="1.073741824e+09"} 5`, `v_bucket{a="1",le="+Inf"} 6`, `v_sum{a="1"} 1.0000000000055e+12`,
		`v_bucket{a="1",own="x",le="1"} 0`, `v_count{a="1",own="x"} 1`, `c_total{a="1",own="x"} 7`, `c_total{a="1"} 8`,
	} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if n := strings.Count(w.Body.String(), `a="1",own="x"`) - 1; n != DistributionSeries {
		t.Errorf("%d series, said to be %d: %s", n, DistributionSeries, w.Body)
	}
	p := &producer{collect: samples, temporality: metric.CumulativeTemporalitySelector}
	scopes, err := p.Produce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := scopes[0].Metrics[0].Data.(metricdata.Histogram[float64])
	about := fact.Of(t, "%+v", h)
	if fact.Equal(about, "len(h.DataPoints)", len(h.DataPoints), 2) {
		fact.Equal(about, "h.DataPoints[0].Count", h.DataPoints[0].Count, 6)
		fact.Equal(about, "h.DataPoints[0].BucketCounts[0]", h.DataPoints[0].BucketCounts[0], 2)
		fact.Equal(about, "len(h.DataPoints[0].BucketCounts)", len(h.DataPoints[0].BucketCounts), len(h.DataPoints[0].Bounds)+1)
	}
	if own, _ := h.DataPoints[1].Attributes.Value("own"); own.AsString() != "x" {
		t.Errorf("%v", h.DataPoints[1].Attributes)
	}
}

// TestDeltasOfDistributions, each of its own labels.
func TestDeltasOfDistributions(t *testing.T) {
	m := &Metric{Name: "v", Kind: Values}
	var now []Sample
	p := &producer{collect: func() []Sample { return now }, temporality: metric.DeltaTemporalitySelector}
	one := []attribute.KeyValue{attribute.String("own", "1")}
	for i, step := range []struct {
		values, other []float64
		count         uint64
		sum           float64
	}{
		{[]float64{1, 2}, []float64{5}, 2, 3}, {[]float64{1, 2, 3}, []float64{5}, 1, 3}, {[]float64{4}, []float64{5}, 1, 4},
	} {
		now = []Sample{{Metric: m, Labels: one, Distribution: distribution(step.values...)}, {Metric: m, Distribution: distribution(step.other...)}}
		scopes, err := p.Produce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		points := scopes[0].Metrics[0].Data.(metricdata.Histogram[float64]).DataPoints
		if points[0].Count != step.count || points[0].Sum != step.sum || (len(points) == 2) != (i == 0) {
			t.Errorf("%d: %+v", i, points)
		}
	}
}
