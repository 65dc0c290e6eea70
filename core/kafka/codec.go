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

// pack compresses b and returns the codec that it chose, which may be none.
func pack(codec int8, b []byte) ([]byte, int8, error) {
	if int(codec) >= len(codecs()) || codec < 1 {
		return nil, 0, fmt.Errorf("unknown codec %d", codec)
	}
	out, used := codecs()[codec].Compress(new(bytes.Buffer), b)
	return out, int8(used), nil
}
