package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Plain is a batch whose records are read where they stand: without compression, and each of them
// is checked.
type Plain struct {
	Batch
	Bytes   []byte // of the records
	Headers int    // that all of them have
}

// RawRecord is a record where it stands: its key, value and headers are the bytes of its batch. The
// zero value stands before the first one.
type RawRecord struct {
	Offset    int64
	Timestamp int64
	Key       []byte // nil for null
	Value     []byte // nil for null
	Headers   Headers

	start, rest, key, value, end int // where its first byte stands, what is behind its offset, key and value, and what is behind it
}

// Span is where the record begins and ends in the bytes of its batch, as it came.
func (r *RawRecord) Span() (from, to int) { return r.start, r.end }

// Places are where key and value stand in the bytes of its batch, as they came; those of null mean
// nothing.
func (r *RawRecord) Places() (key, value int) { return r.key, r.value }

// Open decompresses a batch and checks its records, without decoding them. buf is used if it is
// large enough. An error of a batch that takes too much is ErrTooLarge; it counts what its records
// and headers would take if they were decoded.
func (o Bounds) Open(buf []byte, b Batch) (p Plain, err error) {
	left := o.room(b)
	if p, err = left.open(buf, b); err != nil {
		return p, fmt.Errorf("batch at %d: %w", b.BaseOffset(), err)
	}
	return p, nil
}

func (left *room) open(buf []byte, b Batch) (p Plain, err error) {
	p = Plain{Batch: b, Bytes: b[BatchHeader:]}
	if codec := b.Compression(); codec != 0 {
		if p.Bytes, err = left.inflate(buf, codec, p.Bytes); err != nil {
			return p, err
		}
	}
	count := max(int64(b.Count()), 0)
	if err := left.take(recordMemory * min(count, int64(len(p.Bytes)/SmallestRecord))); err != nil {
		return p, err
	}
	at := 0
	var r RawRecord // one for all: a loop's own would be copied for each
	for ; count > 0; count-- {
		if !r.read(p.Bytes, at) || !r.Headers.fit() {
			return p, errMisfit
		}
		p.Headers += r.Headers.Count
		at = r.end
	}
	if at < len(p.Bytes) {
		return p, fmt.Errorf("%d bytes behind its records", len(p.Bytes)-at)
	}
	return p, left.take(int64(p.Headers) * headerMemory)
}

// At is the place before the record that begins at a byte of the records.
func (p *Plain) At(start int) RawRecord { return RawRecord{end: start} }

// Next goes on to the record behind r, and reports whether there is one.
func (p *Plain) Next(r *RawRecord) bool {
	if r.end >= len(p.Bytes) || !r.read(p.Bytes, r.end) {
		return false
	}
	r.Offset += p.BaseOffset()
	if p.LogAppendTime() {
		r.Timestamp = p.MaxTimestamp()
	} else {
		r.Timestamp += p.baseTimestamp()
	}
	return true
}

// Skip goes on to the record behind r, of which nothing but the span is known then, and reports
// whether there is one.
func (p *Plain) Skip(r *RawRecord) bool {
	size, at := varintAt(p.Bytes, r.end)
	if at == 0 {
		return false
	}
	r.start, r.end = r.end, at+int(size)
	return true
}

// baseTimestamp is what timestamps of records are counted from.
func (b Batch) baseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[27:])) }

var errMisfit = errors.New("a record does not fit")

// read finds the record that begins at a byte of b, up to its headers; its offset and timestamp are
// counted from those of its batch.
func (r *RawRecord) read(b []byte, start int) bool {
	size, at := varintAt(b, start)
	if at == 0 || size < 1 || size > int64(len(b)-at) {
		return false
	}
	r.start, r.end = start, at+int(size)
	b = b[:r.end:r.end]
	// A number of one byte, as most are, is read here: this is done three times for each record
	// that a guest changes.
	at++ // the attributes
	if at < len(b) && b[at] < 0x80 {
		r.Timestamp, at = zigzag(b[at]), at+1
	} else if r.Timestamp, at = varintAt(b, at); at == 0 {
		return false
	}
	if at < len(b) && b[at] < 0x80 {
		r.Offset, at = zigzag(b[at]), at+1
	} else if r.Offset, at = varintAt(b, at); at == 0 {
		return false
	}
	r.rest = at
	if at < len(b) && b[at] == 1 { // null
		r.Key, at = nil, at+1
	} else if r.Key, at = varbytesAt(b, at); at == 0 {
		return false
	}
	r.key = at - len(r.Key)
	if r.Value, at = varbytesAt(b, at); at == 0 {
		return false
	}
	r.value = at - len(r.Value)
	if at < len(b) && b[at] == 0 {
		r.Headers = Headers{0, b[at+1:]}
		return true
	}
	n, at := varintAt(b, at)
	if at == 0 || n < 0 || n > int64(len(b)-at)/2 { // each has two lengths
		return false
	}
	r.Headers = Headers{int(n), b[at:]}
	return true
}

func zigzag(b byte) int64 { return int64(b>>1) ^ -int64(b&1) }

// varintAt reads a number and returns where the next byte stands; 0 if it does not fit.
func varintAt(b []byte, at int) (v int64, next int) {
	if uint(at) >= uint(len(b)) {
		return 0, 0
	}
	b = b[at:]
	if b[0] < 0x80 { // most of them
		return zigzag(b[0]), at + 1
	}
	if len(b) > 1 && b[1] < 0x80 {
		u := uint64(b[0]&0x7f) | uint64(b[1])<<7
		return int64(u>>1) ^ -int64(u&1), at + 2
	}
	v, n := binary.Varint(b)
	if n <= 0 {
		return 0, 0
	}
	return v, at + n
}

// varbytesAt reads bytes behind their length, of which -1 is nil, and returns where the next byte
// stands; 0 if they don't fit.
func varbytesAt(b []byte, at int) (out []byte, next int) {
	n, at := varintAt(b, at)
	switch {
	case at == 0, n > int64(len(b)-at), n < -1:
		return nil, 0
	case n < 0:
		return nil, at
	}
	next = at + int(n)
	return b[at:next:next], next
}
