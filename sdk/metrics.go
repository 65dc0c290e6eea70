package sdk

import "github.com/sluice-gateway/sluice/sdk/abi"

// Metric is a series. It is defined when it is first used.
type Metric struct {
	kind   int32
	series string // JSON
}

func newMetric(kind int32, name string, labels map[string]string) *Metric {
	return &Metric{kind: kind, series: string(object{}.text("name", name).pairs("labels", labels).closed())}
}

// NewCounter is a counter; Add counts.
func NewCounter(name string, labels map[string]string) *Metric {
	return newMetric(abi.MetricCounter, name, labels)
}

// NewGauge is a gauge; Add sets it.
func NewGauge(name string, labels map[string]string) *Metric {
	return newMetric(abi.MetricGauge, name, labels)
}

// NewHistogram is a histogram; Add records a value.
func NewHistogram(name string, labels map[string]string) *Metric {
	return newMetric(abi.MetricHistogram, name, labels)
}

// Add counts, sets or records. Past the gateway's limit of series it does nothing.
func (m *Metric) Add(g *Gateway, value float64) {
	id, ok := g.series[*m]
	if !ok {
		if id = g.host.MetricDefine(m.kind, []byte(m.series)); id < 0 {
			return
		}
		g.series[*m] = id
	}
	g.host.MetricAdd(id, value)
}
