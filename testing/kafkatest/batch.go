package kafkatest

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// Batch makes a record batch of about n bytes with a valid CRC.
func Batch(n int) []byte {
	b := make([]byte, kafka.BatchHeader+max(n-kafka.BatchHeader, 16))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	binary.BigEndian.PutUint64(b[43:], ^uint64(0))
	binary.BigEndian.PutUint32(b[57:], 1)
	// One record that fills the rest: attributes, deltas, key and value with their lengths.
	rest := b[kafka.BatchHeader:]
	value := len(rest)
	var rec []byte
	for {
		rec = []byte{0, 0, 0, 1}
		rec = binary.AppendVarint(rec, int64(value))
		rec = append(append(rec, make([]byte, value)...), 0)
		if framed := binary.AppendVarint(nil, int64(len(rec))); len(framed)+len(rec) <= len(rest) {
			copy(rest, append(framed, rec...))
			break
		}
		value--
	}
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}
