package upstream

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// What must not be seen: nodes 777 and 778 of the cluster, their hosts, port and cluster id, and
// what they are to be seen as.
const (
	nodeA, nodeB       = int32(777), int32(778)
	virtualA, virtualB = 1<<20 + nodeA, 1<<20 + nodeB
)

func hiding() (*Dispatcher, *Cluster) {
	c := view("prod", 0, config.Nodes{First: 700, Last: 799}, nodeA, nodeB)
	return end(c), c
}

// leaks lists what of a message names a physical node, its address or its cluster.
func leaks(v reflect.Value, path string) (out []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out = leaks(v.Elem(), path)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "UnknownTags" {
				out = append(out, leaks(v.Field(i), path+"."+f.Name)...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, leaks(v.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
		}
	case reflect.Int32:
		if n := int32(v.Int()); n == nodeA || n == nodeB || n == hiddenPort {
			out = append(out, fmt.Sprintf("%s = %d", path, n))
		}
	case reflect.String:
		if s := v.String(); strings.Contains(s, "hidden") || strings.Contains(s, "777") || strings.Contains(s, "778") {
			out = append(out, fmt.Sprintf("%s = %q", path, s))
		}
	}
	return out
}

// shown is a response as clients get it: as it came from a link, or after an interceptor has
// changed it.
func shown[T kmsg.Response](t *testing.T, msg kmsg.Response, edited bool) T {
	t.Helper()
	e, c := hiding()
	key, version := kmsg.Key(msg.Key()), msg.GetVersion()
	body := kafka.NewResponseBody(key, version, msg.AppendTo(nil))
	if edited {
		if _, err := body.Edit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.virtualize(key, version, c, body); err != nil {
		t.Fatal(err)
	}
	var o kafka.Out
	body.AppendTo(&o)
	back, err := kafka.NewResponseBody(key, version, o.Bytes()).Peek()
	if err != nil {
		t.Fatal(err)
	}
	if l := leaks(reflect.ValueOf(back), kmsg.NameForKey(msg.Key())); len(l) > 0 {
		t.Errorf("version %d: %s", version, strings.Join(l, ", "))
	}
	return back.(T)
}

// versions runs f for every version of a response, as it came and changed.
func versions(t *testing.T, key kmsg.Key, f func(t *testing.T, version int16, edited bool)) {
	api, _ := kafka.Lookup(key)
	for v := range api.MaxVersion + 1 {
		for _, edited := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %d edited=%t", api.Name, v, edited), func(t *testing.T) { f(t, v, edited) })
		}
	}
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestLeaksAreFound: the other tests here are worth nothing without it.
func TestLeaksAreFound(t *testing.T) {
	for i, msg := range []kmsg.Response{
		&kmsg.MetadataResponse{ControllerID: nodeA}, &kmsg.FindCoordinatorResponse{Port: hiddenPort},
		&kmsg.DescribeClusterResponse{ClusterID: "hidden-cluster"}, &kmsg.ListConfigResourcesResponse{ConfigResources: []kmsg.ListConfigResourcesResponseConfigResource{{Name: "778"}}},
	} {
		if l := leaks(reflect.ValueOf(msg), ""); len(l) != 1 {
			t.Errorf("%d: %v", i, l)
		}
	}
}

func TestMetadataIsPresented(t *testing.T) {
	versions(t, kmsg.Metadata, func(t *testing.T, version int16, edited bool) {
		m := kmsg.NewPtrMetadataResponse()
		m.Version, m.ClusterID, m.ControllerID = version, kmsg.StringPtr("hidden-cluster"), nodeB
		m.Brokers = []kmsg.MetadataResponseBroker{{NodeID: nodeA, Host: "hidden", Port: hiddenPort}}
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = kmsg.StringPtr("orders")
		for i, leader := range []int32{nodeA, -1} {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Leader, p.Replicas, p.ISR, p.OfflineReplicas = int32(i), leader, []int32{nodeA, nodeB}, []int32{nodeA}, []int32{nodeB}
			topic.Partitions = append(topic.Partitions, p)
		}
		m.Topics = append(m.Topics, topic)
		got := shown[*kmsg.MetadataResponse](t, m, edited)
		var nodes []int32
		for _, b := range got.Brokers {
			if b.Host != "gateway" {
				t.Errorf("%+v", b)
			}
			nodes = append(nodes, b.NodeID)
		}
		equal(t, nodes, []int32{virtualA, virtualB}) // the node that the broker does not list too
		p := got.Topics[0].Partitions
		equal(t, []any{p[0].Leader, p[0].Replicas, p[0].ISR, p[1].Leader}, []any{virtualA, []int32{virtualA, virtualB}, []int32{virtualA}, -1})
		if version >= 1 {
			equal(t, got.ControllerID, virtualB)
		}
		if version >= 2 {
			equal(t, *got.ClusterID, VirtualClusterID("vc"))
		}
		if version >= 5 {
			equal(t, p[0].OfflineReplicas, []int32{virtualB})
		}
	})
}

// TestPresentingIsNotLearned: the gateway keeps the physical view of what passes by.
func TestPresentingIsNotLearned(t *testing.T) {
	e, c := hiding()
	m := kmsg.NewPtrMetadataResponse()
	m.Version, m.ControllerID = 13, nodeB
	m.Brokers = []kmsg.MetadataResponseBroker{{NodeID: nodeA, Host: "elsewhere", Port: 1}}
	p := kmsg.MetadataResponseTopicPartition{Leader: nodeA, Replicas: []int32{nodeA}, ISR: []int32{nodeA}, OfflineReplicas: []int32{nodeB}}
	m.Topics = []kmsg.MetadataResponseTopic{{Topic: kmsg.StringPtr("orders"), Partitions: []kmsg.MetadataResponseTopicPartition{p}}}
	if err := e.virtualize(kmsg.Metadata, 13, c, kafka.ResponseBodyOf(m)); err != nil {
		t.Fatal(err)
	}
	topo := c.Topology()
	equal(t, topo.Topics["orders"].Partitions, "[{777 0 [777] [777] [778]}]")
	equal(t, []any{topo.Controller, topo.Brokers[0].Host, topo.Brokers[1].Host}, []any{nodeB, "elsewhere", "hidden"})
}

func TestCoordinatorsArePresented(t *testing.T) {
	e, _ := hiding()
	want := e.nodes.Virtual("prod", nodeB)
	versions(t, kmsg.FindCoordinator, func(t *testing.T, version int16, edited bool) {
		m := kmsg.NewPtrFindCoordinatorResponse()
		if m.Version = version; version < 4 {
			m.NodeID, m.Host, m.Port = nodeB, "hidden", hiddenPort
			got := shown[*kmsg.FindCoordinatorResponse](t, m, edited)
			equal(t, []any{got.NodeID, got.Host, got.Port}, []any{virtualB, want.Host, want.Port})
			m.ErrorCode, m.NodeID, m.Host, m.Port = 15, -1, "", -1
			got = shown[*kmsg.FindCoordinatorResponse](t, m, edited)
			equal(t, []any{got.ErrorCode, got.NodeID, got.Host, got.Port}, []any{15, -1, "", -1})
			return
		}
		m.Coordinators = []kmsg.FindCoordinatorResponseCoordinator{{Key: "a", NodeID: nodeB, Host: "hidden", Port: hiddenPort}, {Key: "b", NodeID: -1, Port: -1, ErrorCode: 15}}
		got := shown[*kmsg.FindCoordinatorResponse](t, m, edited).Coordinators
		equal(t, []any{got[0].Key, got[0].NodeID, got[0].Host, got[0].Port}, []any{"a", virtualB, want.Host, want.Port})
		equal(t, []any{got[1].Key, got[1].NodeID, got[1].Host, got[1].Port, got[1].ErrorCode}, []any{"b", -1, "", -1, 15})
	})
}

func TestDescribeClusterIsPresented(t *testing.T) {
	versions(t, kmsg.DescribeCluster, func(t *testing.T, version int16, edited bool) {
		m := kmsg.NewPtrDescribeClusterResponse()
		m.Version, m.ClusterID, m.ControllerID = version, "hidden-cluster", nodeA
		m.Brokers = []kmsg.DescribeClusterResponseBroker{{NodeID: nodeA, Host: "hidden", Port: hiddenPort}}
		got := shown[*kmsg.DescribeClusterResponse](t, m, edited)
		equal(t, []any{got.ClusterID, got.ControllerID, len(got.Brokers), got.Brokers[1].NodeID}, []any{VirtualClusterID("vc"), virtualA, 2, virtualB})
		m.ErrorCode, m.ControllerID, m.Brokers = 31, -1, nil
		got = shown[*kmsg.DescribeClusterResponse](t, m, edited)
		equal(t, []any{got.ErrorCode, got.ControllerID, len(got.Brokers)}, []any{31, -1, 0})
	})
}

func TestTopicPartitionsArePresented(t *testing.T) {
	versions(t, kmsg.DescribeTopicPartitions, func(t *testing.T, version int16, edited bool) {
		m := kmsg.NewPtrDescribeTopicPartitionsResponse()
		m.Version = version
		topic := kmsg.NewDescribeTopicPartitionsResponseTopic()
		for _, leader := range []int32{nodeA, -1} {
			p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
			p.LeaderID, p.Replicas, p.ISR, p.EligibleLeaderReplicas, p.LastKnownELR, p.OfflineReplicas = leader, []int32{nodeA, nodeB}, []int32{nodeA}, []int32{nodeB}, []int32{nodeA}, []int32{nodeB}
			topic.Partitions = append(topic.Partitions, p)
		}
		m.Topics = append(m.Topics, topic)
		p := shown[*kmsg.DescribeTopicPartitionsResponse](t, m, edited).Topics[0].Partitions
		equal(t, []any{p[0].LeaderID, p[0].Replicas, p[0].ISR, p[1].LeaderID}, []any{virtualA, []int32{virtualA, virtualB}, []int32{virtualA}, -1})
		equal(t, []any{p[0].EligibleLeaderReplicas, p[0].LastKnownELR, p[0].OfflineReplicas}, []any{[]int32{virtualB}, []int32{virtualA}, []int32{virtualB}})
	})
}

// TestProduceHintsArePresented: KIP-951 leaders and their endpoints; also those of a broker that
// names them in every version that has room for them.
func TestProduceHintsArePresented(t *testing.T) {
	versions(t, kmsg.Produce, func(t *testing.T, version int16, edited bool) {
		m := kmsg.NewPtrProduceResponse()
		m.Version = version
		m.Topics = []kmsg.ProduceResponseTopic{{Topic: "orders", TopicID: topicID("orders")}}
		for _, leader := range []int32{nodeA, -1} {
			p := kmsg.NewProduceResponseTopicPartition()
			p.ErrorCode, p.BaseOffset = 6, 5
			if version >= 9 {
				p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = leader, 3
			}
			m.Topics[0].Partitions = append(m.Topics[0].Partitions, p)
		}
		if version >= 9 {
			m.Brokers = []kmsg.ProduceResponseBroker{{NodeID: nodeA, Host: "hidden", Port: hiddenPort}}
			alone := kmsg.NewPtrProduceResponse() // endpoints without a leader
			alone.Version, alone.Brokers = version, m.Brokers
			equal(t, shown[*kmsg.ProduceResponse](t, alone, edited).Brokers[0].NodeID, virtualA)
		}
		got := shown[*kmsg.ProduceResponse](t, m, edited)
		p := got.Topics[0].Partitions
		equal(t, []any{p[0].ErrorCode, p[0].BaseOffset, p[1].ErrorCode}, []any{6, 5, 6})
		if version >= 9 {
			equal(t, []any{p[0].CurrentLeader.LeaderID, p[0].CurrentLeader.LeaderEpoch, p[1].CurrentLeader.LeaderID}, []any{virtualA, 3, -1})
			equal(t, []any{len(got.Brokers), got.Brokers[0].NodeID, got.Brokers[0].Host}, []any{1, virtualA, "gateway"})
		}
	})
}

// TestFetchHintsArePresented: KIP-951 leaders, their endpoints, and preferred replicas; also
// those of a broker that names them in every version that has room for them.
func TestFetchHintsArePresented(t *testing.T) {
	versions(t, kmsg.Fetch, func(t *testing.T, version int16, edited bool) {
		fetch := func(leader, preferred, endpoint int32) *kmsg.FetchResponse {
			m := kmsg.NewPtrFetchResponse()
			m.Version = version
			p := kmsg.NewFetchResponseTopicPartition()
			p.HighWatermark, p.PreferredReadReplica, p.RecordBatches = 5, preferred, []byte("records")
			if version >= 12 {
				p.CurrentLeader.LeaderID = leader
			}
			if version >= 12 && endpoint >= 0 {
				m.Brokers = []kmsg.FetchResponseBroker{{NodeID: endpoint, Host: "hidden", Port: hiddenPort}}
			}
			m.Topics = []kmsg.FetchResponseTopic{{Topic: "orders", TopicID: topicID("orders"), Partitions: []kmsg.FetchResponseTopicPartition{p}}}
			return m
		}
		for _, c := range [][3]int32{{-1, -1, -1}, {nodeA, -1, nodeA}, {-1, nodeB, -1}, {nodeA, -1, -1}, {-1, -1, nodeB}} {
			got := shown[*kmsg.FetchResponse](t, fetch(c[0], c[1], c[2]), edited)
			p := got.Topics[0].Partitions[0]
			equal(t, []any{p.HighWatermark, string(p.RecordBatches)}, []any{5, "records"})
			virtual := func(n int32) int32 { return map[int32]int32{-1: -1, nodeA: virtualA, nodeB: virtualB}[n] }
			if version >= 11 {
				equal(t, p.PreferredReadReplica, virtual(c[1]))
			}
			if version >= 12 {
				equal(t, p.CurrentLeader.LeaderID, virtual(c[0]))
			}
			if version >= 12 && c[2] >= 0 {
				equal(t, []any{len(got.Brokers), got.Brokers[0].NodeID, got.Brokers[0].Host}, []any{1, virtual(c[2]), "gateway"})
			}
		}
	})
}

// TestHotAnswersAreNotDecoded: one that names no node leaves as its bytes.
func TestHotAnswersAreNotDecoded(t *testing.T) {
	e, c := hiding()
	produced := kmsg.NewPtrProduceResponse()
	produced.Topics = []kmsg.ProduceResponseTopic{{Partitions: []kmsg.ProduceResponseTopicPartition{kmsg.NewProduceResponseTopicPartition()}}}
	fetched := kmsg.NewPtrFetchResponse()
	p := kmsg.NewFetchResponseTopicPartition()
	p.PreferredReadReplica = -1
	fetched.Topics = []kmsg.FetchResponseTopic{{Partitions: []kmsg.FetchResponseTopicPartition{p}}}
	for _, msg := range []kmsg.Response{produced, fetched} {
		msg.SetVersion(msg.MaxVersion())
		raw := msg.AppendTo(nil)
		body := kafka.NewResponseBody(kmsg.Key(msg.Key()), msg.GetVersion(), raw)
		if err := e.virtualize(body.Key(), body.Version(), c, body); err != nil {
			t.Fatal(err)
		}
		var o kafka.Out
		if body.AppendTo(&o); body.View() == nil || !bytes.Equal(o.Bytes(), raw) { // an edited body has no view
			t.Errorf("%s was decoded", kmsg.NameForKey(msg.Key()))
		}
	}
}

// TestEverythingThatCarriesBrokersIsPresented, by the API table.
func TestEverythingThatCarriesBrokersIsPresented(t *testing.T) {
	e, c := hiding()
	for _, api := range kafka.APIs() {
		if api.Carries&kafka.Brokers == 0 || api.GoesTo == kafka.Gateway {
			continue
		}
		msg := kmsg.ResponseForKey(int16(api.Key))
		msg.SetVersion(api.MaxVersion)
		if err := e.virtualize(api.Key, api.MaxVersion, c, kafka.NewResponseBody(api.Key, api.MaxVersion, msg.AppendTo(nil))); err != nil {
			t.Error(err)
		}
	}
	if err := e.virtualize(kmsg.Metadata, 9, c, kafka.NewResponseBody(kmsg.Metadata, 9, []byte{1})); err == nil {
		t.Error("an answer that does not parse is passed on")
	}
	if !slices.Equal(leaks(reflect.ValueOf(e.nodes.All()), ""), nil) {
		t.Error("virtual nodes show physical ones")
	}
}
