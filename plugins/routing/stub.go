package routing

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// stubs makes hidden topics on the homes of groups for topics that live on another cluster only.
type stubs struct {
	env plugin.Env
	log *slog.Logger
	// busy lets one topic at a time be made on each cluster.
	busy map[string]chan struct{}

	mu      sync.Mutex
	refused map[string]time.Time // when a cluster last refused a topic, by both
}

// refusedPause is for how long a member that repeats itself does not have a refused topic tried
// again.
const refusedPause = 30 * time.Second

// waits reports a topic that a cluster has refused a moment ago.
func (s *stubs) waits(cluster, topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.refused[cluster+"/"+topic]
	return ok && time.Since(at) < refusedPause
}

func (s *stubs) refuse(cluster, topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[cluster+"/"+topic] = time.Now()
}

func newStubs(env plugin.Env) *stubs {
	s := &stubs{env: env, log: env.Log, busy: map[string]chan struct{}{}, refused: map[string]time.Time{}}
	for _, c := range env.Clusters {
		s.busy[c.Name()] = make(chan struct{}, 1)
	}
	return s
}

// Stub makes sure that a cluster takes positions in a topic; one that has refused it a moment ago
// is not asked again.
func (r *Routing) Stub(ctx context.Context, cluster string, t *catalog.Topic) {
	if !r.stubs.waits(cluster, t.Name) {
		r.stubs.ensure(ctx, cluster, t)
	}
}

// ensure makes sure that cluster has the topic, with as many partitions as its home.
func (s *stubs) ensure(ctx context.Context, cluster string, t *catalog.Topic) {
	c := s.env.Cluster(cluster)
	if c == nil || t.Home == cluster || s.has(c, t) || !c.Reachable() {
		return
	}
	select {
	case s.busy[cluster] <- struct{}{}:
		defer func() { <-s.busy[cluster] }()
	case <-ctx.Done():
		return
	}
	if _, err := c.Refresh(ctx); err != nil || s.has(c, t) {
		return
	}
	n := kmsg.NewCreateTopicsRequestTopic()
	n.Topic, n.NumPartitions, n.ReplicationFactor = t.Physical(cluster), int32(len(t.Partitions)), -1
	if pt := c.Topology().Topics[n.Topic]; pt != nil {
		p := kmsg.NewPtrCreatePartitionsRequest()
		pt := kmsg.NewCreatePartitionsRequestTopic()
		pt.Topic, pt.Count = n.Topic, n.NumPartitions
		p.Topics, p.TimeoutMillis = []kmsg.CreatePartitionsRequestTopic{pt}, 10_000
		if _, err := c.Do(ctx, plugin.AnyNode, p); err != nil {
			s.refuse(cluster, t.Name)
			s.log.WarnContext(ctx, "stub not grown", "topic", t.Name, "cluster", cluster, "error", err)
		}
	} else if err := createOn(ctx, c, n); err != nil {
		s.refuse(cluster, t.Name)
		s.log.WarnContext(ctx, "stub not created: commits of this topic will be refused", "topic", t.Name, "cluster", cluster, "error", err)
		return
	} else if err := s.env.Catalog.Update(ctx, t.Name, func(n *catalog.Topic) error {
		if n.Stubs == nil {
			n.Stubs = map[string]bool{}
		}
		n.Stubs[cluster] = true
		return nil
	}); err != nil {
		s.log.WarnContext(ctx, "stub not noted", "topic", t.Name, "cluster", cluster, "error", err)
	}
	_, _ = c.Refresh(ctx)
}

func (s *stubs) has(c plugin.Cluster, t *catalog.Topic) bool {
	pt := c.Topology().Topics[t.Physical(c.Name())]
	return pt != nil && len(pt.Partitions) >= len(t.Partitions)
}
