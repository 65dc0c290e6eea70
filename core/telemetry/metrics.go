package telemetry

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
)

// Kind is what a metric's values mean.
type Kind string

// The kinds of metrics.
const (
	Counter   Kind = "counter"   // only grows
	Gauge     Kind = "gauge"     // what is now
	UpDown    Kind = "updown"    // what is now, and may be added up
	Durations Kind = "histogram" // a Latency
	Values    Kind = "values"    // a Distribution
)

// Metric describes something that is measured. Its name in Prometheus has underscores, the unit
// and, for a counter, _total.
type Metric struct {
	Name   string
	Kind   Kind
	Unit   string // UCUM: s, By, {request}
	Help   string
	Labels []attribute.Key
	// Fine durations have classic buckets from a microsecond on, in steps of four; others from 61
	// us to 64 s, each the double of the one before.
	Fine bool
}

// ByVirtualCluster is the label of what a virtual cluster does.
const ByVirtualCluster = attribute.Key("virtual_cluster")

// PrometheusName is the name that scrapes show.
func (m *Metric) PrometheusName() string {
	name := strings.ReplaceAll(m.Name, ".", "_")
	if unit := map[string]string{"s": "_seconds", "By": "_bytes"}[m.Unit]; unit != "" {
		name += unit
	}
	if m.Kind == Counter {
		name += "_total"
	}
	return name
}

// Sample is a value of a metric.
type Sample struct {
	Metric *Metric
	Values []string // of Metric.Labels, in their order
	// Labels are others that this one has.
	Labels []attribute.KeyValue
	Value  float64
	// Latency is the value of Durations.
	Latency Histogram
	Sum     time.Duration
	// Distribution is the value of Values.
	Distribution Distribution
}

// Collect reads everything that is counted. It costs nothing but when it is asked.
type Collect func() []Sample

// families divides samples by the names of their metrics, in the order of their first ones. Values
// that no label can hold, as a broker may name a topic, are left out: a scrape or an export would
// fail as a whole.
func families(samples []Sample) [][]Sample {
	var out [][]Sample
	at := map[string]int{}
	for _, s := range samples {
		if slices.ContainsFunc(s.Values, func(v string) bool { return !utf8.ValidString(v) }) {
			continue
		}
		i, ok := at[s.Metric.Name]
		if !ok {
			i = len(out)
			at[s.Metric.Name] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], s)
	}
	return out
}

// The exponents of 2 s of the classic buckets: edges of a Latency's own buckets.
const (
	coarseFrom, coarseTo, coarseStep = -14, 6, 1
	fineFrom, fineTo, fineStep       = -20, 0, 2
)

// classic is a histogram in classic buckets: the upper bounds in seconds, the counts up to each,
// and that of all.
func (m *Metric) classic(h Histogram) (bounds []float64, upTo []uint64, count uint64) {
	from, to, step := coarseFrom, coarseTo, coarseStep
	if m.Fine {
		from, to, step = fineFrom, fineTo, fineStep
	}
	for e := from; e <= to; e += step {
		edge := (e - finest) << scale
		for len(h) > 0 && int64(h[0].UpTo) <= edges[edge] {
			count += uint64(h[0].Count)
			h = h[1:]
		}
		bounds = append(bounds, pow2(e))
		upTo = append(upTo, count)
	}
	return bounds, upTo, count + uint64(h.Count())
}

func pow2(e int) float64 {
	if e < 0 {
		return 1 / float64(int64(1)<<-e)
	}
	return float64(int64(1) << e)
}

// exponential is a histogram as the counts of consecutive buckets of an exponential one; the first
// ends at 2^(first/4) seconds. It has no counts if it is empty.
func exponential(h Histogram) (first int, counts []uint64) {
	if len(h) == 0 {
		return 0, nil
	}
	low := bucket(h[0].UpTo)
	counts = make([]uint64, bucket(h[len(h)-1].UpTo)-low+1)
	for _, b := range h {
		counts[bucket(b.UpTo)-low] += uint64(b.Count)
	}
	return low + finest<<scale, counts
}
