package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// TestMetricsOfInterceptorsAreShown with the labels that say whose they are, and those that
// contradict each other harm no scrape.
func TestMetricsOfInterceptorsAreShown(t *testing.T) {
	kinds := map[telemetry.Kind]string{telemetry.Counter: "counter", telemetry.Gauge: "gauge", telemetry.Values: "histogram"}
	series := func(name string, kind telemetry.Kind, value float64, labels ...attribute.KeyValue) telemetry.Sample {
		if kind == telemetry.Counter {
			name = strings.TrimSuffix(name, "_total")
		}
		m := plugin.Metric(kind, "guest."+kinds[kind]+"."+name, "", "help", "guest")
		return telemetry.Sample{Metric: m, Labels: labels, Value: value}
	}
	all := map[string][]telemetry.Sample{
		"mask": {
			series("masked_total", telemetry.Counter, 3, attribute.String("field", "card")),
			series("masked_total", telemetry.Counter, 4, attribute.String("field", "name"), attribute.String("topic", "x")),
			series("size", telemetry.Values, 0), series("plain", telemetry.Counter, 6),
		},
		"other": {series("masked_total", telemetry.Counter, 5)},
		// A stranger's, that would take the scrape with them.
		"stranger": {
			series("masked_total", telemetry.Gauge, 90), series("masked", telemetry.Gauge, 91), series("size_count", telemetry.Counter, 92), series("size_bucket", telemetry.Gauge, 93),
			series("plain_created", telemetry.Gauge, 94), series("plain", telemetry.Gauge, 95), series("gauge_plain", telemetry.Counter, 96), series("size", telemetry.Gauge, 97),
		},
	}
	for _, accept := range []string{"text/plain", "application/openmetrics-text;version=1.0.0", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		telemetry.Prometheus(time.Unix(1000, 0), telemetry.Source{}, func() []telemetry.Sample {
			c := &collector{}
			for guest, own := range all {
				for i := range own {
					own[i].Values = []string{guest}
				}
				c.samples("vc", own, map[string]bool{})
			}
			return c.out
		}).ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d, %s", accept, w.Code, w.Body)
		}
		if !strings.HasPrefix(accept, "text") {
			continue
		}
		for _, line := range []string{
			`sluice_guest_counter_masked_total{field="card",guest="mask",virtual_cluster="vc"} 3`, `sluice_guest_counter_masked_total{guest="other",virtual_cluster="vc"} 5`,
			`sluice_guest_counter_masked_total{field="name",guest="mask",topic="x",virtual_cluster="vc"} 4`, `sluice_guest_histogram_size_bucket{guest="mask",virtual_cluster="vc",le="+Inf"} 0`,
			`sluice_guest_gauge_masked_total{guest="stranger",virtual_cluster="vc"} 90`, `sluice_guest_gauge_size{guest="stranger",virtual_cluster="vc"} 97`,
			`sluice_guest_counter_plain_total{guest="mask",virtual_cluster="vc"} 6`,
		} {
			if !strings.Contains(w.Body.String(), line+"\n") {
				t.Errorf("no line %s", line)
			}
		}
	}
}
