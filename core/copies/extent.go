package copies

import (
	"slices"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Extents are where the topics of clusters begin and end, and which topics they are: by cluster.
type Extents map[string]OnCluster

// OnCluster is what one cluster has said.
type OnCluster struct {
	Starts, Ends map[string][]int64 // by physical name and partition; -1 is unknown
	Topology     *plugin.Topology   // when it was asked
}

// Bounds are where the partitions of a topic begin and end at home and on a copy.
type Bounds struct{ Home, Copy Reach }

// Reach is where the partitions of a topic begin on one cluster, and the offsets behind their last
// records; -1 is unknown.
type Reach struct{ Starts, Ends []int64 }

func (r Reach) whole() bool { return whole(r.Starts) && whole(r.Ends) }

// Of is where a partition begins and ends.
func (r Reach) Of(partition int) Stretch { return Stretch{r.Starts[partition], r.Ends[partition]} }

// Extent is how far a topic and its copy reach, and which topics those are.
type Extent struct {
	IDs [2][16]byte // at home and on the copy
	Bounds
}

// Of is how far a topic and its copy on another cluster reach.
func (e Extents) Of(t *catalog.Topic, other string) (out Extent) {
	out.Home, out.IDs[0] = e.reach(t, t.Home)
	out.Copy, out.IDs[1] = e.reach(t, other)
	return out
}

// reach is how far a topic reaches on a cluster, and its id there, as far as is known.
func (e Extents) reach(t *catalog.Topic, cluster string) (r Reach, id [16]byte) {
	at, name := e[cluster], t.Physical(cluster)
	if at.Topology != nil && at.Topology.Topics[name] != nil {
		id = at.Topology.Topics[name].ID
	}
	return Reach{at.Starts[name], at.Ends[name]}, id
}

// Same reports that two extents are known and equal.
func (e Extent) Same(o Extent) bool {
	alike := func(a, b Reach) bool {
		return a.whole() && slices.Equal(a.Starts, b.Starts) && slices.Equal(a.Ends, b.Ends)
	}
	return e.IDs == o.IDs && alike(e.Home, o.Home) && alike(e.Copy, o.Copy)
}

// Covers reports that the extent tells where every partition of the two sides, of which there are
// so many, begins and ends.
func (e Extent) Covers(partitions int) bool {
	for _, r := range []Reach{e.Home, e.Copy} {
		if !r.whole() || len(r.Starts) != partitions || len(r.Ends) != partitions {
			return false
		}
	}
	return true
}

// whole reports that all offsets are known.
func whole(offsets []int64) bool { return len(offsets) > 0 && !slices.Contains(offsets, -1) }

// At is an offset of a partition, -1 if it is not known.
func At(offsets []int64, p int) int64 {
	if p < len(offsets) {
		return offsets[p]
	}
	return -1
}

// TakeOver notes what is known of a topic elsewhere.
func (e Extents) TakeOver(from Extents, t *catalog.Topic) {
	for cluster, at := range e {
		name := t.Physical(cluster)
		if s, ok := from[cluster].Starts[name]; ok {
			at.Starts[name] = s
		}
		if s, ok := from[cluster].Ends[name]; ok {
			at.Ends[name] = s
		}
	}
}

// Calm reports that nothing of a topic is new or unknown on the clusters that live.
func (e Extents) Calm(before Extents, t *catalog.Topic) bool {
	for cluster, at := range e {
		name := t.Physical(cluster)
		if at.Topology.Topics[name] == nil {
			continue
		}
		if !whole(at.Starts[name]) || !whole(at.Ends[name]) || !slices.Equal(at.Starts[name], before[cluster].Starts[name]) || !slices.Equal(at.Ends[name], before[cluster].Ends[name]) {
			return false
		}
	}
	return true
}
