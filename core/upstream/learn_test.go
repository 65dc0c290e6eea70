package upstream

import (
	"fmt"
	"github.com/sluice-gateway/sluice/core/kafka"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// told is metadata of topics from first on, with two partitions each, as a broker tells it in a
// version.
func told(version int16, first, topics int) *kmsg.MetadataResponse {
	m := kmsg.NewPtrMetadataResponse()
	m.Version, m.ControllerID = version, 1
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID, b.Host, b.Port = 1, "hidden", hiddenPort
	if version >= 1 {
		b.Rack = kmsg.StringPtr("rack")
	}
	m.Brokers = append(m.Brokers, b)
	if version >= 2 {
		m.ClusterID = kmsg.StringPtr("cluster")
	}
	for i := first; i < first+topics; i++ {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic, t.IsInternal = kmsg.StringPtr(fmt.Sprint("topic-", i)), kafka.Has(kmsg.Metadata, version, kafka.ControllerAndInternal)
		if kafka.Has(kmsg.Metadata, version, kafka.TopicIDs) {
			t.TopicID = [16]byte{1, byte(i >> 8), byte(i)}
		}
		for n := range int32(2) {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Leader, p.Replicas, p.ISR = n, 1, []int32{1, 2}, []int32{1}
			if kafka.Has(kmsg.Metadata, version, kafka.LeaderEpochs) {
				p.LeaderEpoch = 4
			}
			if kafka.Has(kmsg.Metadata, version, kafka.OfflineReplicas) {
				p.OfflineReplicas = []int32{2}
			}
			t.Partitions = append(t.Partitions, p)
		}
		m.Topics = append(m.Topics, t)
	}
	return m
}

// taught is a cluster that has learned of topics.
func taught(topics int) *Cluster {
	c := view("prod", 0, config.Nodes{First: 0, Last: 9})
	c.Learn(told(12, 0, topics))
	return c
}

// TestWhatIsKnownIsNoNews in any version: the view stays the one that it is.
func TestWhatIsKnownIsNoNews(t *testing.T) {
	c := taught(3)
	before := c.Topology()
	for v := range kmsg.NewPtrMetadataResponse().MaxVersion() + 1 {
		if c.Learn(told(v, 1, 1)); c.Topology() != before {
			t.Fatalf("version %d has changed the view", v)
		}
	}
}

// TestAnyChangeIsNews, of that topic alone.
func TestAnyChangeIsNews(t *testing.T) {
	for what, change := range map[string]func(m *kmsg.MetadataResponse, t *kmsg.MetadataResponseTopic, p *kmsg.MetadataResponseTopicPartition){
		"leader": func(_ *kmsg.MetadataResponse, _ *kmsg.MetadataResponseTopic, p *kmsg.MetadataResponseTopicPartition) {
			p.Leader = 2
		},
		"epoch": func(_ *kmsg.MetadataResponse, _ *kmsg.MetadataResponseTopic, p *kmsg.MetadataResponseTopicPartition) {
			p.LeaderEpoch = 5
		},
		"replicas": func(_ *kmsg.MetadataResponse, _ *kmsg.MetadataResponseTopic, p *kmsg.MetadataResponseTopicPartition) {
			p.Replicas[0] = 3
		},
		"isr": func(_ *kmsg.MetadataResponse, _ *kmsg.MetadataResponseTopic, p *kmsg.MetadataResponseTopicPartition) {
			p.ISR = nil
		},
		"offline": func(_ *kmsg.MetadataResponse, _ *kmsg.MetadataResponseTopic, p *kmsg.MetadataResponseTopicPartition) {
			p.OfflineReplicas = nil
		},
		"id": func(_ *kmsg.MetadataResponse, t *kmsg.MetadataResponseTopic, _ *kmsg.MetadataResponseTopicPartition) {
			t.TopicID[15] = 1
		},
		"internal": func(_ *kmsg.MetadataResponse, t *kmsg.MetadataResponseTopic, _ *kmsg.MetadataResponseTopicPartition) {
			t.IsInternal = false
		},
		"partitions": func(_ *kmsg.MetadataResponse, t *kmsg.MetadataResponseTopic, _ *kmsg.MetadataResponseTopicPartition) {
			t.Partitions = t.Partitions[:1]
		},
		"deletion": func(_ *kmsg.MetadataResponse, t *kmsg.MetadataResponseTopic, _ *kmsg.MetadataResponseTopicPartition) {
			t.ErrorCode, t.Partitions = int16(kafka.UnknownTopicOrPartition), nil
		},
	} {
		c := taught(2)
		before := c.Topology()
		m := told(12, 0, 2)
		change(m, &m.Topics[1], &m.Topics[1].Partitions[1])
		c.Learn(m)
		after := c.Topology()
		if after.Topics["topic-1"] == before.Topics["topic-1"] {
			t.Errorf("%s: not learned", what)
		}
		if after.Topics["topic-0"] != before.Topics["topic-0"] {
			t.Errorf("%s: another topic has changed as well", what)
		}
		if n := len(before.Topics); n != 2 || before.IDs[[16]byte{1, 0, 1}] != before.Topics["topic-1"] {
			t.Errorf("%s: a view that was handed out has changed", what)
		}
	}
	for what, change := range map[string]func(m *kmsg.MetadataResponse){
		"controller": func(m *kmsg.MetadataResponse) { m.ControllerID = 2 },
		"cluster":    func(m *kmsg.MetadataResponse) { m.ClusterID = kmsg.StringPtr("another") },
		"host":       func(m *kmsg.MetadataResponse) { m.Brokers[0].Host = "moved" },
		"rack":       func(m *kmsg.MetadataResponse) { m.Brokers[0].Rack = kmsg.StringPtr("another") },
		"node":       func(m *kmsg.MetadataResponse) { m.Brokers[0].NodeID = 2 },
	} {
		c := taught(1)
		before := c.Topology()
		m := told(12, 0, 1)
		change(m)
		if c.Learn(m); c.Topology() == before {
			t.Errorf("%s: not learned", what)
		}
	}
}

// TestAnOldAnswerForgetsNothing that it can't carry, where it has news.
func TestAnOldAnswerForgetsNothing(t *testing.T) {
	c := taught(1)
	m := told(0, 0, 1)
	m.Topics[0].Partitions[0].Leader = 2
	c.Learn(m)
	topo := c.Topology()
	got := topo.Topics["topic-0"]
	if node, epoch := topo.Leader("topic-0", 0); node != 2 || epoch != 4 {
		t.Errorf("led by %d in epoch %d", node, epoch)
	}
	equal(t, got.ID, [16]byte{1})
	equal(t, got.Internal, true)
	equal(t, got.Partitions[0].Offline, []int32{2})
	equal(t, *topo.Brokers[0].Rack, "rack")
	equal(t, topo.ClusterID, "cluster")
	equal(t, topo.IDs[[16]byte{1}], got)
}

// TestTheViewSharesNoMemoryWithAnAnswer, which is turned into virtual nodes behind it.
func TestTheViewSharesNoMemoryWithAnAnswer(t *testing.T) {
	m := told(12, 0, 1)
	c := view("prod", 0, config.Nodes{First: 0, Last: 9})
	c.Learn(m)
	for _, p := range m.Topics[0].Partitions {
		p.Replicas[0], p.ISR[0], p.OfflineReplicas[0] = 99, 99, 99
	}
	p := c.Topology().Topics["topic-0"].Partitions[1]
	equal(t, [][]int32{p.Replicas, p.ISR, p.Offline}, [][]int32{{1, 2}, {1}, {2}})
}

// TestLearningCostsWhatTheAnswerIsLong, and not what is known already, unless a topic has changed.
func TestLearningCostsWhatTheAnswerIsLong(t *testing.T) {
	small, large := taught(10), taught(5000)
	allocs := func(c *Cluster) float64 {
		node, least := int32(1), math.Inf(1)
		for range 5 { // others may allocate meanwhile
			least = min(least, testing.AllocsPerRun(20, func() {
				m := told(12, 3, 1)
				m.ControllerID, node = node, 3-node // KRaft brokers name any node
				c.Learn(m)
			}))
		}
		return least
	}
	if few, many := allocs(small), allocs(large); many > few {
		t.Errorf("%.0f allocations beside 5,000 topics, %.0f beside 10", many, few)
	}
}

// TestARefreshKeepsTopicsThatAreTheSame, so that looking again at a large cluster makes no second
// copy of it.
func TestARefreshKeepsTopicsThatAreTheSame(t *testing.T) {
	c := taught(2)
	before := c.Topology()
	m := told(12, 0, 3)
	m.Topics[1].Partitions[0].Leader = 2
	_, after := c.replace(m)
	kept := func(name string) *plugin.Topic { return after.Topics[name] }
	if kept("topic-0") != before.Topics["topic-0"] {
		t.Error("topic-0 was made again")
	}
	if kept("topic-1") == before.Topics["topic-1"] || kept("topic-2") == nil {
		t.Error("what is new was not learned")
	}
	_, after = c.replace(told(12, 1, 1))
	equal(t, []any{len(after.Topics), len(after.IDs)}, []any{1, 1})
}
