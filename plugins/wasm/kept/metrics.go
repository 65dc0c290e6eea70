package kept

import (
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Metrics are the series of a guest, over its instances and versions.
type Metrics struct {
	mu     sync.Mutex
	byName map[string]int32
	series []Series
	cost   int // how many series they are to Prometheus
}

// Series is one series of a metric.
type Series struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Kind   string            `json:"kind"` // counter, gauge or histogram
	// Value is the sum of a counter or histogram, or the value of a gauge; Count is how often it
	// was added to.
	Value float64 `json:"value"`
	Count int64   `json:"count"`

	distribution *telemetry.Distribution // of a histogram
}

// NewMetrics returns no series.
func NewMetrics() *Metrics { return &Metrics{byName: map[string]int32{}} }

// Labels that the gateway, or Prometheus, gives a series.
var givenLabels = []string{"virtual_cluster", "guest", "le", "quantile"}

// takenSuffix reports a name that ends as those do that Prometheus makes of a histogram's or
// counter's.
func takenSuffix(name string) bool {
	return slices.ContainsFunc([]string{"_bucket", "_sum", "_count", "_created"}, func(s string) bool { return strings.HasSuffix(name, s) })
}

var metricName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// Define numbers a series, the same one the same way, or returns an error number.
func (m *Metrics) Define(kind int32, b []byte, limit int) int32 {
	kinds := map[int32]string{abi.MetricCounter: "counter", abi.MetricGauge: "gauge", abi.MetricHistogram: "histogram"}
	var s Series
	if json.Unmarshal(b, &s) != nil || !metricName.MatchString(s.Name) || kinds[kind] == "" || takenSuffix(s.Name) {
		return abi.ErrArgument
	}
	s.Kind, s.Value, s.Count = kinds[kind], 0, 0
	if s.Kind == "counter" {
		s.Name = strings.TrimSuffix(s.Name, "_total") + "_total"
	}
	id := s.Kind + "\x00" + s.Name
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		if !metricName.MatchString(k) || strings.HasPrefix(k, "__") || slices.Contains(givenLabels, k) {
			return abi.ErrArgument
		}
		id += "\x00" + k + "\x00" + s.Labels[k]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.byName[id]; ok {
		return n
	}
	cost := 1
	if kind == abi.MetricHistogram {
		s.distribution = &telemetry.Distribution{}
		cost = telemetry.DistributionSeries
	}
	if m.cost+cost > limit {
		return abi.ErrTooLarge
	}
	m.cost += cost
	n := int32(len(m.series))
	m.series = append(m.series, s)
	m.byName[id] = n
	return n
}

// Add adds to a series, or sets it if it is a gauge.
func (m *Metrics) Add(id int32, v float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id < 0 || int(id) >= len(m.series) || math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	s := &m.series[id]
	s.Count++
	switch {
	case s.Kind == "gauge":
		s.Value = v
	case s.Kind == "counter" && v < 0:
		s.Count--
	default:
		s.Value += v
		if s.distribution != nil {
			s.distribution.Record(v)
		}
	}
}

// All lists the series by name.
func (m *Metrics) All() []Series {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.series)
	slices.SortStableFunc(out, func(a, b Series) int { return strings.Compare(a.Name, b.Name) })
	return out
}
