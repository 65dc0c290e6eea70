package kafka

import (
	"encoding/binary"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// SpanMin is the size from which bytes are referenced instead of copied into the write buffer.
const SpanMin = 16 << 10

// Out collects the bytes of frames that leave together. Large pieces are referenced, not copied:
// they must not change until WriteTo has returned.
type Out struct {
	frames Frames
	buf    []byte
	spans  []span
	size   int
	before []func(at int64)
	after  []func()
	start  int // where the size of the open frame stands in buf
	base   int // size when the frame was opened
}

// Frames lends slices of n bytes with any content, which are given back when nobody uses them any
// more.
type Frames interface {
	Frame(n int) []byte
	Recycle(frame []byte)
}

// NewOut returns an Out that encodes large messages into frames that are lent; nil for memory of
// its own.
func NewOut(frames Frames) *Out { return &Out{frames: frames} }

// span is a piece that goes between buf[:at] and buf[at:].
type span struct {
	at int
	b  []byte
}

// Append copies p.
func (o *Out) Append(p []byte) {
	o.buf = append(o.buf, p...)
	o.size += len(p)
}

// AppendHeader appends what stands behind the correlation id in a request's header: the client id,
// and in flexible versions no tagged fields.
func (o *Out) AppendHeader(h Header) {
	n := len(o.buf)
	o.buf = appendClientID(o.buf, h)
	o.size += len(o.buf) - n
}

// AppendResponseHeader appends a response header without tagged fields.
func (o *Out) AppendResponseHeader(key kmsg.Key, version int16, correlationID int32) {
	n := len(o.buf)
	o.buf = AppendResponseHeader(o.buf, key, version, correlationID)
	o.size += len(o.buf) - n
}

// Span references p if it is large, else copies it.
func (o *Out) Span(p []byte) {
	if len(p) < SpanMin {
		o.Append(p)
		return
	}
	o.spans = append(o.spans, span{len(o.buf), p})
	o.size += len(p)
}

// length appends the length of an array.
func (o *Out) length(n int, flexible bool) {
	at := len(o.buf)
	o.buf = appendLength(o.buf, n, flexible)
	o.size += len(o.buf) - at
}

// encode appends what f appends to a slice, which is about size bytes.
func (o *Out) encode(size int, f func([]byte) []byte) {
	if size >= SpanMin && o.frames != nil {
		lent := o.frames.Frame(size)
		b := f(lent[:0])
		o.Span(b)
		if len(b) < SpanMin || len(b) > len(lent) {
			o.frames.Recycle(lent) // it is copied, or has grown out of it
		} else {
			o.After(func() { o.frames.Recycle(lent) })
		}
		return
	}
	n := len(o.buf)
	o.buf = f(o.buf)
	o.size += len(o.buf) - n
}

// BeginFrame leaves room for the size of a frame.
func (o *Out) BeginFrame() {
	o.start = len(o.buf)
	o.buf = append(o.buf, 0, 0, 0, 0)
	o.size += 4
	o.base = o.size
}

// EndFrame fills in the size of the frame opened last.
func (o *Out) EndFrame() { binary.BigEndian.PutUint32(o.buf[o.start:], uint32(o.size-o.base)) }

// Len is the number of bytes collected.
func (o *Out) Len() int { return o.size }

// WriteTo writes everything in one system call where the connection allows it (writev).
func (o *Out) WriteTo(w io.Writer) (int64, error) {
	if len(o.spans) == 0 {
		n, err := w.Write(o.buf)
		return int64(n), err
	}
	bufs := make(net.Buffers, 0, 2*len(o.spans)+1)
	at := 0
	for _, s := range o.spans {
		if s.at > at {
			bufs = append(bufs, o.buf[at:s.at])
		}
		bufs = append(bufs, s.b)
		at = s.at
	}
	if at < len(o.buf) {
		bufs = append(bufs, o.buf[at:])
	}
	return bufs.WriteTo(w)
}

// Bytes returns everything in one slice.
func (o *Out) Bytes() []byte {
	if len(o.spans) == 0 {
		return o.buf
	}
	out := make([]byte, 0, o.size)
	at := 0
	for _, s := range o.spans {
		out = append(append(out, o.buf[at:s.at]...), s.b...)
		at = s.at
	}
	return append(out, o.buf[at:]...)
}

// After has f called by Written: what Span references may be used again then.
func (o *Out) After(f func()) { o.after = append(o.after, f) }

// Before has f called by Writing, with the time in unix nanoseconds.
func (o *Out) Before(f func(at int64)) { o.before = append(o.before, f) }

// Writing tells those that asked for it that everything is about to leave.
func (o *Out) Writing() {
	if len(o.before) == 0 {
		return
	}
	at := time.Now().UnixNano()
	for _, f := range o.before {
		f(at)
	}
}

// Written tells those that asked for it that everything has left.
func (o *Out) Written() {
	for _, f := range o.after {
		f()
	}
}

// Reset forgets everything and keeps a buffer of moderate size.
func (o *Out) Reset() {
	clear(o.spans)
	clear(o.before)
	clear(o.after)
	*o = Out{frames: o.frames, buf: o.buf[:0], spans: o.spans[:0], before: o.before[:0], after: o.after[:0]}
	if cap(o.buf) > 64<<10 {
		o.buf = nil
	}
}
