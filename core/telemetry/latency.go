package telemetry

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// The buckets of a Latency are those of a base-2 exponential histogram: scale 2 of OpenTelemetry,
// schema 2 of Prometheus. Four to each doubling, they reach from 2^finest to 2^coarsest seconds, 60
// ns to 8.5 minutes; what is shorter is in the first, what is longer in the last.
const (
	scale          = 2
	finest         = -24
	coarsest       = 9
	latencyBuckets = (coarsest-finest)<<scale + 1
)

// edges are the upper bounds of the buckets, included in them, rounded down to nanoseconds.
var edges = func() (out [latencyBuckets]int64) {
	for i := range out {
		out[i] = int64(math.Exp2(finest+float64(i)/(1<<scale)) * float64(time.Second))
	}
	return out
}()

// cells finds a bucket by the position of a duration's highest bit and the three bits below it: a
// cell is narrower than a bucket, so that it holds the edge of one at most.
var cells = func() (out [512]uint8) {
	for i := range out {
		zeros, eighth := i>>3, uint64(i&7)
		lowest := (8 | eighth) << 60 >> zeros
		at, _ := slices.BinarySearch(edges[:], int64(min(lowest, math.MaxInt64)))
		out[i] = uint8(min(at, latencyBuckets-1))
	}
	return out
}()

// Latency counts durations in buckets that grow with them, so that a quantile is off by a fifth at
// most. Counting is two atomic additions.
type Latency struct {
	buckets [latencyBuckets]atomic.Int64
	sum     atomic.Int64
}

// Record counts a duration.
func (l *Latency) Record(d time.Duration) { l.RecordTimes(d, 1) }

// RecordTimes counts a duration n times: for a sample of one in n.
func (l *Latency) RecordTimes(d time.Duration, n int64) {
	l.buckets[bucket(d)].Add(n)
	l.sum.Add(int64(d) * n)
}

// Sum is all durations together.
func (l *Latency) Sum() time.Duration { return time.Duration(l.sum.Load()) }

func bucket(d time.Duration) int {
	ns := uint64(max(d, 1))
	zeros := bits.LeadingZeros64(ns)
	i := int(cells[(zeros<<3|int(ns<<zeros>>60&7))&511])
	if int64(ns) > edges[i] && i < latencyBuckets-1 {
		i++
	}
	return i
}

// Histogram is what a Latency has counted.
func (l *Latency) Histogram() Histogram {
	out := Histogram{}
	for i := range l.buckets {
		if n := l.buckets[i].Load(); n > 0 {
			out = append(out, Bucket{time.Duration(edges[i]), n})
		}
	}
	return out
}

// Reading is a Latency at a moment.
type Reading struct {
	Histogram Histogram
	Sum       time.Duration
}

// Read is what a Latency has counted, and all of it together.
func (l *Latency) Read() Reading { return Reading{l.Histogram(), l.Sum()} }

// Histogram is the buckets that are not empty, by ascending duration.
type Histogram []Bucket

// Bucket counts durations above the bound before up to UpTo.
type Bucket struct {
	UpTo  time.Duration `json:"up_to_ns"`
	Count int64         `json:"count"`
}

// Since is what has been counted since an earlier histogram of the same Latency.
func (h Histogram) Since(earlier Histogram) Histogram {
	out := Histogram{}
	for _, b := range h {
		if i := slices.IndexFunc(earlier, func(e Bucket) bool { return e.UpTo == b.UpTo }); i >= 0 {
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
		i, ok := slices.BinarySearchFunc(out, b, func(x, y Bucket) int { return int(x.UpTo - y.UpTo) })
		if ok {
			out[i].Count += b.Count
		} else {
			out = slices.Insert(out, i, b)
		}
	}
	return out
}

// Quantile is the duration that a share q of all durations does not exceed; 0 for an empty
// histogram.
func (h Histogram) Quantile(q float64) time.Duration {
	total, seen := h.Count(), int64(0)
	for _, b := range h {
		if seen += b.Count; float64(seen) >= q*float64(total) {
			return b.UpTo
		}
	}
	return 0
}

// Count is the number of durations.
func (h Histogram) Count() (n int64) {
	for _, b := range h {
		n += b.Count
	}
	return n
}
