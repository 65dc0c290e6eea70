package telemetry

import (
	"math"
	"runtime/metrics"

	"go.opentelemetry.io/otel/attribute"
)

// goMetric is a metric of Go's runtime by the semantic conventions, and what it is there: the first
// less the others.
type goMetric struct {
	*Metric
	values []string
	from   []string
}

// goMetrics are for OTLP; Prometheus has its own collector.
func goMetrics() []goMetric {
	const released, stacks = "/memory/classes/heap/released:bytes", "/memory/classes/heap/stacks:bytes"
	used := &Metric{Name: "go.memory.used", Kind: UpDown, Unit: "By", Help: "Memory used by the Go runtime.", Labels: []attribute.Key{"go.memory.type"}}
	return []goMetric{
		{used, []string{"stack"}, []string{stacks}},
		{used, []string{"other"}, []string{"/memory/classes/total:bytes", released, stacks}},
		{&Metric{Name: "go.memory.limit", Kind: UpDown, Unit: "By", Help: "Go runtime memory limit configured by the user, if a limit exists."}, nil, []string{"/gc/gomemlimit:bytes"}},
		{&Metric{Name: "go.memory.allocated", Kind: Counter, Unit: "By", Help: "Memory allocated to the heap by the application."}, nil, []string{"/gc/heap/allocs:bytes"}},
		{&Metric{Name: "go.memory.allocations", Kind: Counter, Unit: "{allocation}", Help: "Count of allocations to the heap by the application."}, nil, []string{"/gc/heap/allocs:objects"}},
		{&Metric{Name: "go.memory.gc.goal", Kind: UpDown, Unit: "By", Help: "Heap size target for the end of the GC cycle."}, nil, []string{"/gc/heap/goal:bytes"}},
		{&Metric{Name: "go.goroutine.count", Kind: UpDown, Unit: "{goroutine}", Help: "Count of live goroutines."}, nil, []string{"/sched/goroutines:goroutines"}},
		{&Metric{Name: "go.processor.limit", Kind: UpDown, Unit: "{thread}", Help: "The number of OS threads that can execute user-level Go code simultaneously."}, nil, []string{"/sched/gomaxprocs:threads"}},
		{&Metric{Name: "go.config.gogc", Kind: UpDown, Unit: "%", Help: "Heap size target percentage configured by the user, otherwise 100."}, nil, []string{"/gc/gogc:percent"}},
	}
}

// goSamples reads them. A limit that is none is left out.
func goSamples(all []goMetric) (out []Sample) {
	var read []metrics.Sample
	for _, m := range all {
		for _, name := range m.from {
			read = append(read, metrics.Sample{Name: name})
		}
	}
	metrics.Read(read)
	for _, m := range all {
		v := read[0].Value.Uint64()
		for _, less := range read[1:len(m.from)] {
			v -= less.Value.Uint64()
		}
		if read = read[len(m.from):]; v < math.MaxInt64 {
			out = append(out, Sample{Metric: m.Metric, Values: m.values, Value: float64(v)})
		}
	}
	return out
}
