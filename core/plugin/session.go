package plugin

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// Session is one client connection as interceptors see it.
type Session struct {
	ID             uint64
	VirtualCluster string
	// Cluster and Node are the physical node whose virtual address the client dialled; Node is
	// AnyNode on the bootstrap address.
	Cluster string
	Node    int32
	Remote  net.Addr
	// ServerName is the name that the client asked for in TLS (SNI), "" without TLS.
	ServerName string
	// Software is the client's name and version of ApiVersions (KIP-511), "" until it says so.
	Software atomic.Pointer[string]

	// Holds, if not nil, note the requests that wait.
	Holds *Holds
	// Held, if not nil, is told when a request begins to wait in a gate.
	Held func()
	// Decoding, if not nil, returns the bounds of batches that are decoded for one request. What
	// they take is counted until done is called, when nobody uses it any more.
	Decoding func() (within kafka.Bounds, done func())
	// Flush, if not nil, writes answers that were held back while the session was corked.
	Flush func()
	// AdmitAnswer, if not nil, waits until an answer that has begun to come in on a link fits into
	// memory. It fails when ctx, the link's, or the session ends, and with ErrNoRoom.
	AdmitAnswer func(ctx context.Context, a Incoming, from AnswerSource) error
	// GiveUp, if not nil, takes the requests that their Wakers give up out of flight.
	GiveUp func() []gate.GivenUp
	// AwaitFirst, if not nil, waits until no request before seq is left to be answered.
	AwaitFirst func(ctx context.Context, seq uint64) error

	ctx    context.Context
	gone   func() bool
	corked atomic.Int32

	mu       sync.Mutex
	attached map[any]io.Closer
	closed   bool
}

// Incoming is an answer that comes in.
type Incoming struct {
	Seq  uint64 // of its request
	Size int
	// Repeatable says that the request may be sent again, and its answer be thrown away.
	Repeatable bool
}

// ErrNoRoom says that an answer does not fit into memory, and keeps the one from coming in that its
// client gets next.
var ErrNoRoom = errors.New("no room for the answer")

// AnswerSource is a link with an answer that may have to wait.
type AnswerSource interface {
	// Waits is called once before the wait.
	Waits()
	// Queued is signalled when another request is queued while it waits.
	Queued() <-chan struct{}
	// Earliest is the lowest sequence number of the session's requests that the link has not
	// answered.
	Earliest() uint64
}

// NewSession returns a session that lives as long as ctx; gone asks the kernel whether the client
// has closed its side, for a session that has paused reading and sees no end of file. Only servers
// and tests call it.
func NewSession(ctx context.Context, id uint64, remote net.Addr, gone func() bool) *Session {
	return &Session{ID: id, Remote: remote, Node: AnyNode, ctx: ctx, gone: gone, attached: map[any]io.Closer{}}
}

// Context ends with the session.
func (s *Session) Context() context.Context { return s.ctx }

// Decode returns the bounds of batches that are decoded for one request; done is called when nobody
// uses them any more.
func (s *Session) Decode() (within kafka.Bounds, done func()) {
	if s == nil || s.Decoding == nil {
		return kafka.Bounds{}, func() {}
	}
	return s.Decoding()
}

// Gone reports that the client has closed the connection. A held request of such a session is
// dropped: forwarding it later would duplicate it.
func (s *Session) Gone() bool { return s.ctx.Err() != nil || (s.gone != nil && s.gone()) }

// Cork holds back the writing of answers until Uncork, so that those which arrive together leave
// together. Both may be called by several links.
func (s *Session) Cork() { s.corked.Add(1) }

// Uncork ends Cork.
func (s *Session) Uncork() {
	if s.corked.Add(-1) == 0 && s.Flush != nil {
		s.Flush()
	}
}

// Corked reports that somebody will call Uncork.
func (s *Session) Corked() bool { return s.corked.Load() > 0 }

// Attach returns what is attached under key, made by open on first use. It is closed with the
// session. On a closed session open is not called and Attach returns nil.
func (s *Session) Attach(key any, open func() io.Closer) io.Closer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if c, ok := s.attached[key]; ok {
		return c
	}
	c := open()
	s.attached[key] = c
	return c
}

// Attached returns what is attached under key, nil if there is nothing yet.
func (s *Session) Attached(key any) io.Closer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attached[key]
}

// Close closes what is attached. Only the session's owner calls it.
func (s *Session) Close() error {
	s.mu.Lock()
	attached := s.attached
	s.attached, s.closed = nil, true
	s.mu.Unlock()
	for _, c := range attached {
		_ = c.Close()
	}
	return nil
}
