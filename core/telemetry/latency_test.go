package telemetry

import (
	"math"
	"testing"
	"time"
)

// TestBucketsAreExponential: the bucket of each duration is the one that its logarithm says.
func TestBucketsAreExponential(t *testing.T) {
	check := func(ns int64) {
		t.Helper()
		want := 0
		if ns > 0 {
			// The index of Prometheus' schema 2: the bucket (2^((i-1)/4), 2^(i/4)] in seconds.
			want = int(math.Ceil(4*math.Log2(float64(ns)/1e9))) - finest*4
		}
		if got := bucket(time.Duration(ns)); got != min(max(want, 0), latencyBuckets-1) {
			t.Fatalf("%d ns is in bucket %d, not %d", ns, got, want)
		}
	}
	for ns := range int64(1 << 20) {
		check(ns - 10)
	}
	for i := range edges {
		for d := int64(-2); d <= 2; d++ {
			if f := 4 * math.Log2(float64(edges[i]+d)/1e9); math.Abs(f-math.Round(f)) > 1e-9 || i%4 != 0 {
				check(edges[i] + d)
			}
		}
	}
	for shift := range 63 {
		check(1 << shift)
		check(1<<shift | 1<<shift>>1)
		check(math.MaxInt64 >> shift)
	}
	if i := bucket(-time.Second); i != 0 {
		t.Errorf("a clock that went back is in bucket %d", i)
	}
	if bucket(time.Second) != bucket(time.Second-1) || bucket(time.Second) == bucket(time.Second+1) {
		t.Error("a second does not end a bucket")
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
		if got := now.Quantile(q); got < want || float64(got) > 1.19*float64(want) {
			t.Errorf("quantile %v is %s, want %s", q, got, want)
		}
	}
	if total := now.Add(before).Count(); total != 1100 {
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
