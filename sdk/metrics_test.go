package sdk

import "testing"

// TestASeriesIsKnownByWhatItIs: one that is made for every call is defined once, and costs no
// memory for each.
func TestASeriesIsKnownByWhatItIs(t *testing.T) {
	m := NewMemory()
	g := NewGateway(m)
	for range 100 {
		NewCounter("seen_total", map[string]string{"topic": "orders"}).Add(g, 1)
		NewGauge("seen_total", map[string]string{"topic": "orders"}).Add(g, 1)
	}
	if len(g.series) != 2 || len(m.series) != 2 {
		t.Errorf("%d numbers, %d definitions, want 2 and 2", len(g.series), len(m.series))
	}
	if n := m.Metric(`{"name":"seen_total","labels":{"topic":"orders"}}`); n != 200 {
		t.Errorf("counted %v", n)
	}
}
