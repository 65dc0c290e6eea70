package telemetry

import (
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// latencyBuckets reach up to 67 s, four to each doubling; what takes longer is in the last one.
const latencyBuckets = 100

// Latency counts durations in buckets that grow with them, so that a quantile is off by a fifth at most.
// Counting is two atomic additions.
type Latency struct {
	buckets [latencyBuckets]atomic.Int64
	sum     atomic.Int64
}

// Record counts a duration.
func (l *Latency) Record(d time.Duration) {
	l.buckets[bucket(d)].Add(1)
	l.sum.Add(int64(d))
}

// Sum is all durations together.
func (l *Latency) Sum() time.Duration { return time.Duration(l.sum.Load()) }

func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 4 {
		return int(us)
	}
	e := bits.Len64(us) - 1
	return min((e-1)*4+int(us>>(e-2)&3), latencyBuckets-1)
}

// bound is the duration below which a bucket's durations are, in microseconds.
func bound(i int) int64 {
	if i < 4 {
		return int64(i) + 1
	}
	return int64(5+i%4) << (i/4 - 1)
}

// Histogram is what a Latency has counted.
func (l *Latency) Histogram() Histogram {
	out := Histogram{}
	for i := range l.buckets {
		if n := l.buckets[i].Load(); n > 0 {
			out = append(out, Bucket{bound(i), n})
		}
	}
	return out
}

// Histogram is the buckets that are not empty, by ascending duration.
type Histogram []Bucket

// Bucket counts durations from the bound before up to Below.
type Bucket struct {
	Below int64 `json:"below_us"` // microseconds
	Count int64 `json:"count"`
}

// Since is what has been counted since an earlier histogram of the same Latency.
func (h Histogram) Since(earlier Histogram) Histogram {
	out := Histogram{}
	for _, b := range h {
		if i := slices.IndexFunc(earlier, func(e Bucket) bool { return e.Below == b.Below }); i >= 0 {
			b.Count -= earlier[i].Count
		}
		if b.Count > 0 {
			out = append(out, b)
		}
	}
	return out
}

// Add is the sum of two histograms.
func (h Histogram) Add(other Histogram) Histogram {
	out := slices.Clone(h)
	for _, b := range other {
		i, ok := slices.BinarySearchFunc(out, b, func(x, y Bucket) int { return int(x.Below - y.Below) })
		if ok {
			out[i].Count += b.Count
		} else {
			out = slices.Insert(out, i, b)
		}
	}
	return out
}

// Quantile is the duration that a share q of all durations does not exceed; 0 for an empty histogram.
func (h Histogram) Quantile(q float64) time.Duration {
	var total, seen int64
	for _, b := range h {
		total += b.Count
	}
	for _, b := range h {
		if seen += b.Count; float64(seen) >= q*float64(total) {
			return time.Duration(b.Below) * time.Microsecond
		}
	}
	return 0
}
