package kept

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestStoreLimits: values end, and what has ended makes room.
func TestStoreLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStore(350)
		k := func(i int) []byte { return fmt.Appendf(nil, "key-%d", i) }
		for i := range 4 {
			if code := s.Set(k(i), make([]byte, 30), 1000); (code < 0) != (i == 3) {
				t.Errorf("key %d: %d", i, code)
			}
		}
		if code := s.Set(k(0), make([]byte, 400), 0); code != abi.ErrTooLarge {
			t.Errorf("too large: %d", code)
		}
		time.Sleep(2 * time.Second)
		if _, ok := s.Get(k(1)); ok {
			t.Error("a value has not ended")
		}
		if code := s.Set(k(5), make([]byte, 200), 0); code != 0 {
			t.Errorf("what has ended takes room: %d", code)
		}
		if n := s.Add(k(6), 5, 1000); n != 5 {
			t.Errorf("sum %d", n)
		}
		time.Sleep(500 * time.Millisecond)
		if n := s.Add(k(6), 5, 1000); n != 10 {
			t.Errorf("sum %d", n)
		}
		time.Sleep(600 * time.Millisecond) // it began 1.1 s ago
		if n := s.Add(k(6), 1, 1000); n != 1 {
			t.Errorf("sum %d: the second Add gave it more time", n)
		}
		if n := s.Add(k(6), -2, 0); n != abi.ErrArgument {
			t.Errorf("below 0: %d", n)
		}
		if n := s.Add(k(5), 1, 0); n != abi.ErrArgument {
			t.Errorf("of a value that is no number: %d", n)
		}
	})
}

// TestSeries are bounded, and named as metrics are.
func TestSeries(t *testing.T) {
	m := NewMetrics()
	for _, c := range []struct {
		kind   int32
		series string
		want   int32
	}{
		{abi.MetricCounter, `{"name":"a_total"}`, 0}, {abi.MetricCounter, `{"name":"a_total","labels":{"x":"1"}}`, 1}, {abi.MetricCounter, `{"name":"a_total"}`, 0},
		{abi.MetricGauge, `{"name":"g"}`, abi.ErrTooLarge}, {abi.MetricCounter, `{"name":"a"}`, 0}, {abi.MetricHistogram, `{"name":"a_count"}`, abi.ErrArgument}, {abi.MetricGauge, `{"name":"g","labels":{"guest":"x"}}`, abi.ErrArgument},
		{abi.MetricGauge, `{"name":"g","labels":{"le":"x"}}`, abi.ErrArgument}, {abi.MetricGauge, `{"name":"g","labels":{"__name__":"x"}}`, abi.ErrArgument}, {abi.MetricGauge, `{"name":"bad name"}`, abi.ErrArgument}, {7, `{"name":"a"}`, abi.ErrArgument}, {0, `nothing`, abi.ErrArgument},
	} {
		if got := m.Define(c.kind, []byte(c.series), 2); got != c.want {
			t.Errorf("%s: %d, want %d", c.series, got, c.want)
		}
	}
	m.Add(0, 2)
	m.Add(0, -1)
	m.Add(9, 1)
	if all := m.All(); all[0].Value != 2 || all[0].Count != 1 {
		t.Errorf("%+v", all)
	}
	if got := NewMetrics().Define(abi.MetricHistogram, []byte(`{"name":"h"}`), telemetry.DistributionSeries-1); got != abi.ErrTooLarge {
		t.Errorf("the buckets of a histogram are not counted: %d", got)
	}
	h := NewMetrics()
	h.Add(h.Define(abi.MetricHistogram, []byte(`{"name":"h","labels":{"b":"2","a":"1"}}`), 100), 5)
	h.Add(h.Define(abi.MetricGauge, []byte(`{"name":"g"}`), 100), -1)
	own := h.Samples("guest")
	d := own[0].Distribution
	about := fact.Of(t, "%+v", own)
	if fact.Equal(about, "len(own)", len(own), 2) {
		fact.Equal(about, "own[0].Metric.Kind", own[0].Metric.Kind, telemetry.Values)
		fact.Equal(about, "d.Count()", d.Count(), 1)
		fact.List(about, "own[0].Labels", own[0].Labels, []attribute.KeyValue{attribute.String("a", "1"), attribute.String("b", "2")})
	}
	if own[1].Metric.Kind != telemetry.Gauge || own[1].Value != -1 {
		t.Errorf("%+v", own[1])
	}
}
