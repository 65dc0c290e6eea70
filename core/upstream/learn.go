package upstream

import (
	"cmp"
	"github.com/sluice-gateway/sluice/core/kafka"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Learn adds what a sane Metadata response that passed by says. It costs what the response is long,
// however many topics the cluster has, unless a topic has changed. The response may be changed
// afterwards.
func (c *Cluster) Learn(m *kmsg.MetadataResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := lesson{before: c.Topology()}
	l.after = *l.before
	if l.learn(m); l.news {
		c.topology.Store(&l.after)
	}
}

// lesson is what a response adds to a view. The maps of the view before are shared until the first
// change.
type lesson struct {
	before *plugin.Topology
	after  plugin.Topology
	owned  bool // the maps are those of after alone
	news   bool // after says something else than before
}

// learn adds a sane response. What its version does not carry is not forgotten: an old client's
// metadata passes by here too.
func (l *lesson) learn(m *kmsg.MetadataResponse) {
	if m.ClusterID != nil && *m.ClusterID != l.after.ClusterID {
		l.after.ClusterID, l.news = *m.ClusterID, true
	}
	if kafka.Has(kmsg.Metadata, m.Version, kafka.ControllerAndInternal) && m.ControllerID != l.after.Controller {
		l.after.Controller, l.news = m.ControllerID, true
	}
	l.brokers(m)
	for i := range m.Topics {
		t := &m.Topics[i]
		switch {
		case t.Topic == nil:
		case t.ErrorCode == 0 || len(t.Partitions) > 0:
			l.topic(t, m.Version)
		case kafka.Code(t.ErrorCode) == kafka.UnknownTopicOrPartition || kafka.Code(t.ErrorCode) == kafka.UnknownTopicID:
			l.forget(*t.Topic)
		}
	}
}

// brokers adds nodes. Those that are down now are still known: clients must not lose their
// addresses.
func (l *lesson) brokers(m *kmsg.MetadataResponse) {
	now := make([]plugin.Broker, len(m.Brokers))
	for i, b := range m.Brokers {
		now[i] = plugin.Broker{ID: b.NodeID, Host: b.Host, Port: b.Port, Rack: b.Rack}
		if !kafka.Has(kmsg.Metadata, m.Version, kafka.Racks) {
			k, known := slices.BinarySearchFunc(l.before.Brokers, b.NodeID, func(o plugin.Broker, id int32) int { return cmp.Compare(o.ID, id) })
			if known {
				now[i].Rack = l.before.Brokers[k].Rack
			}
		}
	}
	all := union(l.before.Brokers, now)
	if !slices.EqualFunc(all, l.before.Brokers, func(a, b plugin.Broker) bool { return sameBroker(a, b) && sameText(a.Rack, b.Rack) }) {
		l.after.Brokers, l.news = all, true
	}
}

func sameText(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// topic adds a topic with its partitions; one of which nothing is new stays the one that it is.
func (l *lesson) topic(t *kmsg.MetadataResponseTopic, version int16) {
	before := l.before.Topics[*t.Topic]
	now := before
	if before == nil || !says(before, t, version) {
		now = topicOf(before, t, version)
	}
	if l.after.Topics[now.Name] == now {
		return
	}
	l.own()
	if before != nil && l.after.IDs[before.ID] == before {
		delete(l.after.IDs, before.ID)
	}
	l.after.Topics[now.Name] = now
	if now.ID != ([16]byte{}) {
		l.after.IDs[now.ID] = now
	}
}

func (l *lesson) forget(name string) {
	if t := l.after.Topics[name]; t != nil {
		l.own()
		delete(l.after.Topics, name)
		delete(l.after.IDs, t.ID)
	}
}

// own copies the maps before the first change to them.
func (l *lesson) own() {
	l.news = true
	if !l.owned {
		l.after.Topics, l.after.IDs, l.owned = maps.Clone(l.after.Topics), maps.Clone(l.after.IDs), true
	}
}

// says reports whether a response says of a topic what is known of it.
func says(known *plugin.Topic, t *kmsg.MetadataResponseTopic, version int16) bool {
	if kafka.Has(kmsg.Metadata, version, kafka.TopicIDs) && known.ID != t.TopicID || kafka.Has(kmsg.Metadata, version, kafka.ControllerAndInternal) && known.Internal != t.IsInternal || len(known.Partitions) != len(t.Partitions) {
		return false
	}
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if p.Partition < 0 || int(p.Partition) >= len(known.Partitions) {
			return false
		}
		k := &known.Partitions[p.Partition]
		if k.Leader != p.Leader || kafka.Has(kmsg.Metadata, version, kafka.LeaderEpochs) && k.Epoch != p.LeaderEpoch || !slices.Equal(k.Replicas, p.Replicas) || !slices.Equal(k.ISR, p.ISR) ||
			kafka.Has(kmsg.Metadata, version, kafka.OfflineReplicas) && !slices.Equal(k.Offline, p.OfflineReplicas) {
			return false
		}
	}
	return true
}

// topicOf is a topic as a response shows it. It shares no memory with the response.
func topicOf(before *plugin.Topic, t *kmsg.MetadataResponseTopic, version int16) *plugin.Topic {
	out := &plugin.Topic{Name: *t.Topic, ID: t.TopicID, Internal: t.IsInternal}
	if before != nil && !kafka.Has(kmsg.Metadata, version, kafka.TopicIDs) {
		out.ID = before.ID
	}
	if before != nil && !kafka.Has(kmsg.Metadata, version, kafka.ControllerAndInternal) {
		out.Internal = before.Internal
	}
	nodes := 0
	for i := range t.Partitions {
		nodes += len(t.Partitions[i].Replicas) + len(t.Partitions[i].ISR) + len(t.Partitions[i].OfflineReplicas)
	}
	all := make([]int32, 0, nodes) // of all lists, one behind the other
	keep := func(list []int32) []int32 {
		all = append(all, list...)
		return all[len(all)-len(list) : len(all) : len(all)]
	}
	out.Partitions = make([]plugin.Partition, 0, len(t.Partitions))
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if p.Partition < 0 || p.Partition >= catalog.MostPartitions {
			continue
		}
		for int(p.Partition) >= len(out.Partitions) {
			out.Partitions = append(out.Partitions, plugin.Partition{Leader: -1, Epoch: -1})
		}
		now := plugin.Partition{Leader: p.Leader, Epoch: p.LeaderEpoch, Replicas: keep(p.Replicas), ISR: keep(p.ISR), Offline: keep(p.OfflineReplicas)}
		if before != nil && int(p.Partition) < len(before.Partitions) {
			if !kafka.Has(kmsg.Metadata, version, kafka.LeaderEpochs) {
				now.Epoch = before.Partitions[p.Partition].Epoch
			}
			if !kafka.Has(kmsg.Metadata, version, kafka.OfflineReplicas) {
				now.Offline = before.Partitions[p.Partition].Offline
			}
		}
		out.Partitions[p.Partition] = now
	}
	return out
}
