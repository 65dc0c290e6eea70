package kafka

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// codecs are made once: they hold pools of their own.
var codecs = sync.OnceValue(func() (c struct {
	unpack kgo.Decompressor
	pack   [5]kgo.Compressor
}) {
	c.unpack = kgo.DefaultDecompressor()
	for i, codec := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		p, err := kgo.DefaultCompressor(codec)
		if err != nil {
			panic(err) // of a codec that kgo has
		}
		c.pack[i+1] = p
	}
	return c
})

func unpack(codec int8, b []byte) ([]byte, error) {
	return codecs().unpack.Decompress(b, kgo.CompressionCodecType(codec))
}

// pack compresses b and returns the codec that it chose, which may be none.
func pack(codec int8, b []byte) ([]byte, int8, error) {
	if int(codec) >= len(codecs().pack) || codec < 1 {
		return nil, 0, fmt.Errorf("unknown codec %d", codec)
	}
	out, used := codecs().pack[codec].Compress(new(bytes.Buffer), b)
	return out, int8(used), nil
}
