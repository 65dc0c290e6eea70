package kafka

import (
	"fmt"
	"iter"
)

// Headers are those of a record, as they stand in its batch.
type Headers []byte

// All shows the headers, keys and values, until one does not fit. Nothing is allocated; the bytes are the batch's.
func (h Headers) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		n, b, ok := varint(h)
		for ; ok && n > 0; n-- {
			var key, value []byte
			if key, b, ok = varbytes(b); !ok {
				return
			}
			if value, b, ok = varbytes(b); !ok || !yield(key, value) {
				return
			}
		}
	}
}

// RecordHeaders shows the offset and headers of each record of a batch, of any codec, until visit returns false. It decodes nothing
// else of them.
func (o Bounds) RecordHeaders(b Batch, visit func(offset int64, h Headers) bool) (err error) {
	data, left := []byte(b[BatchHeader:]), o.room(b)
	if codec := b.Compression(); codec != 0 {
		if data, err = left.inflate(codec, data); err != nil {
			return fmt.Errorf("batch at %d: %w", b.BaseOffset(), err)
		}
	}
	for i := b.Count(); i > 0; i-- {
		offset, headers, rest, ok := headersOf(data)
		if !ok {
			return fmt.Errorf("batch at %d: %w", b.BaseOffset(), errMisfit)
		}
		if !visit(b.BaseOffset()+offset, headers) {
			return nil
		}
		data = rest
	}
	return nil
}

// headersOf finds the headers of the first of some records, its offset from that of its batch, and the records behind it.
func headersOf(b []byte) (offset int64, h Headers, rest []byte, ok bool) {
	size, b, ok := varint(b)
	if !ok || size < 1 || size > int64(len(b)) {
		return 0, nil, nil, false
	}
	b, rest = b[1:size], b[size:] // without attributes
	if _, b, ok = varint(b); !ok {
		return 0, nil, nil, false
	}
	if offset, b, ok = varint(b); !ok {
		return 0, nil, nil, false
	}
	for range 2 { // key and value
		if _, b, ok = varbytes(b); !ok {
			return 0, nil, nil, false
		}
	}
	return offset, Headers(b), rest, true
}
