package kafka

import (
	"encoding/binary"
	"math"
)

// Place gives the records of a batch other offsets, between first and last, which are those of the
// batch then: to says which, ascending, and false for a record that is left out. Codec, producer,
// sequence and timestamps stay; buf is used if it is large enough. A batch of which all records are
// left out is empty, as compaction leaves it.
//
// It is for batches that span a place where the distance between two logs changes: of any other,
// its first offset is all that has to be changed.
func (o Bounds) Place(buf []byte, b Batch, first, last int64, to func(offset int64) (int64, bool)) (Batch, error) {
	p, err := o.Open(nil, b)
	if err != nil {
		return nil, err
	}
	if last-first > math.MaxInt32 || last < first {
		return nil, errMisfit
	}
	w := p.Rewrite(buf, KeepGaps, 5*int(max(b.Count(), 0)))
	Batch(w.out).SetBaseOffset(first)
	binary.BigEndian.PutUint32(w.out[23:], uint32(last-first))
	var r RawRecord
	for p.Next(&r) {
		at, ok := to(r.Offset)
		if !ok {
			continue
		}
		if at < first || at > last {
			return nil, errMisfit
		}
		w.keepAt(&r, at-first)
	}
	return w.Batch()
}

// keepAt takes a record as it stands, but for its offset, which is by delta behind the batch's.
func (w *Rewrite) keepAt(r *RawRecord, delta int64) {
	base := w.from.BaseOffset()
	if r.Offset == base+delta {
		w.Keep(r)
		return
	}
	r.Offset = base + delta
	w.flush()
	w.head(r, len(w.from.Bytes[r.rest:r.end]))
	w.out = append(w.out, w.from.Bytes[r.rest:r.end]...)
	w.taken(r)
}
