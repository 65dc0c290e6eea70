package gateway

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/plugins"
)

const head = `# Metrics

` + "`" + `GET /metrics` + "`" + ` of the admin listener, in Prometheus' and OpenMetrics' formats, and in protobuf, where histograms have native
buckets (schema 2) beside the classic ones. With ` + "`" + `telemetry: metrics: {endpoint: ...}` + "`" + ` or ` + "`" + `OTEL_EXPORTER_OTLP_ENDPOINT` + "`" + ` the same goes
out over OTLP, cumulative or, if ` + "`" + `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` + "`" + ` says so, as deltas, under names with dots
and without the unit and ` + "`" + `_total` + "`" + ` (` + "`" + `sluice.request.duration` + "`" + `), with exponential
histograms, or explicit ones if ` + "`" + `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION` + "`" + ` asks for them. Go's runtime and the process
are shown to Prometheus too, as ` + "`" + `go_*` + "`" + ` and ` + "`" + `process_*` + "`" + `; over OTLP the
runtime has the names of the semantic conventions, ` + "`" + `go.memory.used` + "`" + ` and the like.

The resource of traces and metrics, ` + "`" + `target_info` + "`" + ` to Prometheus, has ` + "`" + `service.name` + "`" + ` sluice, ` + "`" + `service.version` + "`" + `, and ` + "`" + `service.instance.id` + "`" + `, which is
the name of the host and the folder of the state: no other gateway has it, and it stays over a restart. ` + "`" + `OTEL_RESOURCE_ATTRIBUTES` + "`" + ` may say otherwise. Prometheus
makes of them, where it takes metrics over OTLP, the labels job and instance, by which alerts and dashboard tell gateways apart.

How many series there are is bounded: APIs show once they were asked for, and error codes once they were
answered; the others are bounded by the configuration. A classic histogram is 24 series, of the gateway's and interceptors' own times 14:
up to 114 for each virtual cluster and API in use, and one for each of its errors. What a cluster has answered is one for each
API and error, and two for each API. ` + "`" + `sluice_failover_topics` + "`" + ` has ten for each home and other cluster, however many topics there are.

Topics, consumer groups and clients have series of their own only where ` + "`" + `telemetry: metrics: {topics: [...], groups: [...], clients: [...]}` + "`" + ` names
them, by default none. A topic: three, one for each partition, four for each partition and other cluster, and two for each other cluster. A group: two for
each topic that it has positions of, and one for each of these and other cluster. A client id: three. The first 1,000 topics, and as many clients, that
globs match count each; traffic of those that come later is that of "(others)".

Guests may keep metrics of their own: ` + "`" + `sluice_guest_counter_NAME_total` + "`" + `, ` + "`" + `sluice_guest_gauge_NAME` + "`" + ` and ` + "`" + `sluice_guest_histogram_NAME` + "`" + `, with the labels
virtual_cluster and guest, and those that the guest gives. ` + "`" + `limits: {series: ...}` + "`" + ` of its section bounds them; a histogram counts as 29, with buckets at the
powers of four from a millionth to a billion.

This table is made from the code; a test fails when they differ.

| metric | kind | labels | meaning |
|---|---|---|---|
`

// document writes the table of metrics.
func document() string {
	var b strings.Builder
	b.WriteString(head)
	row := func(name string, kind telemetry.Kind, labels []string, help string) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind, strings.Join(labels, ", "), help)
	}
	t := reflect.ValueOf(newMetricTable()).Elem()
	for i := range t.NumField() {
		f := t.Field(i)
		m := telemetry.Metric{Name: f.FieldByName("Name").String(), Kind: telemetry.Kind(f.FieldByName("Kind").String()), Unit: f.FieldByName("Unit").String(), Help: f.FieldByName("Help").String()}
		var labels []string
		for j := range f.FieldByName("Labels").Len() {
			labels = append(labels, f.FieldByName("Labels").Index(j).String())
		}
		row(m.PrometheusName(), m.Kind, labels, m.Help)
	}
	for _, spec := range plugins.Builtin() {
		for _, m := range spec.Metrics {
			var labels []string
			for _, l := range m.Labels {
				labels = append(labels, string(l))
			}
			row(m.PrometheusName(), m.Kind, labels, m.Help)
		}
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
