package gateway

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/telemetry"
)

// document writes the table of metrics.
func document() string {
	var b strings.Builder
	b.WriteString("# Metrics\n\n`GET /metrics` of the admin listener, in Prometheus' and OpenMetrics' formats. Neither topics nor clients are labels, so that the\n" +
		"number of series is bounded by the configuration and by Kafka's APIs and error codes. Go's runtime and the process are shown too, as\n" +
		"`go_*` and `process_*`. This table is made from the code; a test fails when they differ.\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n")
	t := reflect.ValueOf(newMetricTable()).Elem()
	for i := range t.NumField() {
		f := t.Field(i)
		m := telemetry.Metric{Name: f.FieldByName("Name").String(), Kind: telemetry.Kind(f.FieldByName("Kind").String()), Unit: f.FieldByName("Unit").String(), Help: f.FieldByName("Help").String()}
		var labels []string
		for j := range f.FieldByName("Labels").Len() {
			labels = append(labels, f.FieldByName("Labels").Index(j).String())
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.PrometheusName(), m.Kind, strings.Join(labels, ", "), m.Help)
	}
	return b.String()
}

// TestMetricsAreDocumented: METRICS.md is the table; UPDATE=1 writes it.
func TestMetricsAreDocumented(t *testing.T) {
	want := document()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("METRICS.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("METRICS.md")
	if err != nil || string(got) != want {
		t.Errorf("METRICS.md is not what the code says (%v): run UPDATE=1 go test -run MetricsAreDocumented ./core/gateway", err)
	}
}
