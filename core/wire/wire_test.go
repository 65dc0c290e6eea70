package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/eventually"
)

func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	far = <-accepted
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near, far
}

// counting counts the writes of a connection and holds the first until it is let go.
type counting struct {
	net.Conn
	writes atomic.Int32
	hold   chan struct{}
}

func (c *counting) Write(p []byte) (int, error) {
	if c.writes.Add(1) == 1 {
		<-c.hold
	}
	return c.Conn.Write(p)
}

func frame(o *kafka.Out, p []byte) {
	o.BeginFrame()
	o.Span(p)
	o.EndFrame()
}

// item is a frame.
type item []byte

func (item) Admit() error          { return nil }
func (i item) Encode(o *kafka.Out) { frame(o, i) }

// TestWhatIsReadyTogetherLeavesTogether: frames appended while one is being written leave in one
// write.
func TestWhatIsReadyTogetherLeavesTogether(t *testing.T) {
	near, far := pair(t)
	c := &counting{Conn: near, hold: make(chan struct{})}
	w := NewWriter(c, &Buffers{}, 1<<20, eventually.Limit)
	var wg sync.WaitGroup
	send := func(n byte) {
		if err := errors.Join(w.Append(item{n}), w.Flush()); err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { send(0) })
	for c.writes.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for n := byte(1); n <= 50; n++ {
		send(n)
	}
	close(c.hold)
	wg.Wait()
	r := NewReader(far, &Buffers{})
	defer r.Close()
	for n := byte(0); n <= 50; n++ {
		b, err := r.Frame(100)
		if err != nil || !bytes.Equal(b, []byte{n}) {
			t.Fatalf("frame %d: %x %v", n, b, err)
		}
	}
	if got := c.writes.Load(); got != 2 {
		t.Errorf("%d writes", got)
	}
}

// TestASlowReaderStopsTheWriter: no queue without a bound.
func TestASlowReaderStopsTheWriter(t *testing.T) {
	near, _ := pair(t)
	w := NewWriter(near, &Buffers{}, 1<<20, 300*time.Millisecond)
	piece := make([]byte, 256<<10)
	var err error
	for range 1000 {
		if err = errors.Join(w.Append(item(piece)), w.Flush()); err != nil {
			break
		}
	}
	if err == nil {
		t.Fatal("250 MiB were queued for a peer that does not read")
	}
	if err := w.Append(item{}); err == nil {
		t.Error("a failed writer accepts more")
	}
}

// TestAWriteHasItsTime, however many came before it on the connection.
func TestAWriteHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _ = errors.Join(near.Close(), far.Close()) }()
		w := NewWriter(near, &Buffers{}, 1<<20, time.Second)
		for range 50 {
			go func() { _, _ = io.ReadFull(far, make([]byte, 5)) }()
			if err := errors.Join(w.Append(item{1}), w.Flush()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(110 * time.Millisecond)
		}
		began := time.Now()
		err := errors.Join(w.Append(item{1}), w.Flush()) // nobody reads
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took > time.Second || took < 750*time.Millisecond {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

func TestAReaderHoldsNoBufferWhileItWaits(t *testing.T) {
	near, far := pair(t)
	pool := &Buffers{}
	r := NewReader(far, pool)
	got := make(chan []byte, 1)
	go func() {
		for {
			b, err := r.Frame(1 << 20)
			if err != nil {
				close(got)
				return
			}
			got <- b
		}
	}()
	big := bytes.Repeat([]byte{3}, 300<<10)
	for _, p := range [][]byte{{1}, big, {2}} {
		var o kafka.Out
		frame(&o, p)
		if _, err := o.WriteTo(near); err != nil {
			t.Fatal(err)
		}
		if b := <-got; !bytes.Equal(b, p) {
			t.Errorf("%d bytes came as %d", len(p), len(b))
		}
	}
	_ = near.Close()
	<-got
	if r.buf != nil && r.raw != nil && r.r == r.w && r.err == nil {
		t.Error("the buffer was kept")
	}
	r.Close()
}

func TestGone(t *testing.T) {
	near, far := pair(t)
	if Gone(far) {
		t.Error("gone while open")
	}
	if _, err := near.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	_ = near.(*net.TCPConn).CloseWrite() // half closed, with bytes that nobody has read
	if !eventually.True(func() bool { return Gone(far) }) {
		t.Fatal("a closed peer is not noticed without a read")
	}
	b := make([]byte, 10)
	if n, err := io.ReadFull(far, b[:6]); n != 6 || err != nil {
		t.Errorf("the bytes before the end were lost: %d %v", n, err)
	}
}
