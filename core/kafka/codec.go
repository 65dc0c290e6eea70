package kafka

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// codecs are made once: they hold pools of their own.
var codecs = sync.OnceValue(func() (c [5]kgo.Compressor) {
	for i, codec := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		p, err := kgo.DefaultCompressor(codec)
		if err != nil {
			panic(err) // of a codec that kgo has
		}
		c[i+1] = p
	}
	return c
})

// packs are what is compressed into; larger ones are not kept.
var packs = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const keepPack = 2 << 20

// packTo appends b, compressed; b may be what stands behind dst in its memory.
func packTo(dst []byte, codec int8, b []byte) ([]byte, error) {
	if int(codec) >= len(codecs()) || codec < 1 {
		return nil, fmt.Errorf("unknown codec %d", codec)
	}
	buf := packs.Get().(*bytes.Buffer)
	buf.Reset()
	packed, used := codecs()[codec].Compress(buf, b)
	if int8(used) != codec {
		return nil, fmt.Errorf("codec %d does not compress", codec)
	}
	dst = append(dst, packed...)
	if buf.Cap() <= keepPack {
		packs.Put(buf)
	}
	return dst, nil
}
