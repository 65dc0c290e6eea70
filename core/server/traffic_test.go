package server

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// TestCountingAllocatesNothing in steady state: a client's name is kept when it changes.
func TestCountingAllocatesNothing(t *testing.T) {
	s := &session{server: &Server{}}
	h := kafka.Header{Key: kmsg.Produce, ClientID: "a", HasClientID: true}
	s.arrives(h, 10)
	sl := &slot{key: kmsg.Produce, size: 10, out: 20, arrived: time.Now()}
	if n := testing.AllocsPerRun(100, func() {
		s.arrives(h, 10)
		s.leaves(sl, time.Now())
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	a := s.server.Traffic()
	if len(a) != 1 || a[0].Name != "Produce" || a[0].Requests != 101 || a[0].In != 1010 || a[0].Out != 2020 {
		t.Errorf("%+v", a)
	}
	if n := s.count.requests.Load(); n != 102 {
		t.Errorf("%d requests of the session", n)
	}
}

// TestTheTimeOfARequestIsDivided: one that waits in its interceptor is held, the one behind it on the connection is
// queued, and nobody is upstream. The parts are the whole.
func TestTheTimeOfARequestIsDivided(t *testing.T) {
	release := make(chan struct{})
	s, addr := serve(t, limits(), func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		req.Queued()
		if req.Key == kmsg.Heartbeat {
			req.Pause()
			<-release
			req.Resume()
		}
		return ok(req)
	})
	c := dial(t, addr)
	c.send(heartbeat("g"))
	second := kmsg.NewPtrLeaveGroupRequest()
	c.send(second)
	for len(s.Clients()) == 0 || s.Clients()[0].Requests < 2 || s.Clients()[0].InFlight > 1 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(2 * time.Millisecond) // it is a hold only after one
	close(release)
	c.receive(kmsg.Heartbeat, 4)
	c.receive(kmsg.LeaveGroup, 0)
	for _, a := range s.Traffic() {
		whole := a.Gateway.Sum + a.Held.Sum + a.Upstream.Sum + a.Queued.Sum
		if a.Latency.Sum != whole || a.Latency.Histogram.Count() != 1 || a.Gateway.Histogram.Count() != 1 || a.Upstream.Histogram.Count() != 0 {
			t.Errorf("%+v", a)
		}
		waits, other := a.Held, a.Queued
		if a.Key == kmsg.LeaveGroup {
			waits, other = a.Queued, a.Held
		}
		if waits.Histogram.Count() != 1 || waits.Sum < 2*time.Millisecond || other.Sum != 0 {
			t.Errorf("%s: %+v", a.Name, a)
		}
	}
}
