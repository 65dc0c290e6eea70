package kafka

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"

	"github.com/twmb/franz-go/pkg/kgo"
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

// Records decodes the records of a batch, of any codec.
func Records(b Batch) ([]Record, error) {
	data, err := kgo.DefaultDecompressor().Decompress(b[BatchHeader:], kgo.CompressionCodecType(b.Compression()))
	if err != nil {
		return nil, fmt.Errorf("batch at %d: %w", b.BaseOffset(), err)
	}
	first := int64(binary.BigEndian.Uint64(b[27:]))
	// A record has at least 7 bytes; the count is the client's word.
	out := make([]Record, 0, max(0, min(int(b.Count()), len(data)/7)))
	for len(data) > 0 {
		size, n := binary.Varint(data)
		if n <= 0 || size < 0 || int(size) > len(data)-n {
			return nil, fmt.Errorf("batch at %d: a record does not fit", b.BaseOffset())
		}
		var r kmsg.Record
		if err := r.ReadFrom(data[:n+int(size)]); err != nil {
			return nil, fmt.Errorf("batch at %d: %w", b.BaseOffset(), err)
		}
		data = data[n+int(size):]
		ts := first + r.TimestampDelta64
		if b.LogAppendTime() {
			ts = b.MaxTimestamp()
		}
		out = append(out, Record{Offset: b.BaseOffset() + int64(r.OffsetDelta), Timestamp: ts, Key: r.Key, Value: r.Value, Headers: r.Headers})
	}
	return out, nil
}

// Fingerprints hashes records so that two clusters' copies can be compared. Values of one
// Fingerprints compare with each other alone.
type Fingerprints struct {
	seed maphash.Seed
	// Timestamps is false where one side has its own (LogAppendTime).
	Timestamps bool
	// Ignore names headers that the replicator adds.
	Ignore map[string]bool
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
