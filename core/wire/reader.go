package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
)

const bufferSize = 128 << 10

func (b *Buffers) get() *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, bufferSize)
	return &p
}

// Reader reads frames from a connection. While it waits for the first byte of a frame it holds no
// buffer (but for TLS, where the library has its own).
type Reader struct {
	// Admit, if not nil, is called with the size of each frame before the rest of it is read. Its error is Frame's;
	// with ErrSkip the frame is read all the same, and thrown away.
	Admit func(n int) error

	conn  net.Conn
	raw   syscall.RawConn
	pool  *Buffers
	buf   *[]byte
	r, w  int
	err   error
	read  func(fd uintptr) bool // made once: a closure per read would be an allocation
	n     int
	head  [4]byte
	last  atomic.Int64
	began int64
}

// NewReader returns a reader of conn.
func NewReader(conn net.Conn, pool *Buffers) *Reader {
	r := &Reader{conn: conn, pool: pool}
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			r.raw = raw
		}
	}
	r.read = func(fd uintptr) bool {
		for {
			if r.buf == nil {
				r.buf = r.pool.get()
			}
			n, err := syscall.Read(int(fd), *r.buf)
			switch {
			case errors.Is(err, syscall.EINTR):
				continue
			case errors.Is(err, syscall.EAGAIN):
				r.give()
				return false
			case err != nil:
				r.err = err
			case n == 0:
				r.err = io.EOF
			}
			r.n = max(n, 0)
			return true
		}
	}
	return r
}

func (r *Reader) give() {
	if r.buf != nil {
		r.pool.pool.Put(r.buf)
		r.buf = nil
	}
}

// Buffered reports whether a whole frame is already in the buffer, so that reading it won't block.
func (r *Reader) Buffered() bool {
	have := r.w - r.r
	if have < 4 {
		return false
	}
	size := int32(binary.BigEndian.Uint32((*r.buf)[r.r:]))
	return size >= 0 && have-4 >= int(size)
}

// Began is when the first byte of the last frame came in, in unix nanoseconds.
func (r *Reader) Began() int64 { return r.began }

// Heard is when the last bytes came in; zero if none did.
func (r *Reader) Heard() time.Time { return time.Unix(0, r.last.Load()) }

func (r *Reader) hear(n int) {
	if n > 0 {
		r.last.Store(time.Now().UnixNano())
	}
}

// fill reads at least one byte into the empty buffer.
func (r *Reader) fill() error {
	r.r, r.w = 0, 0
	if r.raw != nil {
		r.err = nil
		if err := r.raw.Read(r.read); err != nil {
			return err
		}
		r.w = r.n
		r.hear(r.n)
		return r.err
	}
	if r.buf == nil {
		r.buf = r.pool.get()
	}
	n, err := r.conn.Read(*r.buf)
	r.w = n
	r.hear(n)
	if n > 0 {
		return nil
	}
	return err
}

// Read reads like io.Reader; large reads into p bypass the buffer.
func (r *Reader) Read(p []byte) (int, error) {
	if r.r == r.w {
		if len(p) >= bufferSize {
			n, err := r.conn.Read(p)
			r.hear(n)
			return n, err
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, (*r.buf)[r.r:r.w])
	r.r += n
	if r.r == r.w && r.raw != nil {
		r.give()
	}
	return n, nil
}

// Frame reads the next frame of at most limit bytes. The frame is the caller's, who may give it back
// with Recycle.
func (r *Reader) Frame(limit int) ([]byte, error) {
	if _, err := io.ReadFull(r, r.head[:]); err != nil {
		return nil, err
	}
	r.began = r.last.Load()
	n, err := kafka.FrameSize(r.head, limit)
	if err != nil {
		return nil, err
	}
	if r.Admit != nil {
		if err := r.Admit(n); err != nil {
			return nil, r.refuse(n, err)
		}
	}
	frame := r.pool.Frame(n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, notEOF(err)
	}
	return frame, nil
}

// ErrSkip has a frame thrown away.
var ErrSkip = errors.New("frame skipped")

// refuse leaves out a frame of n bytes, if that is what err says.
func (r *Reader) refuse(n int, err error) error {
	if errors.Is(err, ErrSkip) {
		if _, rerr := io.CopyN(io.Discard, r, int64(n)); rerr != nil {
			return notEOF(rerr)
		}
	}
	return err
}

// notEOF makes an end inside of a frame what it is.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close gives the buffer back. The connection is the caller's.
func (r *Reader) Close() { r.give() }
