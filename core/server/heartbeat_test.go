package server

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/eventually"
)

// TestHeartbeatsAreRepeatedInAHold: a client that waits for an answer behind a held one can't send
// them.
func TestHeartbeatsAreRepeatedInAHold(t *testing.T) {
	release := make(chan struct{})
	beats := make(chan string, 100)
	s, addr := serve(t, limits(), func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		turn.Give(req.Turn())
		if req.Key == kmsg.Heartbeat {
			msg, err := req.Body.Peek()
			if err != nil {
				return nil, err
			}
			beats <- msg.(*kmsg.HeartbeatRequest).Group
			return ok(req)
		}
		req.Session.Held()
		<-release
		return ok(req)
	})
	s.heartbeat = 10 * time.Millisecond
	c := dial(t, addr)
	c.send(heartbeat("mine"))
	c.receive(kmsg.Heartbeat, 4)
	m := kmsg.NewPtrMetadataRequest()
	m.SetVersion(9)
	c.send(m)
	for range 5 {
		if g := <-beats; g != "mine" {
			t.Errorf("a heartbeat of %q", g)
		}
	}
	close(release)
	c.receive(kmsg.Metadata, 9)
	ss := s.only()
	if !eventually.True(func() bool { // and then no more
		ss.mu.Lock()
		defer ss.mu.Unlock()
		return !ss.beating
	}) {
		t.Fatal("it goes on")
	}
}
