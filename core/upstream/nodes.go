package upstream

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"slices"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// nodeBits is the width of a physical node id in a virtual one: vnode = (slot+1) x 2^20 + node.
const nodeBits = 20

// NodeMap maps physical nodes to virtual ones. It implements plugin.Nodes and depends on the
// configuration alone, so that every gateway instance presents the same addresses.
type NodeMap struct {
	listen   config.Listen
	clusters []*Cluster
	spans    []config.Cluster // of the clusters
}

// NewNodeMap maps the nodes of a virtual cluster's clusters.
func NewNodeMap(listen config.Listen, clusters []*Cluster) *NodeMap {
	m := &NodeMap{listen: listen, clusters: clusters}
	for _, c := range clusters {
		m.spans = append(m.spans, c.cfg)
	}
	return m
}

// VirtualClusterID is the Kafka cluster id that clients of a virtual cluster see.
func VirtualClusterID(name string) string {
	sum := sha256.Sum256([]byte("sluice virtual cluster " + name))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func (m *NodeMap) cluster(name string) *Cluster {
	for _, c := range m.clusters {
		if c.cfg.Name == name {
			return c
		}
	}
	return nil
}

// Virtual returns a node as clients see it.
func (m *NodeMap) Virtual(cluster string, node int32) plugin.VirtualNode {
	c := m.cluster(cluster)
	if c == nil {
		return plugin.VirtualNode{ID: -1, Port: -1}
	}
	node = c.inRange(node)
	host, port := m.listen.Advertised(m.spans, c.cfg.Name, node)
	v := plugin.VirtualNode{ID: c.virtual(node), Host: host, Port: port}
	brokers := c.Topology().Brokers
	if i, ok := slices.BinarySearchFunc(brokers, node, func(b plugin.Broker, id int32) int { return cmp.Compare(b.ID, id) }); ok {
		v.Rack = brokers[i].Rack
	}
	return v
}

// inRange is the node itself, or the first of the cluster's range, which stands for all outside of
// it.
func (c *Cluster) inRange(node int32) int32 {
	if node < c.cfg.Nodes.First || node > c.cfg.Nodes.Last {
		return c.cfg.Nodes.First
	}
	return node
}

// virtual is the virtual id of a node.
func (c *Cluster) virtual(node int32) int32 {
	return int32(c.cfg.Slot+1)<<nodeBits + c.inRange(node)
}

// Physical inverts Virtual.
func (m *NodeMap) Physical(virtual int32) (cluster string, node int32, ok bool) {
	for _, c := range m.clusters {
		if virtual>>nodeBits == int32(c.cfg.Slot+1) {
			return c.cfg.Name, virtual & (1<<nodeBits - 1), true
		}
	}
	return "", -1, false
}

// All lists the known nodes of every cluster, by id; a cluster of which none is known yet is
// presented by the first node of its range.
func (m *NodeMap) All() []plugin.VirtualNode {
	var out []plugin.VirtualNode
	for _, c := range m.clusters {
		listed := seen[int32]{}
		for _, b := range c.Topology().Brokers {
			if !listed.twice(c.inRange(b.ID)) {
				out = append(out, m.Virtual(c.cfg.Name, b.ID))
			}
		}
		if len(listed) == 0 {
			out = append(out, m.Virtual(c.cfg.Name, c.cfg.Nodes.First))
		}
	}
	slices.SortFunc(out, func(a, b plugin.VirtualNode) int { return int(a.ID - b.ID) })
	return out
}

// Outside lists the nodes that lie outside their cluster's range, for /readyz.
func (m *NodeMap) Outside() map[string][]int32 {
	out := map[string][]int32{}
	for _, c := range m.clusters {
		for _, b := range c.Topology().Brokers {
			if b.ID < c.cfg.Nodes.First || b.ID > c.cfg.Nodes.Last {
				out[c.cfg.Name] = append(out[c.cfg.Name], b.ID)
			}
		}
	}
	return out
}
