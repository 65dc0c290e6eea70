package failover

import (
	"slices"

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
		if !whole(list) || !slices.Equal(list, o.offsets[i]) {
			return false
		}
	}
	return e.ids == o.ids
}

// covers reports that the extent tells where every partition of the two sides begins and ends.
func (e extent) covers(partitions int) bool {
	for _, list := range e.offsets {
		if len(list) != partitions || !whole(list) {
			return false
		}
	}
	return true
}

// whole reports that all offsets are known.
func whole(offsets []int64) bool { return len(offsets) > 0 && !slices.Contains(offsets, -1) }
