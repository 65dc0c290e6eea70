package routing

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// stalls holds the gates of topics whose home has no reachable leader, and opens them when it has
// one again (or the topic has moved to a home that has).
type stalls struct {
	env    plugin.Env
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	wg     guard.Group
}

type stallHolder struct{}

// Why is for plugin.Holder.
func (stallHolder) Why() (string, trace.SpanContext) {
	return "the home has no leader that takes produces", trace.SpanContext{}
}

func newStalls(env plugin.Env) *stalls {
	ctx, cancel := context.WithCancel(context.Background())
	return &stalls{env: env, ctx: ctx, cancel: cancel}
}

func (s *stalls) close() {
	s.mu.Lock() // nothing begins any more
	s.cancel()
	s.mu.Unlock()
	s.wg.Wait()
}

// hold closes the gate of a topic until its home can take produces.
func (s *stalls) hold(topic string) {
	gate := s.env.Gates.Gate(topic)
	if !gate.Hold(stallHolder{}) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		gate.Release(stallHolder{})
		return
	}
	s.wg.Go(func() {
		defer gate.Release(stallHolder{})
		// All that were on their way come back to their places before anything leaves.
		select {
		case <-gate.Idle():
		case <-s.ctx.Done():
			return
		}
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for !s.ready(topic) {
			select {
			case <-tick.C:
			case <-s.ctx.Done():
				return
			}
		}
	})
}

// ready reports whether every partition of the topic has a leader that answers.
func (s *stalls) ready(topic string) bool {
	t := s.env.Catalog.Topic(topic)
	if t == nil {
		return true // the topic is gone: let the answer say so
	}
	c := s.env.Cluster(t.Home)
	if c == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	topo, err := c.Refresh(ctx)
	if err != nil {
		return false
	}
	pt := topo.Topics[t.Physical(t.Home)]
	if pt == nil {
		return true
	}
	asked := map[int32]bool{}
	for _, p := range pt.Partitions {
		if p.Leader < 0 {
			return false
		}
		if asked[p.Leader] {
			continue
		}
		asked[p.Leader] = true
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		if _, err := c.Do(ctx, p.Leader, req); err != nil {
			return false
		}
	}
	return true
}
