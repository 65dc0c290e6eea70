package offsets

import (
	"math"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// spans reports that records of a home have to be written anew to become those of the virtual log.
func spans(part *catalog.Partition, records []byte) bool {
	if part.Distance.Len() == 1 {
		return false
	}
	for _, b := range kafka.Batches(records) {
		if !part.Distance.Within(b.BaseOffset(), b.LastOffset()) {
			return true
		}
	}
	return false
}

// virtualBatches makes records of a home those of the virtual log. Batches within a run are changed
// where they stand. One that spans a place where the distance changes is written anew, without the
// records that clients are not shown. An error is of a batch that can't be decoded; what stands in
// front of it is returned.
func virtualBatches(within kafka.Bounds, part *catalog.Partition, records []byte) ([]byte, error) {
	var out []byte // once something is written anew
	kept := true
	for at, b := range kafka.Batches(records) {
		if part.Distance.Within(b.BaseOffset(), b.LastOffset()) {
			toVirtual(part, b, part.ToVirtual(b.BaseOffset()))
			if !kept {
				out = append(out, b...)
			}
			continue
		}
		if kept {
			kept, out = false, append(make([]byte, 0, len(records)), records[:at]...)
		}
		var err error
		if out, err = place(within, part, b, out); err != nil {
			return out, err
		}
	}
	if kept {
		return records, nil
	}
	return out, nil
}

// toVirtual puts a batch at a virtual offset, where it stands.
func toVirtual(part *catalog.Partition, b kafka.Batch, v int64) {
	b.SetLeaderEpoch(part.BatchEpoch(v, b.LeaderEpoch()))
	b.SetBaseOffset(v)
}

// place adds a batch that is in several runs, or in none.
func place(within kafka.Bounds, part *catalog.Partition, b kafka.Batch, out []byte) ([]byte, error) {
	to := func(at int64) (int64, bool) { return part.ToVirtual(at), !part.Distance.Skips(at) }
	first, last := part.ToVirtual(b.BaseOffset()), part.ToVirtual(b.LastOffset()+1)-1
	switch {
	case last < first:
		return out, nil // all of it is skipped
	case last-first <= math.MaxInt32:
		return placeAt(within, part, b, out, first, last, to)
	}
	// A hole that is wider than a batch can be is left between two.
	for r := range part.Distance.Runs() {
		from, behind := max(r.Physical, b.BaseOffset()), b.LastOffset()+1
		if r.Records < behind-r.Physical {
			behind = r.Physical + r.Records
		}
		if from >= behind {
			continue
		}
		var err error
		out, err = placeAt(within, part, b, out, part.ToVirtual(from), part.ToVirtual(behind-1), func(at int64) (int64, bool) {
			return part.ToVirtual(at), at >= from && at < behind
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func placeAt(within kafka.Bounds, part *catalog.Partition, b kafka.Batch, out []byte, first, last int64, to func(int64) (int64, bool)) ([]byte, error) {
	placed, err := within.Place(nil, b, first, last, to)
	if err != nil {
		return out, err
	}
	toVirtual(part, placed, first)
	return append(out, placed...), nil
}
