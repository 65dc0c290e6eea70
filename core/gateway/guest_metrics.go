package gateway

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// ownKinds are in the names of metrics that guests keep: a scrape in which two of them made a name
// a counter and a gauge would be refused as a whole.
var ownKinds = map[telemetry.Kind]string{telemetry.Counter: "counter", telemetry.Gauge: "gauge", telemetry.Values: "histogram"}

// own adds the series that a guest keeps.
func (c *collector) own(vc, guest string, all []plugin.Series) {
	if c.ownMetrics == nil {
		c.ownMetrics = map[string]*telemetry.Metric{}
	}
	for _, s := range all {
		name := s.Name
		if s.Kind == telemetry.Counter {
			name = strings.TrimSuffix(name, "_total") // which Prometheus adds
		}
		name = "sluice.guest." + ownKinds[s.Kind] + "." + name
		m := c.ownMetrics[name]
		if m == nil {
			m = &telemetry.Metric{Name: name, Kind: s.Kind, Help: "What guests keep under this name.", Labels: []attribute.Key{byVirtualCluster, byGuest}}
			c.ownMetrics[name] = m
		}
		c.out = append(c.out, telemetry.Sample{Metric: m, Values: []string{vc, guest}, Labels: s.Labels, Value: s.Value, Distribution: s.Distribution})
	}
}
