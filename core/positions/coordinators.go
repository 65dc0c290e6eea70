package positions

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// mostCoordinators is of how many groups of a cluster it is remembered who coordinates them.
const mostCoordinators = 100_000

// Coordinators remembers who coordinates the groups of clusters, so that a request about a group is
// one request. The zero value remembers nothing yet.
type Coordinators struct {
	mu sync.Mutex
	of map[plugin.Cluster]*remembering
}

// Over returns clusters whose coordinators are remembered, in place of those given. What is
// remembered of other clusters is forgotten.
func (r *Coordinators) Over(clusters []plugin.Cluster) (out []plugin.Cluster) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[plugin.Cluster]*remembering{}
	}
	for _, c := range clusters {
		if r.of[c] == nil {
			r.of[c] = &remembering{Cluster: c, nodes: map[string]int32{}}
		}
		out = append(out, r.of[c])
	}
	maps.DeleteFunc(r.of, func(c plugin.Cluster, _ *remembering) bool { return !slices.Contains(clusters, c) })
	return out
}

// remembering is a cluster whose coordinators are remembered until a request to one of them fails.
type remembering struct {
	plugin.Cluster

	mu    sync.Mutex
	nodes map[string]int32 // by group
}

// Coordinator finds a coordinator; that of a group may be the one that it was.
func (r *remembering) Coordinator(ctx context.Context, kind int8, key string) (int32, error) {
	if kind != kafka.GroupCoordinator {
		return r.Cluster.Coordinator(ctx, kind, key)
	}
	r.mu.Lock()
	node, known := r.nodes[key]
	r.mu.Unlock()
	if known {
		return node, nil
	}
	node, err := r.Cluster.Coordinator(ctx, kind, key)
	if err != nil {
		return node, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.nodes) >= mostCoordinators {
		clear(r.nodes)
	}
	r.nodes[key] = node
	return node, nil
}

// forget has the coordinator of a group be looked up again. It reports whether one was remembered.
func (r *remembering) forget(group string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.nodes[group]
	delete(r.nodes, group)
	return known
}

// coordinated calls do with the coordinator of a group, once more if that was none, or is one by
// what is remembered and does not answer.
func coordinated(ctx context.Context, c plugin.Cluster, group string, do func(node int32) error) error {
	for again := true; ; again = false {
		node, err := c.Coordinator(ctx, kafka.GroupCoordinator, group)
		if err != nil {
			return err
		}
		if err = do(node); err == nil {
			return nil
		}
		var r *refused
		other, silent := errors.As(err, &r) && unready(int16(r.code)), errors.Is(err, plugin.ErrUnreachable)
		if !other && !silent {
			return err
		}
		m, remembers := c.(*remembering)
		was := remembers && m.forget(group)
		if !again || ctx.Err() != nil || silent && !was {
			return err
		}
	}
}
