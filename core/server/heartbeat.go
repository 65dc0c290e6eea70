package server

import (
	"bytes"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// beat is a heartbeat that a client has sent.
type beat struct {
	header kafka.Header
	body   []byte
}

// remember notes the session's last heartbeat.
func (s *session) remember(h kafka.Header, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beat = &beat{h, bytes.Clone(body)}
}

// held is called when a request of the session begins to wait in a gate. Answers leave in order, so
// that a client with one connection, which waits for a fetch behind the held produce, can't send
// heartbeats: its last one is repeated until answers leave again.
func (s *session) held() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.beat == nil || s.beating || s.dropped {
		return
	}
	s.beating = true
	s.server.wg.Go(s.keepAlive)
}

func (s *session) keepAlive() {
	tick := time.NewTicker(s.server.heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		b := s.beat
		if s.slots.Len() == 0 || time.Since(s.slots.First().arrived) < s.server.heartbeat {
			s.beating = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		rt := s.server.virtual.Acquire()
		req := &plugin.Request{
			Header: b.header, Body: kafka.NewRequestBody(kmsg.Heartbeat, b.header.Version, b.body), Session: s.shared,
			Target: plugin.Target{Node: plugin.AnyNode}, Arrived: time.Now(),
		}
		// The answer is the client's next heartbeat's to get.
		_, _ = plugin.Protect(s.ctx, req, rt.Chain.Row(kmsg.Heartbeat))
		s.server.virtual.Release(rt)
	}
}
