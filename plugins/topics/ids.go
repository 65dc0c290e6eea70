package topics

import (
	"crypto/rand"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// No id is ever sent on as zero, which says "no id": brokers and clients take it for a topic
// without one, and wait for it.

type topicID = [16]byte

// physicalID is the id on the cluster of a topic that a client names by id. One that the cluster
// has no topic for becomes an id that nobody has, which brokers refuse as unknown.
func (n *names) physicalID(virtual topicID) topicID {
	if virtual == (topicID{}) {
		return virtual // the client's own
	}
	id, ok := n.onCluster(virtual)
	if !ok {
		id = n.stranger(virtual)
	}
	return id
}

// onCluster is the id that a virtual topic has on the cluster.
func (n *names) onCluster(virtual topicID) (topicID, bool) {
	known := n.env.Catalog.ByID(virtual)
	if known == nil {
		return topicID{}, false
	}
	name := known.Physical(n.cluster.Name())
	if t := n.cluster.Topology().Topics[name]; t != nil && t.ID != (topicID{}) {
		return t.ID, true
	}
	if topo, err := n.cluster.Refresh(n.ctx); err == nil && topo.Topics[name] != nil {
		return topo.Topics[name].ID, topo.Topics[name].ID != (topicID{})
	}
	return topicID{}, false
}

// stranger is an id that stands for one that the cluster does not know: never the client's own,
// which may be the id there of a topic that it may not see.
func (n *names) stranger(virtual topicID) topicID {
	if id, ok := n.strangers[virtual]; ok {
		return id
	}
	var id topicID
	_, _ = rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	if n.strangers == nil {
		n.strangers = map[topicID]topicID{}
	}
	n.strangers[virtual] = id
	return id
}

// asks is physicalID for an id that an answer may repeat.
func (n *names) asks(virtual topicID) topicID {
	id := n.physicalID(virtual)
	if id != (topicID{}) {
		if n.asked == nil {
			n.asked = map[topicID]topicID{}
		}
		n.asked[id] = virtual
	}
	return id
}

// resolveWait is how long an id is looked for that a broker has told of a moment ago: another one
// may not know it yet.
const resolveWait = time.Second

// virtualID is the id for clients of a topic that the cluster names by id. found is false for one
// that no broker tells the name of, though they are asked for a while; the id is zero for a topic
// that clients may not see.
func (n *names) virtualID(physical topicID, wait time.Duration) (id topicID, found bool) {
	if id, ok := n.asked[physical]; ok {
		return id, true
	}
	if t := n.cluster.Topology().IDs[physical]; t != nil {
		return n.show(t), true
	}
	if wait == 0 && n.refreshed {
		return topicID{}, false
	}
	n.refreshed = true
	for end := time.Now().Add(wait); ; {
		topo, err := n.cluster.Refresh(n.ctx)
		if err == nil && topo.IDs[physical] != nil {
			return n.show(topo.IDs[physical]), true
		}
		if err != nil || !time.Now().Before(end) || !guard.Sleep(n.ctx, resolveWait/10) {
			return topicID{}, false
		}
	}
}

// show is the id that clients know a topic of the cluster by, which the catalog learns if it is
// new; zero for one that they may not see.
func (n *names) show(t *plugin.Topic) topicID {
	known, name, ok := n.virtual(t.Name)
	if !ok || n.env.Catalog.Hidden(name) {
		return topicID{}
	}
	if known == nil || known.Home == n.cluster.Name() {
		known = n.learn(name, n.cluster.Name(), t)
	}
	if known == nil { // it lives elsewhere, and this is a copy
		known = n.atHome(name)
	}
	if known == nil {
		return topicID{}
	}
	return known.ID
}

// atHome looks at the cluster where the rules put a topic that the catalog does not know.
func (n *names) atHome(name string) *catalog.Topic {
	home, physical, ok := n.env.Catalog.Place(name)
	c := n.env.Cluster(home)
	if !ok || c == nil || c.Name() == n.cluster.Name() {
		return nil
	}
	there := physical[home]
	if there == "" {
		there = n.PhysicalName(name)
	}
	t := c.Topology().Topics[there]
	if t == nil {
		topo, err := c.Refresh(n.ctx)
		if err != nil {
			return nil
		}
		t = topo.Topics[there]
	}
	if t == nil {
		return nil
	}
	return n.learn(name, home, t)
}

// learn makes the catalog know a topic as a cluster has it.
func (n *names) learn(name, cluster string, t *plugin.Topic) *catalog.Topic {
	if err := n.env.Catalog.Ensure(n.ctx, catalog.Seen{Name: name, Cluster: cluster, ID: t.ID, Partitions: len(t.Partitions)}); err != nil {
		n.log.WarnContext(n.ctx, "topic not noted", "topic", name, "error", err)
	}
	return n.env.Catalog.Topic(name)
}
