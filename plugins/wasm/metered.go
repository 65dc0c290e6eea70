package wasm

import (
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// byGuest is the label of what a guest costs and keeps.
const byGuest = attribute.Key("guest")

// metered is a metric of guests, and what it says of one.
type metered struct {
	*telemetry.Metric
	value func(m measures) float64
}

func guestMetric(kind telemetry.Kind, name, unit, help string, value func(m measures) float64) metered {
	return metered{plugin.Metric(kind, "guest."+name, unit, help, byGuest), value}
}

// guestMetrics are what guests cost.
var guestMetrics = []metered{
	guestMetric(telemetry.Counter, "calls", "", "Calls of a WASM guest.", func(m measures) float64 { return float64(m.calls) }),
	guestMetric(telemetry.Counter, "failures", "", "Calls that failed in the guest: a limit, a panic, a wrong answer.", func(m measures) float64 { return float64(m.failures) }),
	guestMetric(telemetry.Counter, "replaced.instances", "", "Instances that were thrown away after a failure.", func(m measures) float64 { return float64(m.replaced) }),
	guestMetric(telemetry.Counter, "busy", "s", "Time in calls, the wait for an instance included.", func(m measures) float64 { return m.busy.Seconds() }),
	guestMetric(telemetry.Gauge, "left_alone", "", "With how many clients' partitions and APIs a guest is not called, since it has failed with them too often.", func(m measures) float64 { return float64(m.leftAlone) }),
	guestMetric(telemetry.Counter, "left_alone.begun", "", "How often a guest was left alone with a client's partition or API, after five failures in 10 s.", func(m measures) float64 { return float64(m.opened) }),
	guestMetric(telemetry.Counter, "left_alone.ended", "", "How often that has ended, when a trial worked.", func(m measures) float64 { return float64(m.closed) }),
	guestMetric(telemetry.Counter, "swaps", "", "Versions and settings of a guest that others took the place of; counted when their last call has returned.", func(m measures) float64 { return float64(m.swaps) }),
	guestMetric(telemetry.Counter, "failed_swaps", "", "Versions and settings of a guest that were refused; those in force stayed.", func(m measures) float64 { return float64(m.failedSwaps) }),
	guestMetric(telemetry.Gauge, "instance.memory", "By", "Memory of the largest instance.", func(m measures) float64 { return float64(m.instanceBytes) }),
	guestMetric(telemetry.Gauge, "instances", "", "Instances of a guest.", func(m measures) float64 { return float64(m.instances) }),
	guestMetric(telemetry.Counter, "dropped.log_lines", "", "Lines of the log beyond the limit.", func(m measures) float64 { return float64(m.droppedLines) }),
}

// specMetrics are guestMetrics for a Spec.
func specMetrics() (out []*telemetry.Metric) {
	for _, m := range guestMetrics {
		out = append(out, m.Metric)
	}
	return out
}

// Samples are what the guest has cost, and the series that it keeps.
func (w *Wasm) Samples() (out []telemetry.Sample) {
	g := w.guest()
	m := w.use.tally.measure(g)
	for _, x := range guestMetrics {
		out = append(out, telemetry.Sample{Metric: x.Metric, Values: []string{g.Name}, Value: x.value(m)})
	}
	return append(out, g.metrics.samples(g.Name)...)
}

// keptKinds are in the names of metrics that guests keep: a scrape in which two of them made a name
// a counter and a gauge would be refused as a whole.
var keptKinds = map[telemetry.Kind]string{telemetry.Counter: "counter", telemetry.Gauge: "gauge", telemetry.Values: "histogram"}

// samples are the series that a guest keeps.
func (m *Metrics) samples(guest string) (out []telemetry.Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.series {
		s := &m.series[i]
		kind, x := telemetry.Counter, telemetry.Sample{Values: []string{guest}, Value: s.Value}
		switch {
		case s.distribution != nil:
			kind, x.Value, x.Distribution = telemetry.Values, 0, *s.distribution
		case s.Kind == "gauge":
			kind = telemetry.Gauge
		}
		name := s.Name
		if kind == telemetry.Counter {
			name = strings.TrimSuffix(name, "_total") // which Prometheus adds
		}
		x.Metric = plugin.Metric(kind, "guest."+keptKinds[kind]+"."+name, "", "What guests keep under this name.", byGuest)
		for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
			x.Labels = append(x.Labels, attribute.String(k, s.Labels[k]))
		}
		out = append(out, x)
	}
	return out
}
