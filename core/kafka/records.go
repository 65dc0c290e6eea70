package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Record is one record of a batch. Its slices alias the decompressed batch.
type Record struct {
	Offset    int64
	Timestamp int64
	Key       []byte
	Value     []byte
	Headers   []kmsg.Header
}

// Records decodes the records of a batch, of any codec, within the default bounds.
func Records(b Batch) ([]Record, error) { return Bounds{}.Records(b) }

// AppendRecords is Records into a slice that is used again.
func AppendRecords(out []Record, b Batch) ([]Record, error) { return Bounds{}.AppendRecords(out, b) }

// Records decodes the records of a batch, of any codec. An error of one that takes too much is ErrTooLarge.
func (o Bounds) Records(b Batch) ([]Record, error) {
	// What a batch says is its sender's word; what it has uncompressed bounds it, mostly.
	return o.AppendRecords(make([]Record, 0, min(max(int(b.Count()), 0), 8+len(b)/smallest)), b)
}

// smallest is the size of a record with nothing in it, in bytes.
const smallest = 7

// What a record and a header take in memory.
const (
	recordMemory = int64(unsafe.Sizeof(Record{}))
	headerMemory = int64(unsafe.Sizeof(kmsg.Header{}))
)

// AppendRecords is Records into a slice that is used again.
func (o Bounds) AppendRecords(out []Record, b Batch) (_ []Record, err error) {
	data, left := []byte(b[BatchHeader:]), o.room(b)
	if codec := b.Compression(); codec != 0 {
		data, err = left.inflate(codec, data)
	}
	if err == nil {
		err = left.take(recordMemory * min(int64(max(b.Count(), 0)), int64(len(data)/smallest)))
	}
	if err != nil {
		return out, fmt.Errorf("batch at %d: %w", b.BaseOffset(), err)
	}
	first, appended := int64(binary.BigEndian.Uint64(b[27:])), b.LogAppendTime()
	for n := int(b.Count()); n > 0; n-- {
		r := Record{Offset: b.BaseOffset(), Timestamp: first}
		if data, err = r.read(data, &left); err != nil {
			return out, fmt.Errorf("batch at %d: %w", b.BaseOffset(), err)
		}
		if appended {
			r.Timestamp = b.MaxTimestamp()
		}
		out = append(out, r)
	}
	if len(data) > 0 {
		return out, fmt.Errorf("batch at %d: %d bytes behind its records", b.BaseOffset(), len(data))
	}
	return out, nil
}

var errMisfit = errors.New("a record does not fit")

// read decodes a record, whose offset and timestamp are those of its batch, and returns what follows.
func (r *Record) read(b []byte, left *room) (rest []byte, err error) {
	size, b, ok := varint(b)
	if !ok || size < 1 || size > int64(len(b)) {
		return nil, errMisfit
	}
	b, rest = b[1:size], b[size:] // without attributes
	var ts, offset, n int64
	if ts, b, ok = varint(b); !ok {
		return nil, errMisfit
	}
	if offset, b, ok = varint(b); !ok {
		return nil, errMisfit
	}
	r.Timestamp, r.Offset = r.Timestamp+ts, r.Offset+offset
	if r.Key, b, ok = varbytes(b); !ok {
		return nil, errMisfit
	}
	if r.Value, b, ok = varbytes(b); !ok {
		return nil, errMisfit
	}
	if n, b, ok = varint(b); !ok || n < 0 || n > int64(len(b)/2) { // each has two lengths
		return nil, errMisfit
	}
	if n > 0 {
		if err := left.take(n * headerMemory); err != nil {
			return nil, err
		}
		r.Headers = make([]kmsg.Header, n)
	}
	for i := range r.Headers {
		var key []byte
		if key, b, ok = varbytes(b); !ok || key == nil {
			return nil, errMisfit
		}
		r.Headers[i].Key = string(key)
		if r.Headers[i].Value, b, ok = varbytes(b); !ok {
			return nil, errMisfit
		}
	}
	if len(b) > 0 {
		return nil, errMisfit
	}
	return rest, nil
}

func varint(b []byte) (int64, []byte, bool) {
	if len(b) > 0 && b[0] < 0x80 { // most of them
		return int64(b[0]>>1) ^ -int64(b[0]&1), b[1:], true
	}
	v, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

// varbytes reads bytes behind their length; -1 is nil.
func varbytes(b []byte) (out, rest []byte, ok bool) {
	n, b, ok := varint(b)
	switch {
	case !ok, n > int64(len(b)), n < -1:
		return nil, nil, false
	case n < 0:
		return nil, b, true
	}
	return b[:n:n], b[n:], true
}

// Fingerprints hashes records so that two clusters' copies can be compared. Values of one
// Fingerprints compare with each other alone.
type Fingerprints struct {
	seed maphash.Seed
	// Timestamps is false where one side has its own (LogAppendTime).
	Timestamps bool
	// Ignore names headers that the replicator adds.
	Ignore map[string]bool
	// Within are the bounds of the batches that are decoded for it.
	Within Bounds
}

// NewFingerprints returns a hash of its own.
func NewFingerprints(timestamps bool, ignore []string) *Fingerprints {
	f := &Fingerprints{seed: maphash.MakeSeed(), Timestamps: timestamps, Ignore: map[string]bool{}}
	for _, h := range ignore {
		f.Ignore[h] = true
	}
	return f
}

// Of is the fingerprint of a record: its timestamp, key, value and headers.
func (f *Fingerprints) Of(r Record) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	field := func(b []byte) {
		var n [9]byte
		if b == nil {
			n[8] = 1
		}
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		_, _ = h.Write(n[:])
		_, _ = h.Write(b)
	}
	if f.Timestamps {
		var t [8]byte
		binary.BigEndian.PutUint64(t[:], uint64(r.Timestamp))
		_, _ = h.Write(t[:])
	}
	field(r.Key)
	field(r.Value)
	for _, x := range r.Headers {
		if !f.Ignore[x.Key] {
			field([]byte(x.Key))
			field(x.Value)
		}
	}
	return h.Sum64()
}
