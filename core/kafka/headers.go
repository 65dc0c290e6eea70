package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
)

// Headers are those of a record, as they stand in its batch.
type Headers struct {
	Count int
	Bytes []byte
}

// All shows the headers, keys and values, until one does not fit. Nothing is allocated; the bytes
// are the batch's.
func (h Headers) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for n, at := h.Count, 0; n > 0; n-- {
			var key, value []byte
			if key, value, at = h.next(at); at == 0 || !yield(key, value) {
				return
			}
		}
	}
}

// next is the header that begins at a byte, and where it ends; 0 if it does not fit.
func (h Headers) next(at int) (key, value []byte, end int) {
	if key, at = varbytesAt(h.Bytes, at); at == 0 {
		return nil, nil, 0
	}
	value, at = varbytesAt(h.Bytes, at)
	return key, value, at
}

// fit reports that there are as many as they say, each with a key, and nothing behind them.
func (h Headers) fit() bool {
	at := 0
	for range h.Count {
		var key []byte
		if key, _, at = h.next(at); at == 0 || key == nil {
			return false
		}
	}
	return at == len(h.Bytes)
}

// Add adds a header; a nil value is null. If there is room behind the bytes it is written there.
func (h *Headers) Add(key, value []byte) {
	h.Count++
	h.Bytes = appendBytes(append(binary.AppendVarint(h.Bytes, int64(len(key))), key...), value)
}

// Remove removes the headers with a key, in the memory of the bytes.
func (h *Headers) Remove(key []byte) {
	kept := Headers{Bytes: h.Bytes[:0]}
	for n, at := h.Count, 0; n > 0; n-- {
		k, _, end := h.next(at)
		if end == 0 {
			break
		}
		if !bytes.Equal(k, key) {
			kept.Bytes = append(kept.Bytes, h.Bytes[at:end]...)
			kept.Count++
		}
		at = end
	}
	*h = kept
}

// RecordHeaders shows the offset and headers of each record of a batch, of any codec, until visit
// returns false. It decodes nothing else of them.
func (o Bounds) RecordHeaders(b Batch, visit func(offset int64, h Headers) bool) (err error) {
	data, left := []byte(b[BatchHeader:]), o.room(b)
	if codec := b.Compression(); codec != 0 {
		if data, err = left.inflate(nil, codec, data); err != nil {
			return fmt.Errorf("batch at %d: %w", b.BaseOffset(), err)
		}
	}
	var r RawRecord
	for i := b.Count(); i > 0; i-- {
		if !r.read(data, r.end) {
			return fmt.Errorf("batch at %d: %w", b.BaseOffset(), errMisfit)
		}
		if !visit(b.BaseOffset()+r.Offset, r.Headers) {
			return nil
		}
	}
	return nil
}
