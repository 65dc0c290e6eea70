package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
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
	// Admit, if not nil, is called with the size of each frame before the rest of it is read. Its
	// error is Frame's; with ErrSkip the frame is read all the same, and thrown away.
	Admit func(n int) error
	// Patience is how long the rest of a frame may take to come once it has begun, or its next MiB;
	// 0: any time. Idle is the deadline that the connection gets when the frame is there, from then
	// on; 0: none.
	Patience, Idle time.Duration
	// Claim, if not nil, is asked before n bytes are taken for a frame that is still to come, and
	// told with -n when the frame is there or will not come. Its error ends the reading.
	Claim func(n int64) error

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
	if sc, ok := conn.(syscall.Conn); ok && canReadRaw {
		if raw, err := sc.SyscallConn(); err == nil {
			r.raw = raw
		}
	}
	r.read = func(fd uintptr) bool {
		if r.buf == nil {
			r.buf = r.pool.get()
		}
		n, err := readRaw(fd, *r.buf)
		if errors.Is(err, errLater) {
			r.give()
			return false
		}
		r.n, r.err = n, err
		return true
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

// Frame reads the next frame of at most limit bytes. The frame is the caller's, who may give it
// back with Recycle.
func (r *Reader) Frame(limit int) ([]byte, error) {
	if r.r == r.w {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	r.began = r.last.Load()
	if r.Buffered() {
		return r.rest(limit)
	}
	if err := r.wait(); err != nil {
		return nil, err
	}
	frame, err := r.rest(limit)
	if err == nil && r.Patience > 0 {
		var until time.Time
		if r.Idle > 0 {
			until = time.Now().Add(r.Idle)
		}
		err = r.conn.SetReadDeadline(until)
	}
	return frame, err
}

// wait gives what is to come its time.
func (r *Reader) wait() error {
	if r.Patience <= 0 {
		return nil
	}
	return r.conn.SetReadDeadline(time.Now().Add(r.Patience))
}

// rest reads a frame that has begun.
func (r *Reader) rest(limit int) ([]byte, error) {
	if _, err := io.ReadFull(r, r.head[:]); err != nil {
		return nil, halfFrame(err)
	}
	n, err := kafka.FrameSize(r.head, limit)
	if err != nil {
		return nil, err
	}
	if r.Admit != nil {
		if err := r.Admit(n); err != nil {
			return nil, r.refuse(n, err)
		}
		if err := r.wait(); err != nil { // it may have taken its time
			return nil, err
		}
	}
	if n > r.w-r.r {
		return r.grown(n)
	}
	frame := r.pool.Frame(n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, halfFrame(err)
	}
	return frame, nil
}

// ErrSkip has a frame thrown away.
var ErrSkip = errors.New("frame skipped")

// refuse leaves out a frame of n bytes, if that is what err says.
func (r *Reader) refuse(n int, err error) error {
	if errors.Is(err, ErrSkip) {
		if werr := r.wait(); werr != nil {
			return werr
		}
		if _, rerr := io.CopyN(io.Discard, r, int64(n)); rerr != nil {
			return halfFrame(rerr)
		}
	}
	return err
}

// A frame of which only the size has come takes firstClaim, and one of which more has come as many
// times as much as moreClaim says.
const (
	firstClaim = bufferSize
	moreClaim  = 8
	perWait    = 1 << 20 // what has to come within Patience
)

// grown reads a frame into memory that grows as it comes: what it says of its size is not believed.
// A reader that claims nothing takes memory of that size if it is there already: none is added.
func (r *Reader) grown(n int) (frame []byte, err error) {
	claimed := 0
	defer func() {
		if r.Claim != nil {
			_ = r.Claim(int64(-claimed))
		}
	}()
	if r.Claim == nil {
		frame = r.pool.idle(n) // to grow into it would be to copy what has come
	}
	for have, waited := 0, 0; have < n; {
		if have == len(frame) {
			size := min(max(moreClaim*have, firstClaim), n)
			if 2*size > n {
				size = n
			}
			if r.Claim != nil {
				if err := r.Claim(int64(size - claimed)); err != nil {
					return nil, err
				}
				if err := r.wait(); err != nil { // the claim may have taken its time
					return nil, err
				}
			}
			claimed = size
			larger := r.pool.Frame(size)
			copy(larger, frame)
			r.pool.Recycle(frame)
			frame = larger
		}
		m, err := r.Read(frame[have:])
		if have += m; err != nil {
			return nil, halfFrame(err)
		}
		if have-waited >= perWait {
			waited = have
			if err := r.wait(); err != nil {
				return nil, err
			}
		}
	}
	return frame, nil
}

// ErrStalled is a frame that does not come to its end in time.
var ErrStalled = errors.New("a frame has begun and does not come to its end")

// halfFrame makes an end inside of a frame what it is: no end of the connection, and no idle one.
func halfFrame(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrStalled
	}
	return err
}

// Close gives the buffer back. The connection is the caller's.
func (r *Reader) Close() { r.give() }
