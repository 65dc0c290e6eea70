package server

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
)

// errDrained ends the read loop of a session whose server drains.
var errDrained = errors.New("the gateway ends")

// goodbye is how long a client has to take its last answers and close its side.
const goodbye = time.Second

// Drain lets the server end without cutting requests: it accepts nobody, reads no more requests,
// and ends each session when those that were read are answered. Requests that wait for something to
// happen are answered at once. It returns when no session is left, or ctx ends, with how many are
// left. Close has to follow.
func (s *Server) Drain(ctx context.Context) (left int) {
	s.draining.Store(true)
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	for _, ss := range all {
		_ = ss.socket.SetReadDeadline(time.Unix(1, 0)) // wakes the read loop
		ss.endWaits()
	}
	for _, ss := range all {
		select {
		case <-ss.ended:
		case <-ctx.Done():
			return s.Sessions()
		}
	}
	return 0
}

// endWaits answers the requests that wait for something to happen, such as records: a Fetch with
// none, a JoinGroup as if the coordinator had moved. What comes for them later is dropped.
func (s *session) endWaits() {
	s.mu.Lock()
	var waiting []*slot
	for i := range s.slots.Len() {
		sl := s.slots.At(i)
		if (sl.key == kmsg.Fetch || sl.key == kmsg.JoinGroup) && sl.started.Load() && sl.claimed.CompareAndSwap(false, true) {
			sl.early = true
			waiting = append(waiting, sl)
		}
	}
	s.mu.Unlock()
	for _, sl := range waiting {
		api, _ := kafka.Lookup(sl.key)
		req := &plugin.Request{Body: kafka.NewRequestBody(sl.key, sl.version, sl.asked)}
		req.Key, req.Version = sl.key, sl.version
		resp, err := plugin.Fail(req, api.OnFailure, "")
		if err != nil {
			s.close(err)
		}
		s.answer(sl, resp)
	}
}

// farewell waits until everything that was read is answered and written, and says so to the client:
// to close a connection with requests that were not read would take answers away that the client
// has not read yet.
func (s *session) farewell() error {
	for {
		changed := s.changes()
		s.mu.Lock()
		rest := s.slots.Len() + s.unwritten
		s.mu.Unlock()
		if rest == 0 {
			break
		}
		s.endWaits() // of those that were read last
		select {
		case <-changed:
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
	if s.closeWrite() {
		_ = s.conn.SetReadDeadline(time.Now().Add(goodbye))
		_, _ = io.Copy(io.Discard, s.conn)
	}
	return net.ErrClosed
}

// closeWrite says to the client that nothing more comes.
func (s *session) closeWrite() bool {
	c, ok := s.conn.(interface{ CloseWrite() error })
	return ok && c.CloseWrite() == nil
}

// part ends a session of which everything is written: the client reads its last answers, and what
// it sends meanwhile is read and thrown away.
func (s *session) part() {
	s.parts.Do(func() {
		s.parting.Store(true)
		if !s.closeWrite() {
			s.close(io.EOF)
			return
		}
		guard.After(goodbye, func() { s.close(io.EOF) })
	})
}

// next reads a request; errDrained ends it when no whole one is there and the server drains.
func (s *session) next(r *wire.Reader) ([]byte, error) {
	for {
		if s.limits.IdleTimeout > 0 && s.inFlight.Load() == 0 {
			if err := s.conn.SetReadDeadline(time.Now().Add(s.limits.IdleTimeout)); err != nil {
				return nil, err
			}
		}
		if s.server.draining.Load() && !r.Buffered() { // a deadline that was set before has been set again
			return nil, errDrained
		}
		frame, err := r.Frame(s.limits.FrameBytes)
		switch {
		case err == nil || s.ctx.Err() != nil:
			return frame, err
		case s.server.draining.Load() && (timedOut(err) || errors.Is(err, wire.ErrStalled)):
			return nil, errDrained
		case !timedOut(err):
			return nil, err
		case s.inFlight.Load() == 0:
			return nil, err
		}
		// Not idle: an answer is still due.
		_ = s.conn.SetReadDeadline(time.Now().Add(s.limits.IdleTimeout))
	}
}
