package upstream

import (
	"maps"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// view is a cluster of which only what is said here is known.
func view(name string, slot int, nodes config.Nodes, brokers ...int32) *Cluster {
	c := Unwatched(config.Cluster{Name: name, Slot: slot, Nodes: nodes}, nil, &wire.Buffers{})
	topo := *c.Topology()
	for _, id := range brokers {
		topo.Brokers = append(topo.Brokers, plugin.Broker{ID: id, Host: "hidden", Port: hiddenPort})
	}
	c.topology.Store(&topo)
	return c
}

func TestVirtualAndPhysicalAreInverse(t *testing.T) {
	prod, dr := view("prod", 0, config.Nodes{First: 0, Last: 19}), view("dr", 5, config.Nodes{First: 100, Last: 109})
	m := NewNodeMap(listen(), []*Cluster{prod, dr})
	ids, addresses := map[int32]bool{}, map[int32]bool{}
	for _, c := range []*Cluster{prod, dr} {
		for node := c.cfg.Nodes.First; node <= c.cfg.Nodes.Last; node++ {
			v := m.Virtual(c.cfg.Name, node)
			want := int32(c.cfg.Slot+1)*1<<20 + node
			about := fact.Of(t, "%s %d is %+v", c.cfg.Name, node, v)
			fact.Equal(about, "v.ID", v.ID, want)
			fact.Equal(about, "v.Host", v.Host, "gateway")
			fact.AtLeast(about, "v.Port", v.Port, 7001)
			fact.AtMost(about, "v.Port", v.Port, 7030)
			if ids[v.ID] || addresses[v.Port] {
				t.Errorf("%+v is another node as well", v)
			}
			ids[v.ID], addresses[v.Port] = true, true
			if cluster, back, ok := m.Physical(v.ID); !ok || cluster != c.cfg.Name || back != node {
				t.Errorf("%d is %s %d %t, want %s %d", v.ID, cluster, back, ok, c.cfg.Name, node)
			}
		}
		for _, node := range []int32{c.cfg.Nodes.First - 1, c.cfg.Nodes.Last + 1, 1 << 19} {
			if got, first := m.Virtual(c.cfg.Name, node), m.Virtual(c.cfg.Name, c.cfg.Nodes.First); got != first {
				t.Errorf("%d, outside of the range, is %+v, want %+v", node, got, first)
			}
		}
	}
	for _, v := range []int32{-1, 0, 7, 1<<20 - 1, 2 << 20, 5<<20 + 100, 7 << 20} {
		if cluster, _, ok := m.Physical(v); ok {
			t.Errorf("%d is a node of %s", v, cluster)
		}
	}
	if v := m.Virtual("nowhere", 1); v.ID != -1 {
		t.Errorf("a node of no cluster is %+v", v)
	}
}

// TestAllListsKnownNodes: sorted, each once, and one for a cluster that was never seen, so that
// clients always have an address of it.
func TestAllListsKnownNodes(t *testing.T) {
	prod, dr := view("prod", 1, config.Nodes{First: 0, Last: 9}, 3, 1, 70, 0, 80), view("dr", 0, config.Nodes{First: 4, Last: 9})
	m := NewNodeMap(listen(), []*Cluster{prod, dr})
	got := func() (out []int32) {
		for _, n := range m.All() {
			if n != m.Virtual(map[bool]string{true: "prod", false: "dr"}[n.ID >= 2<<20], n.ID&(1<<20-1)) {
				t.Errorf("%+v differs from Virtual", n)
			}
			out = append(out, n.ID)
		}
		return out
	}
	if ids := got(); !slices.Equal(ids, []int32{1<<20 + 4, 2 << 20, 2<<20 + 1, 2<<20 + 3}) {
		t.Error(ids)
	}
	if out := m.Outside(); len(out) != 1 || !slices.Equal(out["prod"], []int32{70, 80}) {
		t.Error(out)
	}
	topo := *dr.Topology()
	topo.Brokers = []plugin.Broker{{ID: 6}, {ID: 5}}
	dr.topology.Store(&topo)
	if ids := got(); !slices.Equal(ids, []int32{1<<20 + 5, 1<<20 + 6, 2 << 20, 2<<20 + 1, 2<<20 + 3}) {
		t.Error(ids)
	}
}

func TestVirtualNodesKeepTheirRack(t *testing.T) {
	c := view("prod", 0, config.Nodes{First: 0, Last: 9}, 0, 1)
	rack := "a"
	c.Topology().Brokers[1].Rack = &rack
	m := NewNodeMap(listen(), []*Cluster{c})
	racks := map[int32]bool{}
	for _, n := range m.All() {
		racks[n.ID] = n.Rack == &rack
	}
	if !maps.Equal(racks, map[int32]bool{1 << 20: false, 1<<20 + 1: true}) {
		t.Error(racks)
	}
}

func TestVirtualClusterIDs(t *testing.T) {
	if a := VirtualClusterID("a"); a != VirtualClusterID("a") || a == VirtualClusterID("b") || len(a) != 22 {
		t.Errorf("%q", a)
	}
}
