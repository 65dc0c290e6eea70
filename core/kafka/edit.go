package kafka

import (
	"slices"
	"sync"
)

// Verdict says what has become of a record.
type Verdict int

// What may become of a record, the least first.
const (
	Unchanged      Verdict = iota
	ChangedInPlace         // bytes of its key or value are others, where they stand
	Changed                // it has another key, value, timestamp, or other headers
	Dropped
)

// scratch is memory for batches whose records don't stay where they are; larger ones are not kept.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

const keepScratch = 2 << 20

// Edit shows every record of a batch to edit, in their order, and returns the batch with what has
// become of them: b itself if nothing has changed. What is shown is a copy, so that keys and values
// may be changed where they stand. buf is used if it is large enough.
func (o Bounds) Edit(buf []byte, b Batch, gaps Gaps, edit func(r *RawRecord) Verdict) (Batch, error) {
	if b.IsControl() {
		return b, nil
	}
	buf = append(buf[:0], b[:BatchHeader]...)
	if b.Compression() == 0 {
		buf = slices.Grow(buf, len(b)-BatchHeader)
	}
	p, err := o.Open(buf[BatchHeader:], b)
	if err != nil {
		return nil, err
	}
	whole := Batch(append(buf, p.Bytes...)) // of which p.Bytes is the end already, if it was decompressed there
	p.Bytes = whole[BatchHeader:]

	w := Rewrite{from: &p, gaps: gaps, highest: -1}
	var moved *[]byte // what w writes into, once a record does not stay where it is
	most := Unchanged
	var r RawRecord // one for all: each that edit is shown in a loop's own would be allocated
	for p.Next(&r) {
		verdict := edit(&r)
		most = max(most, verdict)
		w.altered = most > Unchanged
		if moved == nil && (verdict > ChangedInPlace || w.renumbers(&r)) {
			moved = scratch.Get().(*[]byte)
			w.out, w.summed = append(slices.Grow((*moved)[:0], len(whole)), b[:BatchHeader]...), BatchHeader
		}
		switch verdict {
		case Unchanged, ChangedInPlace:
			w.Keep(&r)
		case Changed:
			w.Put(&r)
		}
	}
	if moved != nil {
		defer func() {
			if *moved = w.out[:0]; cap(w.out) <= keepScratch {
				scratch.Put(moved)
			}
		}()
	}
	switch {
	case most == Unchanged:
		return b, nil
	case moved == nil:
		return w.inPlace(whole)
	}
	out, err := w.Batch()
	return append(whole[:0], out...), err
}

// inPlace ends a batch whose records are all where they were.
func (w *Rewrite) inPlace(out Batch) (_ Batch, err error) {
	if codec := out.Compression(); codec != 0 {
		if out, err = packTo(out[:BatchHeader], codec, out[BatchHeader:]); err != nil {
			return nil, err
		}
	}
	w.seal(out)
	return out, nil
}
