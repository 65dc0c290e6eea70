package failover

import (
	"context"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// extents are where the topics of clusters begin and end, and which topics they are: by cluster.
type extents map[string]onCluster

type onCluster struct {
	starts, ends map[string][]int64 // by physical name
	topo         *plugin.Topology
}

// extent is how far a topic and its copy reach.
type extent struct {
	ids     [2][16]byte
	offsets [4][]int64 // start and end at home, start and end of the copy
}

// extents asks every cluster that lives once for all topics: those that have not changed need not be read.
func (r *Runner) extents(ctx context.Context, e Env, topics []*catalog.Topic) extents {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out := extents{}
	if len(e.Clusters) < 2 {
		return out // there are no copies
	}
	for _, c := range e.Clusters {
		if !c.Reachable() {
			continue
		}
		names := make([]string, 0, len(topics))
		for _, t := range topics {
			names = append(names, t.Physical(c.Name()))
		}
		topo := c.Topology()
		c = alone(c)
		out[c.Name()] = onCluster{allOffsets(ctx, c, names, -2), allOffsets(ctx, c, names, -1), topo}
	}
	return out
}

func (e extents) of(t *catalog.Topic, other string) (out extent) {
	for i, cluster := range []string{t.Home, other} {
		name := t.Physical(cluster)
		at := e[cluster]
		out.offsets[2*i], out.offsets[2*i+1] = at.starts[name], at.ends[name]
		if at.topo != nil && at.topo.Topics[name] != nil {
			out.ids[i] = at.topo.Topics[name].ID
		}
	}
	return out
}

// same reports that two extents are known and equal.
func (e extent) same(o extent) bool {
	for i, list := range e.offsets {
		if len(list) == 0 || slices.Contains(list, -1) || !slices.Equal(list, o.offsets[i]) {
			return false
		}
	}
	return e.ids == o.ids
}
