package server

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// silent is a produce with acks=0.
func silent() *kmsg.ProduceRequest {
	p := kmsg.NewPtrProduceRequest()
	p.SetVersion(9)
	p.Acks = 0
	p.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: []byte("records")}}}}
	return p
}

// TestAFailedAcksZeroEndsItsSession once what was asked before is answered, however it has failed,
// and nothing behind it is answered.
func TestAFailedAcksZeroEndsItsSession(t *testing.T) {
	for name, fail := range map[string]run{
		"refused": func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
			return plugin.Fail(req, 3, "")
		},
		"failed": func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) {
			return nil, errors.New("test")
		},
		"panicked": func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) { panic("test") },
	} {
		t.Run(name, func(t *testing.T) {
			failed := make(chan struct{})
			_, addr := serve(t, limits(), func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
				turn.Give(req.Turn())
				switch {
				case req.Seq == 1:
					<-failed
				case req.Key == kmsg.Produce:
					defer close(failed)
					return fail(ctx, req, next)
				}
				return ok(req)
			})
			c := dial(t, addr)
			first := c.send(heartbeat("before"))
			c.send(silent())
			c.send(heartbeat("behind"))
			if corr, _ := c.receive(kmsg.Heartbeat, 4); corr != first {
				t.Errorf("answer %d where %d was due", corr, first)
			}
			c.ended()
		})
	}
}

// TestWhatComesBehindAFailedAcksZeroIsThrownAway, also while the session still waits for an answer
// that is due.
func TestWhatComesBehindAFailedAcksZeroIsThrownAway(t *testing.T) {
	release := make(chan struct{})
	var ran atomic.Int32
	s, addr := serve(t, limits(), func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		turn.Give(req.Turn())
		switch {
		case req.Key == kmsg.Produce:
			return plugin.Fail(req, 6, "")
		case req.Seq == 1:
			<-release
		default:
			ran.Add(1)
		}
		return ok(req)
	})
	c := dial(t, addr)
	c.send(heartbeat("before"))
	c.send(silent())
	until(t, "the produce has failed", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for ss := range s.sessions {
			return ss.parting.Load()
		}
		return false
	})
	for range 50 {
		c.send(heartbeat("behind"))
	}
	close(release)
	c.receive(kmsg.Heartbeat, 4)
	c.ended()
	if n := ran.Load(); n != 0 {
		t.Errorf("%d requests behind it were carried out", n)
	}
}

// TestAcksZeroThatWorkedIsNotAnswered, and what it held is given back.
func TestAcksZeroThatWorkedIsNotAnswered(t *testing.T) {
	var released atomic.Int32
	s, addr := serve(t, limits(), func(_ context.Context, req *plugin.Request, _ plugin.Handler) (*plugin.Response, error) {
		resp, err := ok(req)
		if req.Key == kmsg.Produce {
			resp.Release = func() { released.Add(1) }
		}
		return resp, err
	})
	c := dial(t, addr)
	var want, got []int32
	for range 3 {
		c.send(silent())
		want = append(want, c.send(heartbeat("behind")))
	}
	for range want {
		corr, _ := c.receive(kmsg.Heartbeat, 4)
		got = append(got, corr)
	}
	if !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
	if n := released.Load(); n != 3 {
		t.Errorf("%d answers of 3 given back", n)
	}
	until(t, "nothing is held", func() bool { return s.memory.Used() == 0 })
}
