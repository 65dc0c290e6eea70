package kafka

import (
	"encoding/binary"
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

// Records decodes the records of a batch, of any codec. An error of one that takes too much is
// ErrTooLarge.
func (o Bounds) Records(b Batch) ([]Record, error) {
	// What a batch says is its sender's word; what it has uncompressed bounds it, mostly.
	return o.AppendRecords(make([]Record, 0, min(max(int(b.Count()), 0), 8+len(b)/SmallestRecord)), b)
}

// SmallestRecord is the size of a record with nothing in it, in bytes.
const SmallestRecord = 7

// What a record and a header take in memory.
const (
	recordMemory = int64(unsafe.Sizeof(Record{}))
	headerMemory = int64(unsafe.Sizeof(kmsg.Header{}))
)

// AppendRecords is Records into a slice that is used again.
func (o Bounds) AppendRecords(out []Record, b Batch) ([]Record, error) {
	p, err := o.Open(nil, b)
	if err != nil {
		return out, err
	}
	for r := (RawRecord{}); p.Next(&r); {
		out = append(out, Record{r.Offset, r.Timestamp, r.Key, r.Value, r.Headers.decode()})
	}
	return out, nil
}

// decode copies the headers, nil for none.
func (h Headers) decode() (out []kmsg.Header) {
	for k, v := range h.All() {
		if out == nil {
			out = make([]kmsg.Header, 0, h.Count)
		}
		out = append(out, kmsg.Header{Key: string(k), Value: v})
	}
	return out
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
	h := f.begin(r.Timestamp, r.Key, r.Value)
	for _, x := range r.Headers {
		if !f.Ignore[x.Key] {
			hashField(&h, []byte(x.Key))
			hashField(&h, x.Value)
		}
	}
	return h.Sum64()
}

// OfRaw is Of for a record that is not decoded.
func (f *Fingerprints) OfRaw(r *RawRecord) uint64 {
	h := f.begin(r.Timestamp, r.Key, r.Value)
	for k, v := range r.Headers.All() {
		if !f.Ignore[string(k)] {
			hashField(&h, k)
			hashField(&h, v)
		}
	}
	return h.Sum64()
}

func (f *Fingerprints) begin(timestamp int64, key, value []byte) (h maphash.Hash) {
	h.SetSeed(f.seed)
	if f.Timestamps {
		var t [8]byte
		binary.BigEndian.PutUint64(t[:], uint64(timestamp))
		_, _ = h.Write(t[:])
	}
	hashField(&h, key)
	hashField(&h, value)
	return h
}

// hashField adds a field of a record, with its length, and whether it is null.
func hashField(h *maphash.Hash, b []byte) {
	var n [9]byte
	if b == nil {
		n[8] = 1
	}
	binary.BigEndian.PutUint64(n[:], uint64(len(b)))
	_, _ = h.Write(n[:])
	_, _ = h.Write(b)
}

// OfKey is the fingerprint of a record's key alone, 0 for none.
func (f *Fingerprints) OfKey(key []byte) uint64 {
	if key == nil {
		return 0
	}
	return maphash.Bytes(f.seed, key) | 1
}
