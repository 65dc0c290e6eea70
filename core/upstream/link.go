// Package upstream is the clusters' side: links, control links, the known topology of each cluster,
// and the end of every chain, which puts requests on links and hides physical nodes.
package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/wire"
)

// BrokenError says that a link broke while a request was on it.
type BrokenError struct {
	// Sent is false if no byte of the request can have reached the broker.
	Sent  bool
	Cause error

	settle func()
	once   sync.Once
}

// Settle says that the request is answered or back in its place; see plugin.Settle.
func (e *BrokenError) Settle() {
	if e.settle != nil {
		e.once.Do(e.settle)
	}
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("link broken (sent=%t): %v", e.Sent, e.Cause)
}

// ErrorType is what traces call it.
func (*BrokenError) ErrorType() string { return "link_broken" }

// Unwrap makes a BrokenError match plugin.ErrUnreachable.
func (e *BrokenError) Unwrap() []error { return []error{plugin.ErrUnreachable, e.Cause} }

// call is a request on a link. done is called once, with the frame and the body of the response or
// an error.
type call struct {
	key      kmsg.Key
	version  int16
	corr     int32
	deadline time.Time        // zero: none
	encode   func(*kafka.Out) // everything behind the correlation id
	done     func(frame, body []byte, err error)

	seq  uint64 // of the session's request, 0 for others
	link *link
	head [8]byte
	// When the request was handed to the kernel, if it is traced (sets says how that is noted), and
	// the first byte of the reply came, in unix nanoseconds; 0: never.
	sets func(int64)
	sent atomic.Int64
	came int64
}

// Admit queues the call for its reply.
func (c *call) Admit() error { return c.link.admit(c) }

// Encode writes the request's frame.
func (c *call) Encode(o *kafka.Out) {
	binary.BigEndian.PutUint16(c.head[0:], uint16(c.key))
	binary.BigEndian.PutUint16(c.head[2:], uint16(c.version))
	binary.BigEndian.PutUint32(c.head[4:], uint32(c.corr))
	o.BeginFrame()
	o.Append(c.head[:])
	c.encode(o)
	o.EndFrame()
	if c.sets != nil {
		o.Before(c.sets)
	}
}

// dialer opens the connection of a link.
type dialer func(ctx context.Context) (net.Conn, error)

// link is one connection to a broker. Requests leave in the order of send, replies come in the same
// order. It dials at its first request and never again: a broken link is replaced.
type link struct {
	limit  int
	pool   *wire.Buffers
	dial   dialer
	writer *wire.Writer
	onEnd  func(error)
	// unsettled counts, over the links of a session, the produces that failed and are neither
	// answered nor back in their place; nil for control links.
	unsettled *atomic.Int32
	session   *plugin.Session // nil for control links
	ctx       context.Context // of the dial; it ends with the link
	end       context.CancelFunc

	mu      sync.Mutex
	conn    net.Conn
	reader  *wire.Reader      // of conn
	pending wire.Queue[*call] // that wait for their replies
	most    int               // how many may wait; 0: any number
	corr    int32
	err     error
	unsent  error            // of the writer
	where   *telemetry.Where // of conn, once it is asked for
	dialled string           // last
	up      bool
	started bool

	corked bool // the session, by run alone
	// away says that run is not reading: it delivers an answer, or waits for memory. The broker is
	// not late then.
	away   atomic.Bool
	waits  atomic.Bool   // for memory
	queued chan struct{} // signalled by send then
	excuse bool          // away when overdue looked last
}

func newLink(dial dialer, pool *wire.Buffers, limit int, onEnd func(error)) *link {
	l := &link{
		dial: dial, pool: pool, limit: limit, onEnd: onEnd,
		writer: wire.NewWriter(nil, pool, 4<<20, 30*time.Second), queued: make(chan struct{}, 1),
	}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// send puts a request on the link. It does not wait; with flush unset the bytes leave with the next
// flush. A call may be answered, and used again, before send returns.
func (l *link) send(c *call, flush bool) {
	c.link = l
	if err := l.writer.Append(c); err != nil {
		if l.counts(c) {
			l.unsettled.Add(1)
		}
		c.done(nil, nil, l.failure(c, false, err))
		if !errors.Is(err, errCrowded) {
			l.unwritable(err)
		}
		return
	}
	if flush {
		l.flush()
	}
}

// counts reports a call whose failure holds up later produces of its session.
func (l *link) counts(c *call) bool { return l.unsettled != nil && c.key == kmsg.Produce }

// failure is the error of a call; a produce must have been counted.
func (l *link) failure(c *call, sent bool, err error) *BrokenError {
	e := &BrokenError{Sent: sent, Cause: err}
	if l.counts(c) {
		e.settle = func() { l.unsettled.Add(-1) }
	}
	return e
}

// errCrowded refuses a request, and leaves the link as it is.
var errCrowded = errors.New("too many requests wait already")

// admit queues the call for its reply and starts the link at the first one.
func (l *link) admit(c *call) error {
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return l.err
	}
	if l.most > 0 && l.pending.Len() >= l.most {
		defer l.mu.Unlock()
		return errCrowded
	}
	l.corr++
	c.corr = l.corr
	l.pending.Push(c)
	start := !l.started
	l.started = true
	l.mu.Unlock()
	if l.waits.Load() {
		select {
		case l.queued <- struct{}{}:
		default:
		}
	}
	if start {
		guard.Go(l.run)
	}
	return nil
}

func (l *link) flush() {
	if err := l.writer.Flush(); err != nil {
		l.unwritable(err)
	}
}

// halfFrame is how long a broker may take for the rest of a response, or its next MiB, once it has
// begun.
const halfFrame = 30 * time.Second

// lastWords is how long a link that can't be written to is still read.
const lastWords = time.Second

// unwritable breaks a link after the reader has read what the broker answered before it went: a
// batch of which the answer is thrown away would be sent again.
func (l *link) unwritable(err error) {
	l.mu.Lock()
	read, first := l.up && l.err == nil, l.unsent == nil
	if first {
		l.unsent = err
	}
	l.mu.Unlock()
	switch {
	case !read:
		l.fail(err)
	case first:
		guard.After(lastWords, func() { l.fail(err) })
	}
}

func (l *link) run() {
	defer l.fail(errors.New("nobody reads the replies any more")) // after a panic: otherwise it has failed already
	ctx, cancel := context.WithTimeout(l.ctx, dialTimeout)
	conn, err := l.dial(ctx)
	cancel()
	if err != nil {
		l.fail(err)
		return
	}
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		_ = conn.Close()
		return
	}
	r := wire.NewReader(conn, l.pool)
	r.Patience = halfFrame
	defer r.Close()
	l.conn, l.reader, l.up = conn, r, true
	l.mu.Unlock()
	guard.Go(func() { // a broker may wait for its answers to be read before it reads on
		if err := l.writer.Start(conn); err != nil {
			l.unwritable(err)
		}
	})
	if l.session != nil && l.session.AdmitAnswer != nil {
		r.Admit = l.admitAnswer
	}
	for {
		frame, err := r.Frame(l.limit)
		l.away.Store(true)
		if errors.Is(err, wire.ErrSkip) {
			l.skip()
			l.away.Store(false)
			continue
		}
		if err == nil && l.session != nil && !l.corked && r.Buffered() {
			l.session.Cork()
			l.corked = true
		}
		if err == nil {
			err = l.deliver(frame)
		}
		if err != nil || !r.Buffered() {
			l.uncork()
		}
		l.away.Store(false)
		if err != nil {
			if l.session == nil {
				err = stranger(err, l.reader.Heard().UnixNano() > 0)
			}
			l.fail(err)
			return
		}
	}
}

func (l *link) uncork() {
	if l.corked {
		l.session.Uncork()
		l.corked = false
	}
}

// admitAnswer waits until the session has room for the answer that has begun; nothing more is read
// until then.
func (l *link) admitAnswer(n int) error {
	l.mu.Lock()
	if l.pending.Len() == 0 { // deliver refuses it
		l.mu.Unlock()
		return nil
	}
	c := l.pending.First()
	l.mu.Unlock()
	if c.key != kmsg.Fetch && c.key != kmsg.Produce {
		n *= decoded
	}
	api, _ := kafka.Lookup(c.key)
	err := l.session.AdmitAnswer(l.ctx, plugin.Incoming{Seq: c.seq, Size: n, Repeatable: api.Repeatable}, l)
	l.away.Store(false)
	l.waits.Store(false)
	if errors.Is(err, plugin.ErrNoRoom) {
		return wire.ErrSkip
	}
	return err
}

// skip ends the first call, whose answer is thrown away; it is sent again.
func (l *link) skip() {
	l.mu.Lock()
	if l.pending.Len() == 0 { // the link broke meanwhile
		l.mu.Unlock()
		return
	}
	c := l.pending.Pop()
	l.mu.Unlock()
	c.done(nil, nil, l.failure(c, true, plugin.ErrNoRoom))
}

// decoded is how much memory an answer that is decoded takes, in times of its bytes.
const decoded = 3

// Waits is for plugin.AnswerSource: what the session has ready leaves, since its memory may be what
// is waited for.
func (l *link) Waits() {
	l.away.Store(true)
	l.waits.Store(true)
	l.uncork()
}

// Queued is for plugin.AnswerSource: what is queued now may be what the session answers next.
func (l *link) Queued() <-chan struct{} { return l.queued }

// Earliest is for plugin.AnswerSource.
func (l *link) Earliest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	least := uint64(math.MaxUint64)
	for i := range l.pending.Len() {
		if seq := l.pending.At(i).seq; seq > 0 {
			least = min(least, seq)
		}
	}
	return least
}

func (l *link) deliver(frame []byte) error {
	l.mu.Lock()
	if l.pending.Len() == 0 {
		l.mu.Unlock()
		return fmt.Errorf("%w: nothing was asked", errNoAnswer)
	}
	c := l.pending.Pop()
	c.came = l.reader.Began()
	l.mu.Unlock()
	corr, body, err := kafka.ParseResponse(c.key, c.version, frame)
	if err == nil && corr != c.corr {
		err = fmt.Errorf("response %d where %d was due", corr, c.corr)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errNoAnswer, err)
		if l.session == nil {
			err = stranger(err, true)
		}
		if l.counts(c) {
			l.unsettled.Add(1)
		}
		c.done(nil, nil, l.failure(c, true, err))
		return err
	}
	c.done(frame, body, nil)
	return nil
}

// fail breaks the link: every request on it ends with a BrokenError.
func (l *link) fail(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	if l.unsent != nil {
		err = l.unsent
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("closed by the broker")
	}
	l.err = err
	pending, conn, up := l.pending.Drain(), l.conn, l.up
	for _, c := range pending {
		if l.counts(c) {
			l.unsettled.Add(1) // before anybody can see that the link is broken
		}
	}
	l.mu.Unlock()
	l.end()
	l.writer.Fail(err)
	if conn != nil {
		_ = conn.Close()
	}
	if l.onEnd != nil {
		l.onEnd(err)
	}
	for _, c := range pending {
		c.done(nil, nil, l.failure(c, up, err))
	}
}

// broken reports whether the link has failed.
func (l *link) broken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err != nil
}

// dials notes the address that is dialled, as the cluster tells it.
func (l *link) dials(addr string) {
	l.mu.Lock()
	l.dialled = addr
	l.mu.Unlock()
}

// place is where the link leads, for traces: to a node of a cluster, at an address once it is up. A
// nil link was never up.
func (l *link) place(c *Cluster, node int32) *telemetry.Where {
	where := func(server string, peer net.Addr) *telemetry.Where {
		return telemetry.NewWhere(c.cfg.Name, c.Topology().ClusterID, node, server, peer)
	}
	if l == nil {
		return where("", nil)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return where(l.dialled, nil)
	}
	if l.where == nil {
		l.where = where(l.dialled, l.conn.RemoteAddr())
	}
	return l.where
}

// cause is why the link has ended, nil while it has not.
func (l *link) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// errOverdue ends a link whose broker does not answer.
var errOverdue = errors.New("the broker did not answer in time")

// lull is how long nothing comes in on a link whose answer is overdue: a large one may take its
// time.
const lull = 2 * time.Second

// overdue reports whether the request at the head has waited for its reply past its deadline, and
// no part of one comes in, though the link is read.
func (l *link) overdue(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	away, excuse := l.away.Load(), l.excuse
	if l.excuse = away; away || excuse { // what came meanwhile is to be read first
		return false
	}
	if l.pending.Len() == 0 {
		return false
	}
	end := l.pending.First().deadline
	return !end.IsZero() && now.After(end) && (l.reader == nil || now.Sub(l.reader.Heard()) > lull)
}

// Close breaks the link on purpose.
func (l *link) Close() error {
	l.fail(net.ErrClosed)
	return nil
}

// MaybeSent reports whether the request may have reached the broker.
func (e *BrokenError) MaybeSent() bool { return e.Sent }
