package kafka

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
)

// ErrNoRecords says that a batch would be left without records, which only a Fetch response may hold.
var ErrNoRecords = errors.New("no record is left in the batch")

// Gaps says what becomes of the offsets of records that a rebuilt batch leaves out.
type Gaps bool

const (
	// KeepGaps keeps all offsets, as compaction does: for batches that come from a broker.
	KeepGaps Gaps = true
	// CloseGaps renumbers: for batches that go to one, which wants as many records as offsets.
	CloseGaps Gaps = false
)

// Rebuild returns a batch like b with other records: the same ones in the same order with other content, or
// fewer of them. Codec, producer and sequence stay.
func Rebuild(b Batch, records []Record, gaps Gaps) (Batch, error) {
	return RebuildIn(nil, b, records, gaps)
}

// RebuildIn is Rebuild into memory that is used again, if it is large enough.
func RebuildIn(buf []byte, b Batch, records []Record, gaps Gaps) (Batch, error) {
	if len(records) == 0 && gaps == CloseGaps {
		return nil, ErrNoRecords
	}
	first, highest := int64(binary.BigEndian.Uint64(b[27:])), int64(-1)
	size := BatchHeader
	for i := range records {
		size += len(records[i].Key) + len(records[i].Value) + 24
	}
	out := append(slices.Grow(Batch(buf[:0]), size), b[:BatchHeader]...)
	for i := range records {
		r := &records[i]
		delta := r.Offset - b.BaseOffset()
		if gaps == CloseGaps {
			delta = int64(i)
		}
		out = r.append(out, r.Timestamp-first, delta)
		highest = max(highest, r.Timestamp)
	}
	if codec := b.Compression(); codec != 0 {
		packed, used, err := pack(codec, out[BatchHeader:])
		if err != nil {
			return nil, err
		}
		out = append(out[:BatchHeader], packed...)
		binary.BigEndian.PutUint16(out[21:], uint16(b.Attributes()&^7|int16(used)))
	}
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	if gaps == CloseGaps {
		binary.BigEndian.PutUint32(out[23:], uint32(len(records)-1))
	}
	if len(records) > 0 && !b.LogAppendTime() {
		binary.BigEndian.PutUint64(out[35:], uint64(highest))
	}
	binary.BigEndian.PutUint32(out[57:], uint32(len(records)))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out, nil
}

// append writes a record.
func (r *Record) append(out []byte, timestamp, offset int64) []byte {
	size := 1 + varintSize(timestamp) + varintSize(offset) + varbytesSize(r.Key) + varbytesSize(r.Value) + varintSize(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		size += varintSize(int64(len(h.Key))) + len(h.Key) + varbytesSize(h.Value)
	}
	out = append(binary.AppendVarint(out, int64(size)), 0) // no attributes
	out = binary.AppendVarint(binary.AppendVarint(out, timestamp), offset)
	out = appendBytes(appendBytes(out, r.Key), r.Value)
	out = binary.AppendVarint(out, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		out = append(binary.AppendVarint(out, int64(len(h.Key))), h.Key...)
		out = appendBytes(out, h.Value)
	}
	return out
}

func varintSize(v int64) int {
	n := 1
	for u := uint64(v<<1) ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

func varbytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int64(len(b))) + len(b)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

// NewBatch returns a batch of records that come from no idempotent producer, uncompressed.
func NewBatch(records []Record) (Batch, error) {
	if len(records) == 0 {
		return nil, ErrNoRecords
	}
	b := make(Batch, BatchHeader)
	b[16] = 2 // the format
	b.SetLeaderEpoch(-1)
	binary.BigEndian.PutUint64(b[27:], uint64(records[0].Timestamp))
	for i := 43; i < 57; i++ { // producer id, epoch and sequence
		b[i] = 0xff
	}
	return Rebuild(b, records, CloseGaps)
}
