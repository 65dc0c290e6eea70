package wasm

import (
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/plugins/wasm/kept"
	"github.com/sluice-gateway/sluice/plugins/wasm/share"
)

// metered is a metric of guests, and what it says of one.
type metered struct {
	*telemetry.Metric
	value func(m share.Measures) float64
}

func guestMetric(kind telemetry.Kind, name, unit, help string, value func(m share.Measures) float64) metered {
	return metered{plugin.Metric(kind, "guest."+name, unit, help, kept.ByGuest), value}
}

// guestMetrics are what guests cost.
var guestMetrics = []metered{
	guestMetric(telemetry.Counter, "calls", "", "Calls of a WASM guest.", func(m share.Measures) float64 { return float64(m.Calls) }),
	guestMetric(telemetry.Counter, "failures", "", "Calls that failed in the guest: a limit, a panic, a wrong answer.", func(m share.Measures) float64 { return float64(m.Failures) }),
	guestMetric(telemetry.Counter, "replaced.instances", "", "Instances that were thrown away after a failure.", func(m share.Measures) float64 { return float64(m.Replaced) }),
	guestMetric(telemetry.Counter, "busy", "s", "Time in calls, the wait for an instance included.", func(m share.Measures) float64 { return m.Busy.Seconds() }),
	guestMetric(telemetry.Gauge, "left_alone", "", "With how many clients' partitions and APIs a guest is not called, since it has failed with them too often.", func(m share.Measures) float64 { return float64(m.LeftAlone) }),
	guestMetric(telemetry.Counter, "left_alone.begun", "", "How often a guest was left alone with a client's partition or API, after five failures in 10 s.", func(m share.Measures) float64 { return float64(m.Opened) }),
	guestMetric(telemetry.Counter, "left_alone.ended", "", "How often that has ended, when a trial worked.", func(m share.Measures) float64 { return float64(m.Closed) }),
	guestMetric(telemetry.Counter, "swaps", "", "Versions and settings of a guest that others took the place of; counted when their last call has returned.", func(m share.Measures) float64 { return float64(m.Swaps) }),
	guestMetric(telemetry.Counter, "failed_swaps", "", "Versions and settings of a guest that were refused; those in force stayed.", func(m share.Measures) float64 { return float64(m.FailedSwaps) }),
	guestMetric(telemetry.Gauge, "instance.memory", "By", "Memory of the largest instance.", func(m share.Measures) float64 { return float64(m.InstanceBytes) }),
	guestMetric(telemetry.Gauge, "instances", "", "Instances of a guest.", func(m share.Measures) float64 { return float64(m.Instances) }),
	guestMetric(telemetry.Counter, "dropped.log_lines", "", "Lines of the log beyond the limit.", func(m share.Measures) float64 { return float64(m.DroppedLines) }),
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
	g := w.Guest()
	m := w.Measures()
	for _, x := range guestMetrics {
		out = append(out, telemetry.Sample{Metric: x.Metric, Values: []string{g.Name}, Value: x.value(m)})
	}
	return append(out, g.Metrics.Samples(g.Name)...)
}
