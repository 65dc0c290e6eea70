package kafka

import (
	"encoding/binary"
	"hash/crc32"
	"iter"
)

// Batch is a record batch of format 2: a 61-byte header and its records. Base offset and leader
// epoch lie outside the CRC and may be changed in place.
type Batch []byte

// BatchHeader is the size of a batch's header.
const BatchHeader = 61

// Batches walks the batches of a records field with their positions. It stops at a partial last
// batch, in which a Fetch may end, and at message sets of formats 0 and 1.
func Batches(records []byte) iter.Seq2[int, Batch] {
	return func(yield func(int, Batch) bool) {
		for at := 0; len(records)-at >= BatchHeader; {
			size := int(int32(binary.BigEndian.Uint32(records[at+8:])))
			if size < BatchHeader-12 || size > len(records)-at-12 || records[at+16] != 2 {
				return
			}
			end := at + 12 + size
			if !yield(at, Batch(records[at:end:end])) {
				return
			}
			at = end
		}
	}
}

// HasOldMagic reports that records begin with a message set of format 0 or 1.
func HasOldMagic(records []byte) bool { return len(records) > 16 && records[16] < 2 }

// BaseOffset is the offset of the first record.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b)) }

// SetBaseOffset changes it in place.
func (b Batch) SetBaseOffset(o int64) { binary.BigEndian.PutUint64(b, uint64(o)) }

// LeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b[12:])) }

// SetLeaderEpoch changes it in place.
func (b Batch) SetLeaderEpoch(e int32) { binary.BigEndian.PutUint32(b[12:], uint32(e)) }

// CRC is the checksum as stored.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[17:]) }

// Attributes are the batch's flags.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[21:])) }

// Compression is the codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
func (b Batch) Compression() int8 { return int8(b.Attributes() & 7) }

// LogAppendTime reports that the timestamps are the broker's.
func (b Batch) LogAppendTime() bool { return b.Attributes()&8 != 0 }

// IsTransactional reports a batch of a transaction.
func (b Batch) IsTransactional() bool { return b.Attributes()&16 != 0 }

// IsControl reports a transaction marker.
func (b Batch) IsControl() bool { return b.Attributes()&32 != 0 }

// LastOffset is the offset of the last record.
func (b Batch) LastOffset() int64 {
	return b.BaseOffset() + int64(int32(binary.BigEndian.Uint32(b[23:])))
}

// MaxTimestamp is the highest timestamp of the batch.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[35:])) }

// FirstTimestamp is that of the first record; with LogAppendTime, of all.
func (b Batch) FirstTimestamp() int64 {
	if b.LogAppendTime() {
		return b.MaxTimestamp()
	}
	return int64(binary.BigEndian.Uint64(b[27:]))
}

// ProducerID is the idempotent producer's id, -1 for none.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[43:])) }

// ProducerEpoch is the producer's epoch.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[51:])) }

// BaseSequence is the sequence number of the first record.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[53:])) }

// LastSequence is the sequence number of the last record; sequences wrap to 0 after 2^31-1.
func (b Batch) LastSequence() int32 { return AddSequence(b.BaseSequence(), b.Count()-1) }

// Count is the number of records.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[57:])) }

// AddSequence adds to a sequence number with Kafka's wrap-around.
func AddSequence(seq, n int32) int32 { return int32((int64(seq) + int64(n)) & 0x7fffffff) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ValidCRC reports whether the checksum is right.
func (b Batch) ValidCRC() bool {
	return crc32.Checksum(b[21:], castagnoli) == b.CRC()
}

// crcShort is the size up to which computing a CRC anew is cheaper than patching it.
const crcShort = 4 << 10

// SetProducerID changes the producer id in place. The CRC follows: it is affine over GF(2), so that
// for a large batch only the changed bytes and the number of bytes behind them matter.
func (b Batch) SetProducerID(id int64) {
	crc := b.crcWith(id)
	binary.BigEndian.PutUint64(b[43:], uint64(id))
	binary.BigEndian.PutUint32(b[17:], crc)
}

// crcLinear is the CRC-32C of b without initial and final inversion.
func crcLinear(b []byte) uint32 {
	return ^crc32.Update(^uint32(0), castagnoli, b)
}

// crcShift appends n zero bytes to the data of a linear CRC: a multiplication by x^(8n).
func crcShift(crc uint32, n int) uint32 {
	factor := uint32(1) << 31 // x^0 in the reflected order
	square := uint32(1) << 23 // x^8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			factor = crcMultiply(factor, square)
		}
		square = crcMultiply(square, square)
	}
	return crcMultiply(crc, factor)
}

// crcMultiply multiplies two polynomials modulo the Castagnoli polynomial, in reflected order.
func crcMultiply(a, b uint32) uint32 {
	var p uint32
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			p ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ crc32.Castagnoli
		} else {
			b >>= 1
		}
	}
	return p
}
