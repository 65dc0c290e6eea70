package kept

import (
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// ByGuest is the label of what a guest costs and keeps.
const ByGuest = attribute.Key("guest")

// keptKinds are in the names of metrics that guests keep: a scrape in which two of them made a name
// a counter and a gauge would be refused as a whole.
var keptKinds = map[telemetry.Kind]string{telemetry.Counter: "counter", telemetry.Gauge: "gauge", telemetry.Values: "histogram"}

// Samples are the series that a guest keeps.
func (m *Metrics) Samples(guest string) (out []telemetry.Sample) {
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
		x.Metric = plugin.Metric(kind, "guest."+keptKinds[kind]+"."+name, "", "What guests keep under this name.", ByGuest)
		for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
			x.Labels = append(x.Labels, attribute.String(k, s.Labels[k]))
		}
		out = append(out, x)
	}
	return out
}
