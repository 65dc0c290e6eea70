package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Rebuild returns a batch like b with other content in its records: as many as before, in the same
// order. Codec, timestamps, producer and sequence stay.
func Rebuild(b Batch, records []Record) (Batch, error) {
	if len(records) != int(b.Count()) {
		return nil, fmt.Errorf("batch of %d records rebuilt with %d", b.Count(), len(records))
	}
	first := int64(binary.BigEndian.Uint64(b[27:]))
	var raw, one []byte
	for _, r := range records {
		one = append(one[:0], 0) // attributes
		one = binary.AppendVarint(one, r.Timestamp-first)
		one = binary.AppendVarint(one, r.Offset-b.BaseOffset())
		one = appendBytes(one, r.Key)
		one = appendBytes(one, r.Value)
		one = binary.AppendVarint(one, int64(len(r.Headers)))
		for _, h := range r.Headers {
			one = binary.AppendVarint(one, int64(len(h.Key)))
			one = append(one, h.Key...)
			one = appendBytes(one, h.Value)
		}
		raw = binary.AppendVarint(raw, int64(len(one)))
		raw = append(raw, one...)
	}
	out := append(Batch{}, b[:BatchHeader]...)
	if codec := b.Compression(); codec != 0 {
		c, err := compressor(codec)
		if err != nil {
			return nil, err
		}
		packed, used := c.Compress(new(bytes.Buffer), raw)
		raw = packed
		attrs := b.Attributes()&^7 | int16(used)
		binary.BigEndian.PutUint16(out[21:], uint16(attrs))
	}
	out = append(out, raw...)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out, nil
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

func compressor(codec int8) (kgo.Compressor, error) {
	switch codec {
	case 1:
		return kgo.DefaultCompressor(kgo.GzipCompression())
	case 2:
		return kgo.DefaultCompressor(kgo.SnappyCompression())
	case 3:
		return kgo.DefaultCompressor(kgo.Lz4Compression())
	case 4:
		return kgo.DefaultCompressor(kgo.ZstdCompression())
	}
	return nil, fmt.Errorf("unknown codec %d", codec)
}
