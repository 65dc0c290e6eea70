// Package wire reads and writes frames on connections: buffers that an idle connection gives back,
// and a writer that sends what is ready together in one system call.
package wire

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// Writer writes frames to a connection in the order of the Append calls. There is no goroutine:
// whoever flushes first writes for those that append meanwhile.
type Writer struct {
	conn    net.Conn
	timeout time.Duration
	limit   int

	mu       sync.Mutex
	space    sync.Cond
	pending  *kafka.Out
	spare    *kafka.Out
	flushing bool
	until    time.Time // the deadline of conn, of who flushes
	err      error

	writing atomic.Int64 // when the write began that goes on, in unix nanoseconds; 0: none does
}

// NewWriter returns a writer. Append blocks, and Offer refuses, while more than limit bytes wait; a
// write that takes timeout, or up to a quarter less, fails the writer. conn may be nil until Start.
// What is large is encoded into frames of the pool.
func NewWriter(conn net.Conn, pool *Buffers, limit int, timeout time.Duration) *Writer {
	w := &Writer{conn: conn, limit: limit, timeout: timeout, pending: kafka.NewOut(pool), spare: kafka.NewOut(pool)}
	w.space.L = &w.mu
	return w
}

// Start gives the writer its connection and flushes what was appended before.
func (w *Writer) Start(conn net.Conn) error {
	w.mu.Lock()
	w.conn = conn
	w.mu.Unlock()
	return w.Flush()
}

// Item is a frame that is to be written.
type Item interface {
	// Admit runs under the writer's lock before Encode, so that what it queues elsewhere (the
	// expected reply) is in the same order; its error ends the call.
	Admit() error
	// Encode puts the frame out. It must not block.
	Encode(*kafka.Out)
}

// Offer is an Append that does not wait: it returns false, and leaves the item alone, while more
// than limit bytes wait.
func (w *Writer) Offer(item Item) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && w.pending.Len() > w.limit {
		return false, nil
	}
	return true, w.append(item)
}

// Append queues an item; it leaves with the next Flush. It is encoded before Append returns.
func (w *Writer) Append(item Item) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && w.pending.Len() > w.limit {
		if !w.flushing && w.conn != nil {
			w.flush()
			continue
		}
		w.space.Wait()
	}
	return w.append(item)
}

func (w *Writer) append(item Item) error {
	if w.err != nil {
		return w.err
	}
	if err := item.Admit(); err != nil {
		return err
	}
	item.Encode(w.pending)
	return nil
}

// Flush writes everything appended so far, unless somebody else is already at it.
func (w *Writer) Flush() error {
	_, err := w.TryFlush()
	return err
}

// TryFlush is Flush; it returns false if somebody else is at it, who looks again after this call.
func (w *Writer) TryFlush() (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flushing || w.conn == nil {
		return false, w.err
	}
	w.flush()
	return true, w.err
}

// flush is called with w.mu held; it gives it up while it writes.
func (w *Writer) flush() {
	w.flushing = true
	for w.err == nil && w.pending.Len() > 0 {
		out := w.pending
		w.pending = w.spare
		conn := w.conn
		w.mu.Unlock()
		err := w.extend(conn)
		if err == nil {
			out.Writing()
			_, err = out.WriteTo(conn)
		}
		if err == nil {
			out.Written()
		}
		out.Reset()
		w.writing.Store(0)
		w.mu.Lock()
		w.spare = out
		if w.err == nil {
			w.err = err
		}
		w.space.Broadcast()
	}
	w.flushing = false
}

// extend gives a write its time. To set a deadline costs 3 % of a small write, so that each lasts
// for some.
func (w *Writer) extend(conn net.Conn) error {
	now := time.Now()
	w.writing.Store(now.UnixNano())
	if w.until.Sub(now) >= w.timeout-w.timeout/4 {
		return nil
	}
	w.until = now.Add(w.timeout)
	return conn.SetWriteDeadline(w.until)
}

// Stuck is for how long a write has been going on.
func (w *Writer) Stuck(now time.Time) time.Duration {
	if began := w.writing.Load(); began > 0 {
		return now.Sub(time.Unix(0, began))
	}
	return 0
}

// Fail makes every later call return err and wakes those that wait for space.
func (w *Writer) Fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.space.Broadcast()
}
