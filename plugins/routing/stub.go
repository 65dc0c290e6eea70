package routing

import (
	"context"
	"log/slog"

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
}

func newStubs(env plugin.Env) *stubs {
	s := &stubs{env: env, log: env.Log, busy: map[string]chan struct{}{}}
	for _, c := range env.Clusters {
		s.busy[c.Name()] = make(chan struct{}, 1)
	}
	return s
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
			s.log.WarnContext(ctx, "stub not grown", "topic", t.Name, "cluster", cluster, "error", err)
		}
	} else if err := createOn(ctx, c, n); err != nil {
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
