package server

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
)

const (
	writeTimeout = 60 * time.Second
	writeLimit   = 8 << 20
	lookAgain    = time.Second // at the socket of a client that is not read from
	// halfFrame is how long a client may take for the rest of a request, or its next MiB, once it
	// has begun. freeFrame is what a request may take before it is there that never waits for
	// memory.
	halfFrame = 30 * time.Second
	freeFrame = 256 << 10
)

// session is one client connection: a read loop that starts requests in the order in which they
// were read, and a queue of slots whose answers leave in that order.
type session struct {
	server *Server
	conn   net.Conn
	socket net.Conn // below TLS
	limits config.Limits
	shared *plugin.Session
	ctx    context.Context
	cancel context.CancelCauseFunc
	writer *wire.Writer
	turn   chan struct{}
	ended  chan struct{} // closed when the session has ended
	look   *time.Timer   // of awaitTurn

	mu        sync.Mutex
	changed   chan struct{} // closed when something below changes that is waited for; nil while nobody waits
	slots     wire.Queue[*slot]
	bytes     int64       // of requests and answers
	answers   int64       // of answers alone
	unwritten int         // answers that have left slots
	crowded   bool        // an answer that is due waits for the writer
	ends      bool        // when everything is written
	parting   atomic.Bool // what is still read is thrown away
	parts     sync.Once
	seq       uint64
	dropped   bool // the slots are given back; what is still at work gives its runtime back itself
	inFlight  atomic.Int32
	clientID  string // of the last request
	count     counters
	beat      *beat // the last heartbeat, nil before the first
	beating   bool
	pass      func() // lets the read loop go on
	fetches   *fetchSession
}

func (s *Server) newSession(conn net.Conn, addr Address, limits config.Limits) *session {
	ctx, cancel := context.WithCancelCause(context.Background())
	ss := &session{server: s, conn: conn, socket: conn, limits: limits, ctx: ctx, cancel: cancel, turn: make(chan struct{}, 1), ended: make(chan struct{})}
	ss.count.since = time.Now()
	ss.pass = func() { ss.turn <- struct{}{} }
	ss.shared = plugin.NewSession(ctx, sessionIDs.Add(1), conn.RemoteAddr(), func() bool { return wire.Gone(conn) })
	ss.shared.Holds = &s.holds
	ss.shared.Flush, ss.shared.Held, ss.shared.Decoding = ss.flush, ss.held, ss.decoding
	ss.shared.AdmitAnswer, ss.shared.AwaitFirst, ss.shared.GiveUp = ss.admitAnswer, ss.awaitFirst, ss.giveUp
	ss.shared.VirtualCluster, ss.shared.Cluster, ss.shared.Node = s.virtual.Name(), addr.Cluster, addr.Node
	return ss
}

// decoding bounds what is decoded for a request, and counts it.
func (s *session) decoding() (kafka.Bounds, func()) {
	i := s.server.memory.Inflate(s.ctx)
	return kafka.Bounds{Most: s.limits.BatchBytes, Grow: i.Grow}, i.Done
}

// close ends the session; its goroutines follow.
func (s *session) close(why error) {
	s.cancel(why)
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	_ = conn.Close()
}

func (s *session) run() {
	defer s.over()
	if !s.begun() {
		return
	}
	defer s.closed()
	s.report(s.serve())
}

// over ends what is left of a session.
func (s *session) over() {
	s.close(io.EOF)
	_ = s.shared.Close()
	s.drop()
	close(s.ended)
}

// begun is false for a client that is refused.
func (s *session) begun() bool {
	if cfg := s.server.tls(); cfg != nil {
		if err := s.handshake(cfg); err != nil {
			s.server.refused[refusedHandshake].Add(1)
			s.server.log.Debug("TLS handshake failed", "client", s.conn.RemoteAddr().String(), "error", err)
			return false
		}
	}
	if err := s.opened(); err != nil {
		s.server.refused[refusedInterceptor].Add(1)
		s.server.log.Info("session refused", "client", s.conn.RemoteAddr().String(), "error", err)
		return false
	}
	return true
}

// serve answers requests until the connection ends. An idle connection keeps the stack of what
// calls read: what is said before and behind it is said elsewhere.
func (s *session) serve() error {
	s.writer = wire.NewWriter(s.conn, s.server.pool, writeLimit, writeTimeout)
	s.server.memory.enter(s)
	defer s.server.memory.leave(s)
	r := wire.NewReader(s.conn, s.server.pool)
	defer r.Close()
	half := &Inflation{m: s.server.memory, ctx: s.ctx, free: freeFrame}
	r.Patience, r.Idle, r.Claim = halfFrame, s.limits.IdleTimeout, half.Grow
	return s.read(r)
}

// report says why a session ended, if that is of interest.
func (s *session) report(err error) {
	var unsupported *kafka.UnsupportedError
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), s.ctx.Err() != nil:
	case errors.As(err, &unsupported):
		s.server.log.Warn("session closed: the client uses an API or version that was not offered", "client", s.conn.RemoteAddr().String(), "error", err)
	default:
		s.server.log.Info("session closed", "client", s.conn.RemoteAddr().String(), "error", err)
	}
}

// opened shows the session to those who observe sessions.
func (s *session) opened() error {
	rt := s.server.virtual.Acquire()
	defer s.server.virtual.Release(rt)
	return rt.Chain.Open(s.ctx, s.shared)
}

func (s *session) closed() {
	rt := s.server.virtual.Acquire()
	defer s.server.virtual.Release(rt)
	rt.Chain.Closed(context.WithoutCancel(s.ctx), s.shared)
}

// drop gives back what the unanswered slots hold; those still at work are not used again.
func (s *session) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = true
	s.dropFetches()
	s.server.memory.End(s, s.answers, s.bytes-s.answers)
	s.bytes, s.answers = 0, 0
	for _, sl := range s.slots.Drain() {
		if sl.done {
			s.server.virtual.Release(sl.rt)
		}
	}
}

// read reads requests until the connection ends.
func (s *session) read(r *wire.Reader) error {
	var pending unflushed // what must be flushed before the loop may block
	for {
		if !r.Buffered() {
			pending.flush(s)
		}
		frame, err := s.next(r)
		if errors.Is(err, errDrained) {
			pending.flush(s)
			return s.farewell()
		}
		if err != nil {
			return err
		}
		if s.parting.Load() {
			s.server.pool.Recycle(frame)
			continue
		}
		if err := s.admitRequest(int64(len(frame)), &pending); err != nil {
			return err
		}
		if err := s.start(frame, r.Buffered(), &pending); err != nil {
			return err
		}
	}
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// unflushed remembers the dispatcher that has requests which were not flushed.
type unflushed struct{ end Dispatcher }

func (p *unflushed) flush(s *session) {
	if p.end != nil {
		p.end.Flush(s.shared)
		p.end = nil
	}
}

// start parses one request and runs it. It returns when the request has given its turn on.
func (s *session) start(frame []byte, more bool, pending *unflushed) error {
	h, body, err := kafka.ParseHeader(frame, s.clientID)
	if err != nil && (h.Key != kmsg.ApiVersions || !isUnsupported(err)) {
		s.server.memory.Done(int64(len(frame)))
		return err
	}
	s.arrives(h, len(frame))
	rt := s.server.virtual.Acquire()
	sl := s.server.slot(s, rt, h, frame)
	s.mu.Lock()
	s.slots.Push(sl)
	s.bytes += sl.request
	s.seq++
	seq := s.seq
	sl.seq = seq
	s.mu.Unlock()
	s.inFlight.Add(1)
	versions := rt.Versions.Load()
	switch {
	case err != nil: // a version of the future
		sl.version = 0
		s.answerNow(sl, h, body, versions.Unsupported())
		return nil
	case h.Key == kmsg.ApiVersions:
		resp, err := versions.Answer(s.shared, h.Version, body)
		s.answerNow(sl, h, body, resp)
		return err
	case !versions.Offers(h.Key, h.Version):
		s.answer(sl, nil)
		return &kafka.UnsupportedError{Key: h.Key, Version: h.Version}
	case h.Key == kmsg.SASLHandshake, h.Key == kmsg.SASLAuthenticate:
		resp, err := refuseSASL(h, body)
		s.answerNow(sl, h, body, resp)
		return err
	case h.Key == kmsg.Fetch:
		full, refused, err := s.endFetchSession(sl, body)
		if err != nil || refused != nil {
			s.answerNow(sl, h, body, refused)
			return err
		}
		body = full
	}
	w := rt.Chain.Walk(h.Key)
	sl.asked, sl.walk = body, w
	sl.started.Store(true)
	s.fill(&w.Req, h, seq, sl.arrived)
	if err := w.SetBody(body); err != nil {
		s.answer(sl, nil)
		return err
	}
	w.Req.Clock, sl.clock = &w.Clock, &w.Clock
	w.Req.Sampled = rand.Uint32()%chain.SampledOf == 0
	if h.Key == kmsg.Heartbeat {
		s.remember(h, w.Req.Body.Bytes())
	}
	if w.Begin(s.trace(rt, w, sl), sl.finish) {
		pending.end = rt.End
		return nil
	}
	w.Req.SetTurn(s.pass)
	w.Req.More = more
	s.server.workers.run(w)
	runtime.Gosched() // let it queue
	select {
	case <-s.turn:
	default: // it takes longer: those before it must not wait
		pending.flush(s)
		if err := s.awaitTurn(); err != nil {
			return err
		}
	}
	if more {
		pending.end = rt.End // it may be queued without a flush
	}
	return nil
}

// awaitTurn waits until the last request has given its turn on. Like all that does not read, it
// looks at the socket each second.
func (s *session) awaitTurn() error {
	if s.look == nil {
		s.look = time.NewTimer(lookAgain)
	} else {
		s.look.Reset(lookAgain)
	}
	defer s.look.Stop()
	for {
		select {
		case <-s.turn:
			return nil
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-s.look.C:
			if s.shared.Gone() {
				return io.EOF
			}
			s.look.Reset(lookAgain)
		}
	}
}

// answerNow answers a request that does not go down the chain.
func (s *session) answerNow(sl *slot, h kafka.Header, body []byte, resp *plugin.Response) {
	if sl.rt.Access != nil && resp != nil {
		req := &plugin.Request{Body: kafka.NewRequestBody(h.Key, h.Version, body)}
		s.fill(req, h, 0, sl.arrived)
		s.told(req, sl, resp, nil)
	}
	s.answer(sl, resp)
}

func isUnsupported(err error) bool {
	var unsupported *kafka.UnsupportedError
	return errors.As(err, &unsupported)
}

// fill makes a request of a header.
func (s *session) fill(req *plugin.Request, h kafka.Header, seq uint64, arrived time.Time) {
	req.Header, req.Session, req.Seq, req.Arrived = h, s.shared, seq, arrived
	req.Target = plugin.Target{Node: plugin.AnyNode}
}

var errPanicked = errors.New("the gateway failed: see its log")

// finish answers a request; an error becomes the code that the api table names. A panic ends the
// session, since the request is answered by nobody any more.
func (s *session) finish(req *plugin.Request, sl *slot, resp *plugin.Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			s.close(errPanicked)
			panic(v)
		}
	}()
	if !sl.claimed.CompareAndSwap(false, true) {
		return // it was answered because the server drains
	}
	silent := req.Unanswered()
	if err != nil {
		defer plugin.Settle(err)
		if s.ctx.Err() != nil || errors.Is(err, gate.ErrClientGone) || plugin.Closes(err) {
			s.told(req, sl, nil, err)
			s.close(err)
			s.answer(sl, nil)
			return
		}
		var worse error
		if resp, worse = s.failure(req, err); worse != nil {
			s.told(req, sl, nil, worse)
			s.close(worse)
			s.answer(sl, nil)
			return
		}
	}
	s.told(req, sl, resp, err)
	s.watchRecords(req, sl, resp)
	if silent {
		s.captured(req, nil)
		s.unanswered(req, sl, resp, err)
		return
	}
	s.captured(req, resp)
	s.answer(sl, resp)
}

// unanswered ends a produce with acks=0. One that failed ends the connection, as a broker ends it:
// what was asked before is answered, and nothing that comes behind is looked at.
func (s *session) unanswered(req *plugin.Request, sl *slot, resp *plugin.Response, err error) {
	code := kafka.None
	if resp != nil {
		code = resp.Body.ErrorCode()
	}
	if code != 0 || err != nil {
		s.server.log.Debug("session ends: a produce with acks=0 failed", "client", s.conn.RemoteAddr().String(), "client_id", req.ClientID, "code", code.Name(), "error", err)
		s.mu.Lock()
		sl.ends = true
		s.mu.Unlock()
		s.parting.Store(true)
	}
	if resp != nil && resp.Release != nil {
		resp.Release()
	}
	s.answer(sl, nil)
}

// failure makes the answer of a request that could not be carried out.
func (s *session) failure(req *plugin.Request, err error) (*plugin.Response, error) {
	var malformed *kafka.MalformedError
	if errors.As(err, &malformed) && !malformed.Response {
		return nil, err
	}
	var panicked *plugin.PanicError
	ctx := trace.ContextWithSpanContext(s.ctx, req.Trace.Context())
	log := s.server.log.With("client", s.conn.RemoteAddr().String(), "client_id", req.ClientID, "api", kmsg.NameForKey(int16(req.Key)))
	if errors.As(err, &panicked) {
		log.ErrorContext(ctx, "request failed", "error", err)
	} else {
		log.DebugContext(ctx, "request failed", "error", err)
	}
	api, _ := kafka.Lookup(req.Key)
	return plugin.Fail(req, api.OnFailure, "")
}
