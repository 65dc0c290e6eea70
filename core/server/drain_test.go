package server

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// busy is a server whose requests are answered when they are released, or never.
func busy(t *testing.T) (s *Server, addr string, running chan kmsg.Key, release chan struct{}) {
	release, running = make(chan struct{}), make(chan kmsg.Key, 100)
	s, addr = serve(t, limits(), func(ctx context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		turn.Give(req.Turn())
		running <- req.Key
		select {
		case <-release:
			return ok(req)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	return s, addr, running, release
}

// drain drains a server for at most a time, and tells when that is over.
func drain(t *testing.T, s *Server, most time.Duration) <-chan struct{} {
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(context.Background(), most)
	t.Cleanup(cancel)
	go func() {
		defer close(done)
		s.Drain(ctx)
	}()
	until(t, "the server drains", func() bool { return s.draining.Load() })
	return done
}

func (c *client) ends() {
	c.t.Helper()
	if _, err := kafka.ReadFrame(c, 1<<20, nil); !errors.Is(err, io.EOF) {
		c.t.Errorf("the connection does not end: %v", err)
	}
}

// TestWhatWasReadIsAnswered before the server ends, to the last of sixteen pipelined requests of
// several clients.
func TestWhatWasReadIsAnswered(t *testing.T) {
	s, addr, running, release := busy(t)
	idle := dial(t, addr)
	var all []*client
	for range 4 {
		c := dial(t, addr)
		for range 4 {
			c.send(heartbeat("g"))
		}
		all = append(all, c)
	}
	for range 16 {
		<-running
	}
	drained := drain(t, s, time.Minute)
	idle.ends()
	dial(t, addr).ends() // the listener is its owner's, who closes it
	for _, c := range all {
		c.send(heartbeat("too late"))
	}
	close(release)
	for _, c := range all {
		for want := int32(1); want <= 4; want++ {
			if corr, _ := c.receive(kmsg.Heartbeat, 4); corr != want {
				t.Errorf("answer %d, want %d", corr, want)
			}
		}
		c.ends()
		_ = c.Close()
	}
	<-drained
	if len(running) != 0 {
		t.Errorf("%d requests were read while it drained", len(running))
	}
}

// TestWhatWaitsIsAnsweredEarly: nothing may ever come for it.
func TestWhatWaitsIsAnsweredEarly(t *testing.T) {
	s, addr, running, _ := busy(t)
	a, b := dial(t, addr), dial(t, addr)
	a.send(fetch(12, 0, -1, "large/0@7"))
	join := kmsg.NewPtrJoinGroupRequest()
	join.SetVersion(5)
	join.Group = "g"
	b.send(join)
	<-running
	<-running
	drained := drain(t, s, time.Minute)
	_, msg := a.receive(kmsg.Fetch, 12)
	f := msg.(*kmsg.FetchResponse)
	about := fact.Of(t, "the fetch is answered with %+v", f)
	fact.Equal(about, "f.ErrorCode", f.ErrorCode, 0)
	if fact.Equal(about, "len(f.Topics)", len(f.Topics), 1) {
		fact.Equal(about, "f.Topics[0].Partitions[0].ErrorCode", f.Topics[0].Partitions[0].ErrorCode, 0)
		fact.Equal(about, "len(f.Topics[0].Partitions[0].RecordBatches)", len(f.Topics[0].Partitions[0].RecordBatches), 0)
	}
	_, msg = b.receive(kmsg.JoinGroup, 5)
	if code := msg.(*kmsg.JoinGroupResponse).ErrorCode; code != 16 {
		t.Errorf("the join is answered with %d", code)
	}
	a.ends()
	b.ends()
	_, _ = a.Close(), b.Close()
	<-drained
}

// TestTheLimitCuts what is not answered by then.
func TestTheLimitCuts(t *testing.T) {
	s, addr, running, _ := busy(t)
	c := dial(t, addr)
	c.send(heartbeat("g"))
	<-running
	<-drain(t, s, 50*time.Millisecond)
	_ = s.Close()
	c.ends()
}
