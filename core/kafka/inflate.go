package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// ErrTooLarge says that a batch takes more than it may when it is decoded.
var ErrTooLarge = errors.New("decoded, the batch takes more than limits.batch_bytes")

// Bounds say how much memory a batch may take when it is decoded: its bytes without compression,
// its records and their headers. The zero value is the default.
type Bounds struct {
	// Most is the limit in bytes; 0 is the larger of 64 MiB and 16 times the batch as it came.
	Most int64
	// Grow, if not nil, is asked before n bytes more are taken, and told with a negative n of some
	// that are not needed. Its error ends the decoding.
	Grow func(n int64) error
}

// What a batch may take by default.
const (
	defaultMost   = 64 << 20
	defaultFactor = 16
)

// room is what is left of the bounds of one batch.
type room struct {
	left int64
	grow func(n int64) error
}

func (o Bounds) room(b Batch) room {
	if o.Most > 0 {
		return room{o.Most, o.Grow}
	}
	return room{max(defaultMost, defaultFactor*int64(len(b))), o.Grow}
}

// take asks for n bytes.
func (r *room) take(n int64) error {
	if n > r.left {
		return ErrTooLarge
	}
	if r.grow != nil && n != 0 {
		if err := r.grow(n); err != nil {
			return err
		}
	}
	r.left -= n
	return nil
}

// inflate decompresses the records of a batch, into buf if it is large enough. The bounds are
// looked at before memory is taken, not when it is full; memory of buf counts as what it takes the
// place of.
func (r *room) inflate(buf []byte, codec int8, src []byte) ([]byte, error) {
	switch codec {
	case 1:
		return r.gzip(buf, src)
	case 2:
		return r.snappy(buf, src)
	case 3:
		z := lz4s.Get().(*lz4Reader)
		defer lz4s.Put(z)
		z.src.Reset(src)
		z.Reset(&z.src)
		return r.readAll(buf, z, len(src))
	case 4:
		return r.zstd(buf, src)
	}
	return nil, fmt.Errorf("unknown codec %d", codec)
}

// Readers are used again; what they keep does not depend on what they have read.
var (
	gzips = sync.Pool{New: func() any { return &gzipReader{} }}
	lz4s  = sync.Pool{New: func() any { return &lz4Reader{Reader: lz4.NewReader(nil)} }}
	zstds [64]sync.Pool // by the binary logarithm of what they decode at most
)

type gzipReader struct {
	gzip.Reader
	src bytes.Reader
}

type lz4Reader struct {
	*lz4.Reader
	src bytes.Reader
}

func (r *room) gzip(buf, src []byte) ([]byte, error) {
	z := gzips.Get().(*gzipReader)
	defer gzips.Put(z)
	z.src.Reset(src)
	if err := z.Reset(&z.src); err != nil {
		return nil, err
	}
	return r.readAll(buf, z, len(src))
}

// grown is out with room for size bytes, in buf if they fit. What is in buf already stays there.
func grown(buf, out []byte, size int64) []byte {
	if size <= int64(cap(buf)) {
		return buf[:len(out):size]
	}
	return append(make([]byte, 0, size), out...)
}

// readAll reads to the end of what n bytes were before.
func (r *room) readAll(buf []byte, from io.Reader, n int) ([]byte, error) {
	size := min(max(4*int64(n), 512), r.left)
	if err := r.take(size); err != nil {
		return nil, err
	}
	out := grown(buf, nil, size)
	for {
		if len(out) == cap(out) {
			more := min(int64(cap(out)), r.left)
			if err := r.take(max(more, 1)); err != nil {
				if n, _ := from.Read(make([]byte, 1)); n == 0 {
					return out, nil
				}
				return nil, err
			}
			out = grown(buf, out, int64(cap(out))+more)
		}
		n, err := from.Read(out[len(out):cap(out)])
		if out = out[:len(out)+n]; errors.Is(err, io.EOF) {
			return out, r.take(-int64(cap(out) - len(out)))
		} else if err != nil {
			return nil, err
		}
	}
}

// xerial begins snappy in the framing of Java clients: the rest of a header of 16 bytes, and blocks
// behind their lengths.
var xerial = []byte{130, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

var errXerial = errors.New("snappy blocks are not as long as they say")

func (r *room) snappy(buf, src []byte) (out []byte, err error) {
	if len(src) < 16 || !bytes.HasPrefix(src, xerial) {
		return r.block(buf, nil, src)
	}
	for src = src[16:]; len(src) > 0; {
		if len(src) < 4 {
			return nil, errXerial
		}
		n := int64(binary.BigEndian.Uint32(src))
		if n > int64(len(src)-4) {
			return nil, errXerial
		}
		if out, err = r.block(buf, out, src[4:4+n]); err != nil {
			return nil, err
		}
		src = src[4+n:]
	}
	return out, nil
}

// block appends one block of snappy, which begins with its length.
func (r *room) block(buf, out, src []byte) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	if len(out)+n > cap(out) {
		size := max(len(out)+n, 2*cap(out))
		if int64(size-cap(out)) > r.left {
			size = len(out) + n
		}
		if err := r.take(int64(size - cap(out))); err != nil {
			return nil, err
		}
		out = grown(buf, out, int64(size))
	}
	if _, err := s2.Decode(out[len(out):len(out)+n], src); err != nil {
		return nil, err
	}
	return out[:len(out)+n], nil
}

// zstdFirst is what most batches fit into.
const zstdFirst = 1 << 20

// zstd decodes in steps of memory: the decoder is told beforehand how much it may take. A batch
// that takes more is decoded anew with eight times as much.
func (r *room) zstd(buf, src []byte) ([]byte, error) {
	for size, has := int64(zstdFirst), int64(0); ; size *= 8 {
		size = min(size, has+r.left)
		if err := r.take(size - has); err != nil {
			return nil, err
		}
		has = size
		out, err := unzstd(buf, src, size)
		switch exceeded := errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded); {
		case exceeded && r.left == 0, err == nil && int64(len(out)) > size:
			return nil, ErrTooLarge
		case !exceeded:
			return out, errors.Join(err, r.take(int64(len(out))-size))
		}
	}
}

// unzstd decodes at most size bytes, rounded up to a power of two.
func unzstd(buf, src []byte, size int64) ([]byte, error) {
	log := bits.Len64(uint64(max(size, zstdFirst) - 1))
	d, ok := zstds[log].Get().(*zstd.Decoder)
	if !ok {
		var err error
		if d, err = zstd.NewReader(nil, zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<log)); err != nil {
			return nil, err
		}
	}
	defer zstds[log].Put(d)
	return d.DecodeAll(src, buf[:0])
}
