package upstream

import (
	"errors"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
)

// nonsense is what Metadata may say of which nobody can act on any part.
var nonsense = map[string]func(m *kmsg.MetadataResponse){
	"a partition below 0":      func(m *kmsg.MetadataResponse) { m.Topics[0].Partitions[0].Partition = -1 },
	"a partition far away":     func(m *kmsg.MetadataResponse) { m.Topics[0].Partitions[0].Partition = 10_000_000 },
	"a partition at the end":   func(m *kmsg.MetadataResponse) { m.Topics[0].Partitions[0].Partition = 1<<31 - 1 },
	"a partition left out":     func(m *kmsg.MetadataResponse) { m.Topics[0].Partitions[1].Partition = 2 },
	"a partition twice":        func(m *kmsg.MetadataResponse) { m.Topics[0].Partitions[1].Partition = 0 },
	"a leader below none":      func(m *kmsg.MetadataResponse) { m.Topics[0].Partitions[0].Leader = -2 },
	"an epoch below none":      func(m *kmsg.MetadataResponse) { m.Topics[0].Partitions[0].LeaderEpoch = -7 },
	"a replica below none":     func(m *kmsg.MetadataResponse) { m.Topics[0].Partitions[0].Replicas = []int32{-3} },
	"a topic twice":            func(m *kmsg.MetadataResponse) { m.Topics = append(m.Topics, m.Topics[0]) },
	"an id of two topics":      func(m *kmsg.MetadataResponse) { addTopic(m, "other", m.Topics[0].TopicID) },
	"a topic without a name":   func(m *kmsg.MetadataResponse) { m.Topics[0].Topic = nil },
	"a topic's name as a path": func(m *kmsg.MetadataResponse) { addTopic(m, "../x", [16]byte{1}) },
	"a broker below 0":         func(m *kmsg.MetadataResponse) { m.Brokers[0].NodeID = -1 },
	"a broker twice":           func(m *kmsg.MetadataResponse) { m.Brokers = append(m.Brokers, m.Brokers[0]) },
	"a broker without a host":  func(m *kmsg.MetadataResponse) { m.Brokers[0].Host = "" },
	"a host that is none":      func(m *kmsg.MetadataResponse) { m.Brokers[0].Host = "a b\n" },
	"port 0":                   func(m *kmsg.MetadataResponse) { m.Brokers[0].Port = 0 },
	"a port beyond all":        func(m *kmsg.MetadataResponse) { m.Brokers[0].Port = 65536 },
	"a controller below none":  func(m *kmsg.MetadataResponse) { m.ControllerID = -5 },
	"20,000 brokers": func(m *kmsg.MetadataResponse) {
		for i := range int32(20_000) {
			m.Brokers = append(m.Brokers, kmsg.MetadataResponseBroker{NodeID: 100 + i, Host: "h", Port: 1})
		}
	},
}

func addTopic(m *kmsg.MetadataResponse, name string, id [16]byte) {
	t := m.Topics[0]
	t.Topic, t.TopicID = &name, id
	m.Topics = append(m.Topics, t)
}

// TestNonsenseIsRefused: the view stays as it was, clients get it, and nothing ends.
func TestNonsenseIsRefused(t *testing.T) {
	for name, change := range nonsense {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t, 0, 1)
				f.topics["orders"] = []int32{0, 1}
				c := f.known()
				before, panics := c.Topology(), guard.Panics()
				for _, b := range f.brokers {
					b.set(func(b *broker) {
						b.on = func(a *arrived) bool {
							req, ok := a.msg.(*kmsg.MetadataRequest)
							if ok {
								m := f.metadata(&kmsg.MetadataRequest{Version: req.Version})
								change(m)
								a.answer(m)
							}
							return ok
						}
					})
				}
				var malformed *kafka.MalformedError
				if _, err := c.Refresh(t.Context()); !errors.As(err, &malformed) {
					t.Errorf("refreshed: %v", err)
				}
				if c.Refused() == 0 {
					t.Error("not counted")
				}
				resp, err := end(c).Handle(t.Context(), request(session(t, plugin.AnyNode), newest(kmsg.Metadata)))
				if err != nil {
					t.Fatal(err)
				}
				if m, err := resp.Body.Peek(); err != nil || len(m.(*kmsg.MetadataResponse).Topics) != 1 {
					t.Errorf("clients get %v, %v", m, err)
				}
				if now := c.Topology(); len(now.Brokers) != len(before.Brokers) || len(now.Topics) != 1 || len(now.Topics["orders"].Partitions) != 2 {
					t.Errorf("the view is %+v", now)
				}
				if n := guard.Panics() - panics; n != 0 {
					t.Errorf("%d panics", n)
				}
			})
		})
	}
}

// TestNonsenseOfOtherAPIs is refused as well.
func TestNonsenseOfOtherAPIs(t *testing.T) {
	for name, msg := range map[string]kmsg.Response{
		"a coordinator below 0":               &kmsg.FindCoordinatorResponse{Version: 3, NodeID: -4},
		"a coordinator below 0, one of many":  &kmsg.FindCoordinatorResponse{Version: 4, Coordinators: []kmsg.FindCoordinatorResponseCoordinator{{NodeID: -1}}},
		"a broker twice":                      &kmsg.DescribeClusterResponse{Brokers: []kmsg.DescribeClusterResponseBroker{{Host: "h", Port: 1}, {Host: "h", Port: 1}}},
		"a page of partitions far away":       &kmsg.DescribeTopicPartitionsResponse{Topics: []kmsg.DescribeTopicPartitionsResponseTopic{{Partitions: []kmsg.DescribeTopicPartitionsResponseTopicPartition{{Partition: catalog.MostPartitions}}}}},
		"versions that end before they begin": &kmsg.ApiVersionsResponse{ApiKeys: []kmsg.ApiVersionsResponseApiKey{{MinVersion: 3, MaxVersion: 1}}},
		"an API twice":                        &kmsg.ApiVersionsResponse{ApiKeys: []kmsg.ApiVersionsResponseApiKey{{MaxVersion: 1}, {MaxVersion: 2}}},
		"an assignment below 0":               &kmsg.ConsumerGroupHeartbeatResponse{Assignment: &kmsg.ConsumerGroupHeartbeatResponseAssignment{Topics: []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{{Partitions: []int32{-1}}}}},
	} {
		var malformed *kafka.MalformedError
		if err := sane(msg); !errors.As(err, &malformed) || !malformed.Response {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEndpointsWithoutEnd are refused.
func TestEndpointsWithoutEnd(t *testing.T) {
	e, c := hiding()
	for _, msg := range []kmsg.Response{
		&kmsg.FetchResponse{Version: 16, Brokers: make([]kmsg.FetchResponseBroker, mostBrokers+1)},
		&kmsg.ProduceResponse{Version: 10, Brokers: make([]kmsg.ProduceResponseBroker, mostBrokers+1)},
	} {
		key, version := kmsg.Key(msg.Key()), msg.GetVersion()
		var malformed *kafka.MalformedError
		if err := e.virtualize(key, version, c, kafka.NewResponseBody(key, version, msg.AppendTo(nil))); !errors.As(err, &malformed) || !malformed.Response {
			t.Errorf("%s: %v", kmsg.NameForKey(msg.Key()), err)
		}
	}
}

// TestPartitionsOfOwnRequestsAreIndexes, whatever was asked: an answer that names one that can't be
// is refused.
func TestPartitionsOfOwnRequestsAreIndexes(t *testing.T) {
	for _, n := range []int32{-1, -1 << 31, catalog.MostPartitions, 1<<31 - 1} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes(t, 0)
			c := f.known()
			f.broker(0).set(func(b *broker) {
				b.on = func(a *arrived) bool {
					switch a.Key {
					case kmsg.ListOffsets:
						a.answer(&kmsg.ListOffsetsResponse{Topics: []kmsg.ListOffsetsResponseTopic{{Partitions: []kmsg.ListOffsetsResponseTopicPartition{{Partition: n}}}}})
					case kmsg.OffsetFetch:
						topic := kmsg.OffsetFetchResponseGroupTopic{Topic: "orders", TopicID: [16]byte{1}, Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{{Partition: n}}}
						a.answer(&kmsg.OffsetFetchResponse{Groups: []kmsg.OffsetFetchResponseGroup{{Group: "g", Topics: []kmsg.OffsetFetchResponseGroupTopic{topic}}}})
					default:
						return false
					}
					return true
				}
			})
			for _, req := range []kmsg.Request{kmsg.NewPtrListOffsetsRequest(), kmsg.NewPtrOffsetFetchRequest()} {
				var malformed *kafka.MalformedError
				if _, err := c.Do(t.Context(), plugin.AnyNode, req); !errors.As(err, &malformed) {
					t.Errorf("%s with partition %d: %v", kmsg.NameForKey(req.Key()), n, err)
				}
			}
		})
	}
}

// TestManyBrokersCostInProportion: what is done for each Metadata response grows with the brokers,
// not with their square.
func TestManyBrokersCostInProportion(t *testing.T) {
	allocated := func(n int) uint64 {
		c := Unwatched(config.Cluster{Name: "prod", Nodes: config.Nodes{Last: mostBrokers}}, nil, &wire.Buffers{})
		m := kmsg.NewPtrMetadataResponse()
		m.Version = 12
		for i := range n {
			m.Brokers = append(m.Brokers, kmsg.MetadataResponseBroker{NodeID: int32(i), Host: "h" + strconv.Itoa(i), Port: 1})
		}
		nodes := NewNodeMap(config.Listen{}, []*Cluster{c})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := sane(m); err != nil {
			t.Fatal(err)
		}
		c.Learn(m)
		if got := len(nodes.All()); got != n {
			t.Fatalf("%d nodes of %d", got, n)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	few, many := allocated(mostBrokers/8), allocated(mostBrokers)
	if many > 20*few {
		t.Errorf("%d bytes for an eighth of the brokers, %d for all", few, many)
	}
}

// TestLookingAtAnOwnAnswerAllocatesNothing, however many partitions it is about.
func TestLookingAtAnOwnAnswerAllocatesNothing(t *testing.T) {
	m := kmsg.NewPtrListOffsetsResponse()
	for range 100 {
		topic := kmsg.NewListOffsetsResponseTopic()
		for p := range int32(12) {
			partition := kmsg.NewListOffsetsResponseTopicPartition()
			partition.Partition = p
			topic.Partitions = append(topic.Partitions, partition)
		}
		m.Topics = append(m.Topics, topic)
	}
	if n := testing.AllocsPerRun(10, func() {
		if err := saneControl(m); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%.0f allocations", n)
	}
}

// TestAPanicCostsItsReplyAlone: the link, the session and the process go on.
func TestAPanicCostsItsReplyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, e := house(t)
		s := session(t, 0)
		nodes := e.nodes
		e.nodes = nil
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.DescribeCluster))); err == nil {
			t.Error("answered")
		}
		e.nodes = nodes
		if _, err := e.Handle(t.Context(), request(s, newest(kmsg.DescribeCluster))); err != nil {
			t.Error(err)
		}
	})
}
