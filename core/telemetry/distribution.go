package telemetry

import (
	"math"
	"slices"
)

// Distribution counts values of any unit in classic buckets, whose upper bounds are powers of four
// from a millionth to a billion.
type Distribution struct {
	counts [len(distributionBounds) + 1]uint64 // the last is of what is above all bounds
	sum    float64
}

// distributionBounds are the upper bounds, included.
var distributionBounds = func() (out [26]float64) {
	for i := range out {
		out[i] = math.Ldexp(1, 2*(i-10))
	}
	return out
}()

// DistributionSeries is how many series a distribution is to Prometheus.
const DistributionSeries = len(distributionBounds) + 3

// Record counts a value.
func (d *Distribution) Record(v float64) {
	at, _ := slices.BinarySearch(distributionBounds[:], v)
	d.counts[at]++
	d.sum += v
}

// Count is how many values there were.
func (d *Distribution) Count() (n uint64) {
	for _, c := range d.counts {
		n += c
	}
	return n
}

// since is what has come since an earlier one.
func (d Distribution) since(earlier Distribution) Distribution {
	for i := range d.counts {
		d.counts[i] -= earlier.counts[i]
	}
	d.sum -= earlier.sum
	return d
}

// upTo are the counts up to each bound.
func (d *Distribution) upTo() map[float64]uint64 {
	out, n := map[float64]uint64{}, uint64(0)
	for i, bound := range distributionBounds {
		n += d.counts[i]
		out[bound] = n
	}
	return out
}
