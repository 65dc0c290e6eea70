// Package server is the clients' side: listeners, sessions with their read loop and ordered writer,
// and ApiVersions.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/wire"
)

// End is the end of a chain as sessions use it: requests whose row is empty go there without a
// goroutine of their own.
type End interface {
	plugin.Handler
	// Start sends a request without waiting; done is called once.
	Start(ctx context.Context, req *plugin.Request, flush bool, done func(*plugin.Response, error))
	// Flush sends what Start has queued for the session.
	Flush(s *plugin.Session)
}

// Runtime is what a session needs of the current configuration of its virtual cluster.
type Runtime struct {
	Chain    *plugin.Chain
	End      End
	Versions atomic.Pointer[Versions]
	Limits   config.Limits
	// Tracer traces requests; nil traces none.
	Tracer *telemetry.Tracer
	// Access logs requests; nil logs none.
	Access *Access
	// TopicName is the name of a topic given by id, "" if nobody knows it.
	TopicName func(id [16]byte) string
	// Owner is for the Virtual that made the runtime.
	Owner any
}

// Virtual is a virtual cluster as its listeners see it.
type Virtual interface {
	Name() string
	// Acquire returns the current runtime. Release must be called with it when the request that uses it
	// is answered.
	Acquire() *Runtime
	Release(*Runtime)
}

// Address is one address to listen on and the physical node that it stands for.
type Address struct {
	Listen  string
	Cluster string // "" for the bootstrap address
	Node    int32  // plugin.AnyNode for the bootstrap address
}

// Server accepts the clients of one virtual cluster.
type Server struct {
	virtual Virtual
	log     *slog.Logger
	pool    *wire.Buffers
	memory  *Memory
	slots   sync.Pool
	workers *workers
	traffic traffic
	// captures are those that look at exchanges now; nil for none.
	captures    atomic.Pointer[[]*capture]
	descriptors *Descriptors
	// heartbeat is how often a heartbeat is repeated whose answer waits.
	heartbeat time.Duration
	tls       func() *tls.Config
	route     func(serverName string) (cluster string, node int32, ok bool)

	bound atomic.Pointer[[]*net.TCPAddr] // where it listens

	mu        sync.Mutex
	listeners map[string]*listener
	sessions  map[*session]struct{}
	closed    bool
	draining  atomic.Bool
	wg        guard.Group
}

type listener struct {
	net.Listener
	addr atomic.Pointer[Address]
}

var sessionIDs atomic.Uint64

// Options configure a Server.
type Options struct {
	Pool   *wire.Buffers
	Memory *Memory
	Log    *slog.Logger
	// Descriptors is shared by all servers of a process; nil bounds nothing.
	Descriptors *Descriptors
	// TLS is asked for each connection; if it returns a configuration, the connection is a TLS one, and
	// Route maps its server name (SNI) to a node.
	TLS   func() *tls.Config
	Route func(serverName string) (cluster string, node int32, ok bool)
}

// New returns a server without listeners.
func New(v Virtual, o Options) *Server {
	if o.TLS == nil {
		o.TLS = func() *tls.Config { return nil }
	}
	return &Server{
		virtual: v, log: o.Log.With("virtual_cluster", v.Name()), pool: o.Pool, memory: o.Memory, tls: o.TLS, route: o.Route,
		listeners: map[string]*listener{}, sessions: map[*session]struct{}{}, workers: newWorkers(), heartbeat: 2 * time.Second,
		descriptors: o.Descriptors,
	}
}

// Listen makes the server listen on exactly these addresses: new ones are opened before old ones
// are closed, connections stay. On an error nothing has changed.
func (s *Server) Listen(addrs []Address) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	opened := map[string]*listener{}
	for _, a := range addrs {
		if l := s.listeners[a.Listen]; l != nil {
			continue
		}
		n, err := net.Listen("tcp", a.Listen)
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
			return err
		}
		opened[a.Listen] = &listener{Listener: n}
	}
	keep := map[string]*listener{}
	for _, a := range addrs {
		l := s.listeners[a.Listen]
		if l == nil {
			l = opened[a.Listen]
		}
		l.addr.Store(&a)
		keep[a.Listen] = l
	}
	for name, l := range s.listeners {
		if keep[name] == nil {
			_ = l.Close()
		}
	}
	s.listeners = keep
	var bound []*net.TCPAddr
	for _, l := range keep {
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			bound = append(bound, a)
		}
	}
	s.bound.Store(&bound)
	for _, l := range opened {
		s.wg.Go(func() { guard.Keep(context.Background(), func() { s.accept(l) }) })
	}
	return nil
}

// Listens reports that connections to an address of this machine are accepted here.
func (s *Server) Listens(a *net.TCPAddr) bool {
	bound := s.bound.Load()
	return bound != nil && slices.ContainsFunc(*bound, func(b *net.TCPAddr) bool {
		return a.Port == b.Port && (b.IP.IsUnspecified() || b.IP.Equal(a.IP))
	})
}

// Addresses lists where the server listens.
func (s *Server) Addresses() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []net.Addr
	for _, l := range s.listeners {
		out = append(out, l.Addr())
	}
	return out
}

// Sessions is the number of connections.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

func (s *Server) accept(l *listener) {
	wait := 5 * time.Millisecond
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("accept failed", "address", l.Addr().String(), "error", err)
			time.Sleep(wait) // out of file descriptors: try again, but don't spin
			wait = min(2*wait, time.Second)
			continue
		}
		wait = 5 * time.Millisecond
		s.serve(conn, *l.addr.Load())
	}
}

func (s *Server) serve(conn net.Conn, addr Address) {
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3})
	}
	rt := s.virtual.Acquire()
	limits := rt.Limits
	s.virtual.Release(rt)
	s.mu.Lock()
	if s.closed || s.draining.Load() || (limits.Connections > 0 && len(s.sessions) >= limits.Connections) {
		full := !s.closed && !s.draining.Load()
		s.mu.Unlock()
		_ = conn.Close()
		if full {
			s.log.Warn("connection refused: limits.connections reached", "client", conn.RemoteAddr().String(), "limit", limits.Connections)
		}
		return
	}
	if !s.descriptors.take() {
		s.mu.Unlock()
		_ = conn.Close()
		s.log.Warn("connection refused: the process may not open more files (ulimit -n)", "client", conn.RemoteAddr().String(), "limit", s.descriptors.most)
		return
	}
	ss := s.newSession(conn, addr, limits)
	s.sessions[ss] = struct{}{}
	s.mu.Unlock()
	s.wg.Go(func() {
		defer func() {
			s.descriptors.give()
			s.mu.Lock()
			delete(s.sessions, ss)
			s.mu.Unlock()
		}()
		ss.run()
	})
}

// CloseSessions ends all sessions, spread over a time so that their clients don't come back at once.
func (s *Server) CloseSessions(ctx context.Context, over time.Duration) {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	for _, ss := range all {
		ss.close(errors.New("the versions that clients may use have changed"))
		t := time.NewTimer(over / time.Duration(len(all)))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// Close ends the listeners and all sessions.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, l := range s.listeners {
		_ = l.Close()
	}
	all := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	for _, ss := range all { // the last words of TLS wait for a client that does not read
		s.wg.Go(func() { ss.close(net.ErrClosed) })
	}
	s.wg.Wait()
	s.workers.close()
	return nil
}
