package wasm

import (
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Metrics are the series of a guest, over its instances and versions.
type Metrics struct {
	mu     sync.Mutex
	byName map[string]int32
	series []Series
}

// Series is one series of a metric.
type Series struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Kind   string            `json:"kind"` // counter, gauge or histogram
	// Value is the sum of a counter or histogram, or the value of a gauge; Count is how often it was added to.
	Value float64 `json:"value"`
	Count int64   `json:"count"`
}

// NewMetrics returns no series.
func NewMetrics() *Metrics { return &Metrics{byName: map[string]int32{}} }

var metricName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// define numbers a series, the same one the same way, or returns an error number.
func (m *Metrics) define(kind int32, b []byte, limit int) int32 {
	kinds := map[int32]string{abi.MetricCounter: "counter", abi.MetricGauge: "gauge", abi.MetricHistogram: "histogram"}
	var s Series
	if json.Unmarshal(b, &s) != nil || !metricName.MatchString(s.Name) || kinds[kind] == "" {
		return abi.ErrArgument
	}
	s.Kind, s.Value, s.Count = kinds[kind], 0, 0
	id := s.Kind + "\x00" + s.Name
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		if !metricName.MatchString(k) {
			return abi.ErrArgument
		}
		id += "\x00" + k + "\x00" + s.Labels[k]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.byName[id]; ok {
		return n
	}
	if len(m.series) >= limit {
		return abi.ErrTooLarge
	}
	n := int32(len(m.series))
	m.series = append(m.series, s)
	m.byName[id] = n
	return n
}

func (m *Metrics) add(id int32, v float64) {
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
