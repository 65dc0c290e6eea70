package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
)

// ErrNoRecords says that a batch would be left without records, which only a Fetch response may
// hold.
var ErrNoRecords = errors.New("no record is left in the batch")

// Gaps says what becomes of the offsets of records that a rewritten batch leaves out.
type Gaps bool

const (
	// KeepGaps keeps all offsets, as compaction does: for batches that come from a broker.
	KeepGaps Gaps = true
	// CloseGaps renumbers: for batches that go to one, which wants as many records as offsets.
	CloseGaps Gaps = false
)

// Rewrite writes a batch like another one, with the same codec, producer and sequence, record by
// record in their order. What is kept is copied as it stands, in runs; records that are passed over
// are left out.
type Rewrite struct {
	from     *Plain
	gaps     Gaps
	out      []byte // a header, and the records so far, not compressed
	run, end int    // records that are kept, and not yet copied
	count    int
	highest  int64 // timestamp
	sum      uint32
	summed   int  // the checksum of the records up to there is sum
	altered  bool // the bytes of from are no longer what they were
}

// Rewrite begins one. buf is used if it is large enough; more is by how many bytes the records may
// grow, or about so.
func (p *Plain) Rewrite(buf []byte, gaps Gaps, more int) Rewrite {
	out := slices.Grow(buf[:0], BatchHeader+len(p.Bytes)+more)
	return Rewrite{from: p, gaps: gaps, out: append(out, p.Batch[:BatchHeader]...), highest: -1, summed: BatchHeader}
}

// Count is how many records it has so far.
func (w *Rewrite) Count() int { return w.count }

// Keep takes a record as it stands.
func (w *Rewrite) Keep(r *RawRecord) {
	switch {
	case w.renumbers(r):
		w.flush()
		w.head(r, len(w.from.Bytes[r.rest:r.end]))
		w.out = append(w.out, w.from.Bytes[r.rest:r.end]...)
	case r.start == w.end && w.end > w.run:
		w.end = r.end
	default:
		w.flush()
		w.run, w.end = r.start, r.end
	}
	w.taken(r)
}

// KeepWith takes a record as it stands, but for the bytes of its key and value: those of r, which
// are as many as they were.
func (w *Rewrite) KeepWith(r *RawRecord) {
	if w.renumbers(r) {
		w.Put(r)
		return
	}
	if r.start != w.end {
		w.flush()
		w.run = r.start
	}
	w.out = append(append(w.out, w.from.Bytes[w.run:r.key]...), r.Key...)
	w.out = append(append(w.out, w.from.Bytes[r.key+len(r.Key):r.value]...), r.Value...)
	w.run, w.end = r.value+len(r.Value), r.end
	w.taken(r)
}

// renumbers reports that a record is kept under another offset.
func (w *Rewrite) renumbers(r *RawRecord) bool {
	return w.gaps == CloseGaps && r.Offset-w.from.BaseOffset() != int64(w.count)
}

// Put takes a record with what has been changed in r.
func (w *Rewrite) Put(r *RawRecord) {
	w.flush()
	w.head(r, varbytesSize(r.Key)+varbytesSize(r.Value)+varintSize(int64(r.Headers.Count))+len(r.Headers.Bytes))
	w.out = appendBytes(appendBytes(w.out, r.Key), r.Value)
	w.out = append(binary.AppendVarint(w.out, int64(r.Headers.Count)), r.Headers.Bytes...)
	w.taken(r)
}

// head writes a record up to its offset; rest is the size of what follows.
func (w *Rewrite) head(r *RawRecord, rest int) {
	timestamp, offset := r.Timestamp-w.from.baseTimestamp(), r.Offset-w.from.BaseOffset()
	if w.gaps == CloseGaps {
		offset = int64(w.count)
	}
	w.out = append(binary.AppendVarint(w.out, int64(1+varintSize(timestamp)+varintSize(offset)+rest)), 0) // no attributes
	w.out = binary.AppendVarint(binary.AppendVarint(w.out, timestamp), offset)
}

// taken counts a record.
func (w *Rewrite) taken(r *RawRecord) {
	w.count++
	w.highest = max(w.highest, r.Timestamp)
	if len(w.out)-w.summed >= sumStep {
		w.add()
	}
}

// flush copies the run.
func (w *Rewrite) flush() {
	if w.end > w.run {
		w.out = append(w.out, w.from.Bytes[w.run:w.end]...)
	}
	w.run = w.end
}

// sumStep is how many bytes are added to the checksum at once, while they are still near the
// processor.
const sumStep = 32 << 10

func (w *Rewrite) add() {
	if w.from.Compression() == 0 {
		w.sum = crc32.Update(w.sum, castagnoli, w.out[w.summed:])
		w.summed = len(w.out)
	}
}

// Batch ends it. If it turns out to have the same records byte by byte, it has the same compressed
// bytes too.
func (w *Rewrite) Batch() (Batch, error) {
	if w.count == 0 && w.gaps == CloseGaps {
		return nil, ErrNoRecords
	}
	w.flush()
	out, b := Batch(w.out), w.from.Batch
	switch codec := b.Compression(); {
	case codec == 0:
		w.add()
	case w.count == 0: // as brokers leave a batch that compaction has emptied
		binary.BigEndian.PutUint16(out[21:], uint16(b.Attributes()&^7))
	case !w.altered && bytes.Equal(w.out[BatchHeader:], w.from.Bytes):
		out = append(out[:BatchHeader], b[BatchHeader:]...)
	default:
		var err error
		if out, err = packTo(out[:BatchHeader], codec, out[BatchHeader:]); err != nil {
			return nil, err
		}
	}
	w.seal(out)
	return out, nil
}

// seal fills in the header.
func (w *Rewrite) seal(out Batch) {
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	if w.gaps == CloseGaps {
		binary.BigEndian.PutUint32(out[23:], uint32(w.count-1))
	}
	if w.count > 0 && !out.LogAppendTime() {
		binary.BigEndian.PutUint64(out[35:], uint64(w.highest))
	}
	binary.BigEndian.PutUint32(out[57:], uint32(w.count))
	sum := crc32.Checksum(out[21:BatchHeader], castagnoli)
	if w.summed == len(out) { // the records' is known
		sum = crcShift(sum, len(out)-BatchHeader) ^ w.sum
	} else {
		sum = crc32.Update(sum, castagnoli, out[BatchHeader:])
	}
	binary.BigEndian.PutUint32(out[17:], sum)
}

// Rebuild returns a batch like b with other records: the same ones in the same order with other
// content, or fewer of them. Codec, producer and sequence stay.
func Rebuild(b Batch, records []Record, gaps Gaps) (Batch, error) {
	size := 0
	for i := range records {
		size += len(records[i].Key) + len(records[i].Value) + 24
	}
	w := (&Plain{Batch: b}).Rewrite(nil, gaps, size)
	for i := range records {
		r := RawRecord{Offset: records[i].Offset, Timestamp: records[i].Timestamp, Key: records[i].Key, Value: records[i].Value}
		for _, h := range records[i].Headers {
			r.Headers.Add([]byte(h.Key), h.Value)
		}
		w.Put(&r)
	}
	return w.Batch()
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
