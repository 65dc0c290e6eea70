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

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/wire"
)

// Dispatcher is the end of a chain as sessions use it.
type Dispatcher interface {
	chain.End
	// Flush sends what was started for the session.
	Flush(s *plugin.Session)
}

// Runtime is what a session needs of the current configuration of its virtual cluster.
type Runtime struct {
	Chain    *chain.Chain
	End      Dispatcher
	Versions atomic.Pointer[Versions]
	Limits   config.Limits
	// Tracer traces requests; nil traces none.
	Tracer *telemetry.Tracer
	// Watch counts the traffic of topics and clients that it names.
	Watch *Watch
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
	// Acquire returns the current runtime. Release must be called with it when the request that
	// uses it is answered.
	Acquire() *Runtime
	Release(*Runtime)
}

// Address is what an address that clients connect to stands for: a physical node.
type Address struct {
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
	holds       plugin.Holds
	// topics and clients are those that a Watch has named.
	topics, clients tally
	refused         [len(Refusals)]atomic.Int64 // connections, by why
	// heartbeat is how often a heartbeat is repeated whose answer waits.
	heartbeat time.Duration
	tls       func() *tls.Config
	route     func(serverName string) (cluster string, node int32, ok bool)

	mu       sync.Mutex
	sessions map[*session]struct{}
	closed   bool
	draining atomic.Bool
	wg       guard.Group
	ended    sync.Once
}

var sessionIDs atomic.Uint64

// Options configure a Server.
type Options struct {
	Pool   *wire.Buffers
	Memory *Memory
	Log    *slog.Logger
	// Descriptors is shared by all servers of a process; nil bounds nothing.
	Descriptors *Descriptors
	// TLS is asked for each connection; if it returns a configuration, the connection is a TLS one,
	// and Route maps its server name (SNI) to a node.
	TLS   func() *tls.Config
	Route func(serverName string) (cluster string, node int32, ok bool)
}

// New returns a server; its listeners are the caller's.
func New(v Virtual, o Options) *Server {
	if o.TLS == nil {
		o.TLS = func() *tls.Config { return nil }
	}
	return &Server{
		virtual: v, log: o.Log.With("virtual_cluster", v.Name()), pool: o.Pool, memory: o.Memory, tls: o.TLS, route: o.Route,
		sessions: map[*session]struct{}{}, workers: newWorkers(), heartbeat: 2 * time.Second, descriptors: o.Descriptors,
	}
}

// Sessions is the number of connections.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Refusals are why connections are refused: limits.connections is reached, the process may not open
// more files, the client gets no further than the TLS handshake, or an interceptor wants nothing of
// it.
var Refusals = [...]string{"connections", "files", "handshake", "interceptor"}

const (
	refusedFull = iota
	refusedFiles
	refusedHandshake
	refusedInterceptor
)

// Refused is how many connections were refused, by why.
func (s *Server) Refused() (n [len(Refusals)]int64) {
	for i := range s.refused {
		n[i] = s.refused[i].Load()
	}
	return n
}

// Held are the requests that wait now.
func (s *Server) Held() map[kmsg.Key]plugin.Held { return s.holds.Now() }

// Serve serves a connection that came in on an address. It does not wait.
func (s *Server) Serve(conn net.Conn, addr Address) {
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
			s.refused[refusedFull].Add(1)
			s.log.Warn("connection refused: limits.connections reached", "client", conn.RemoteAddr().String(), "limit", limits.Connections)
		}
		return
	}
	if !s.descriptors.take() {
		s.refused[refusedFiles].Add(1)
		s.mu.Unlock()
		_ = conn.Close()
		s.log.Warn("connection refused: the process may not open more files (ulimit -n)", "client", conn.RemoteAddr().String(), "limit", s.descriptors.most)
		return
	}
	ss := s.newSession(conn, addr, limits)
	s.sessions[ss] = struct{}{}
	s.wg.Go(func() { // under the lock: Close waits for those that were there before
		defer func() {
			s.descriptors.give()
			s.mu.Lock()
			delete(s.sessions, ss)
			s.mu.Unlock()
		}()
		ss.run()
	})
	s.mu.Unlock()
}

// CloseSessions ends all sessions, spread over a time so that their clients don't come back at
// once.
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

// Close ends all sessions, and those that still come.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	all := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	for _, ss := range all { // the last words of TLS wait for a client that does not read
		s.wg.Go(func() { ss.close(net.ErrClosed) })
	}
	s.ended.Do(func() {
		s.wg.Wait()
		s.workers.close()
	})
	return nil
}
