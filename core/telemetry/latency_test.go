package telemetry

import (
	"testing"
	"time"
)

// TestBucketsMeet: each begins where the one before ends.
func TestBucketsMeet(t *testing.T) {
	for us := range int64(1 << 20) {
		i := bucket(time.Duration(us) * time.Microsecond)
		if us >= bound(i) || i > 0 && us < bound(i-1) {
			t.Fatalf("%d us is in bucket %d, which goes from %d to %d", us, i, bound(i-1), bound(i))
		}
	}
	if i := bucket(time.Hour); i != latencyBuckets-1 {
		t.Errorf("an hour is in bucket %d", i)
	}
	if i := bucket(-time.Second); i != 0 {
		t.Errorf("a clock that went back is in bucket %d", i)
	}
}

func TestQuantilesByDifference(t *testing.T) {
	var l Latency
	if q := l.Histogram().Quantile(0.5); q != 0 {
		t.Errorf("nothing has a median of %s", q)
	}
	for range 1000 {
		l.Record(10 * time.Millisecond)
	}
	before := l.Histogram()
	for i := range 100 {
		l.Record(time.Duration(i+1) * time.Millisecond)
	}
	now := l.Histogram().Since(before)
	for q, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond} {
		if got := now.Quantile(q); got < want || float64(got) > 1.26*float64(want) {
			t.Errorf("quantile %v is %s, want %s", q, got, want)
		}
	}
	var total int64
	for _, b := range now.Add(before) {
		total += b.Count
	}
	if total != 1100 {
		t.Errorf("%d in all", total)
	}
}

func BenchmarkLatency(b *testing.B) {
	var l Latency
	b.ReportAllocs()
	for b.Loop() {
		l.Record(300 * time.Microsecond)
	}
}
