package upstream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// byLeader splits a request by the leaders of its partitions and merges the answers. Partitions
// without a known leader make it fail as unreachable, so that it is repeated.
func (e *Dispatcher) byLeader(ctx context.Context, req *plugin.Request, c *Cluster) (*plugin.Response, error) {
	topo := c.Topology()
	if req.Key == kmsg.Produce && !c.knowsLeaders(ctx, req, &topo) {
		return nil, &BrokenError{Cause: fmt.Errorf("%s: no leader", c.cfg.Name)}
	}
	keys, bodies, err := fork.Split(req.Body, func(p fork.Part) int32 {
		name := p.Topic
		if t := topo.IDs[p.ID]; t != nil {
			name = t.Name
		}
		node, _ := topo.Leader(name, p.Partition)
		return node
	})
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return e.anyNode(ctx, req, c)
	}
	forks := req.Fork(len(keys), "leader")
	for i, node := range keys {
		forks[i].Body = bodies[i]
		forks[i].Target = plugin.Target{Cluster: c.cfg.Name, Node: node}
	}
	return fork.Gather(forks, fork.Parallel(ctx, forks, plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		if f.Target.Node < 0 {
			// Nobody knows these partitions or they have no leader: the first node says which.
			if c.Reachable() {
				return e.anyNode(ctx, f, c)
			}
			return nil, &BrokenError{Cause: fmt.Errorf("%s: no leader", c.cfg.Name)}
		}
		return e.exchange(ctx, f, c, f.Target.Node)
	})))
}

// knowsLeaders reports whether every partition of a produce has a known leader, or is unknown to
// the cluster as well, which asks the cluster once and lets a broker say so. A batch sent to a
// wrong broker would be refused while the next one, sent to the right one, is not.
func (c *Cluster) knowsLeaders(ctx context.Context, req *plugin.Request, topo **plugin.Topology) bool {
	for attempt := 0; ; attempt++ {
		missing := false
		t := *topo
		_, _, err := fork.Split(req.Body, func(p fork.Part) bool {
			name := p.Topic
			if x := t.IDs[p.ID]; x != nil {
				name = x.Name
			}
			if node, _ := t.Leader(name, p.Partition); node < 0 {
				missing = missing || attempt == 0 || t.Has(name, p.Partition)
			}
			return true
		})
		if err != nil || !missing {
			return true
		}
		if attempt > 0 {
			return false
		}
		rctx, cancel := context.WithTimeout(ctx, healthTimeout)
		next, err := c.Refresh(rctx)
		cancel()
		if err != nil {
			return false
		}
		*topo = next
	}
}

// anyNode asks some node of the cluster, preferring those that answer.
func (e *Dispatcher) anyNode(ctx context.Context, req *plugin.Request, c *Cluster) (*plugin.Response, error) {
	return e.exchange(ctx, req, c, plugin.AnyNode)
}

// coordinator looks up who coordinates the group or transaction that the request names.
func (e *Dispatcher) coordinator(ctx context.Context, req *plugin.Request, c *Cluster) (int32, error) {
	kind, key, ok := kafka.CoordinatorKey(req.Body)
	if !ok {
		return plugin.AnyNode, nil
	}
	return c.Coordinator(ctx, kind, key)
}
