package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestCountingAllocatesNothing in steady state: a client's name is kept when it changes.
func TestCountingAllocatesNothing(t *testing.T) {
	s := &session{server: &Server{}}
	h := kafka.Header{Key: kmsg.Produce, ClientID: "a", HasClientID: true}
	s.arrives(h, 10)
	sl := &slot{rt: &Runtime{Watch: NewWatch(nil, []string{"a"})}, key: kmsg.Produce, size: 10, out: 20, arrived: time.Now()}
	if n := testing.AllocsPerRun(100, func() {
		s.arrives(h, 10)
		s.leaves(sl, time.Now())
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	a := s.server.Traffic()
	about := fact.Of(t, "%+v", a)
	if fact.Equal(about, "len(a)", len(a), 1) {
		fact.Equal(about, "a[0].Name", a[0].Name, "Produce")
		fact.Equal(about, "a[0].Requests", a[0].Requests, 101)
		fact.Equal(about, "a[0].In", a[0].In, 1010)
		fact.Equal(about, "a[0].Out", a[0].Out, 2020)
	}
	if n := s.count.requests.Load(); n != 102 {
		t.Errorf("%d requests of the session", n)
	}
}

// TestTheTimeOfARequestIsDivided: one that waits in its interceptor is held, the one behind it on
// the connection is queued, and nobody is upstream. The parts are the whole.
func TestTheTimeOfARequestIsDivided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hold = 2 * time.Millisecond
		release := make(chan struct{})
		s := running(t, limits(), noEnd{}, func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
			turn.Give(req.Turn())
			if req.Key == kmsg.Heartbeat {
				resume := req.Pause("test", trace.SpanContext{})
				<-release
				resume()
			}
			return ok(req)
		})
		c := connect(t, s)
		c.send(heartbeat("g"))
		c.send(kmsg.NewPtrLeaveGroupRequest())
		time.Sleep(hold)
		close(release)
		c.receive(kmsg.Heartbeat, 4)
		c.receive(kmsg.LeaveGroup, 0)
		for _, a := range s.Traffic() {
			about := fact.Of(t, "%+v", a)
			fact.Equal(about, "a.Latency.Sum", a.Latency.Sum, hold)
			fact.Equal(about, "a.Latency.Histogram.Count()", a.Latency.Histogram.Count(), 1)
			fact.Equal(about, "a.Gateway.Sum", a.Gateway.Sum, 0)
			fact.Equal(about, "a.Gateway.Histogram.Count()", a.Gateway.Histogram.Count(), 1)
			fact.Equal(about, "a.Upstream.Histogram.Count()", a.Upstream.Histogram.Count(), 0)
			waits, other := a.Held, a.Queued
			if a.Key == kmsg.LeaveGroup {
				waits, other = a.Queued, a.Held
			}
			if waits.Histogram.Count() != 1 || waits.Sum != hold || other.Sum != 0 {
				t.Errorf("%s: %+v", a.Name, a)
			}
		}
		if n := len(s.Traffic()); n != 2 {
			t.Errorf("%d APIs were asked for", n)
		}
	})
}
