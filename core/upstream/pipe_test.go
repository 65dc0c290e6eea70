package upstream

import (
	"io"
	"net"
	"sync"
	"time"
)

// memConn is one side of a connection in memory. Unlike net.Pipe's, and like a socket's, its writes
// don't wait for a reader.
type memConn struct{ in, out *stream }

// stream is one direction.
type stream struct {
	mu          sync.Mutex
	more        sync.Cond
	buf         []byte
	ended, deaf bool // by the writer, by the reader
}

func newStream() *stream {
	s := &stream{}
	s.more.L = &s.mu
	return s
}

func pipe() (near, far net.Conn) {
	a, b := newStream(), newStream()
	return &memConn{a, b}, &memConn{b, a}
}

func (c *memConn) Read(p []byte) (int, error) {
	s := c.in
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) == 0 && !s.ended && !s.deaf {
		s.more.Wait()
	}
	switch {
	case s.deaf:
		return 0, net.ErrClosed
	case len(s.buf) == 0:
		return 0, io.EOF
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

func (c *memConn) Write(p []byte) (int, error) {
	s := c.out
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.deaf {
		return 0, io.ErrClosedPipe
	}
	s.buf = append(s.buf, p...)
	s.more.Broadcast()
	return len(p), nil
}

func (c *memConn) Close() error {
	c.out.end(&c.out.ended)
	c.in.end(&c.in.deaf)
	return nil
}

func (s *stream) end(how *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*how = true
	s.more.Broadcast()
}

func (*memConn) LocalAddr() net.Addr              { return nil }
func (*memConn) RemoteAddr() net.Addr             { return nil }
func (*memConn) SetDeadline(time.Time) error      { return nil }
func (*memConn) SetReadDeadline(time.Time) error  { return nil }
func (*memConn) SetWriteDeadline(time.Time) error { return nil }
