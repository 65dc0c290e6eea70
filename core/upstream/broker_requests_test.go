package upstream

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

func TestReassignmentsArePresented(t *testing.T) {
	versions(t, kmsg.ListPartitionReassignments, func(t *testing.T, version int16, edited bool) {
		m := kmsg.NewPtrListPartitionReassignmentsResponse()
		m.Version = version
		p := kmsg.ListPartitionReassignmentsResponseTopicPartition{Replicas: []int32{nodeA}, AddingReplicas: []int32{nodeB}, RemovingReplicas: []int32{nodeA}}
		m.Topics = []kmsg.ListPartitionReassignmentsResponseTopic{{Topic: "orders", Partitions: []kmsg.ListPartitionReassignmentsResponseTopicPartition{p}}}
		p = shown[*kmsg.ListPartitionReassignmentsResponse](t, m, edited).Topics[0].Partitions[0]
		equal(t, []any{p.Replicas, p.AddingReplicas, p.RemovingReplicas}, []any{[]int32{virtualA}, []int32{virtualB}, []int32{virtualA}})
	})
}

// TestBrokerConfigsArePresented: names and values that tell nodes and addresses; what does not
// stays.
func TestBrokerConfigsArePresented(t *testing.T) {
	versions(t, kmsg.DescribeConfigs, func(t *testing.T, version int16, edited bool) {
		m := kmsg.NewPtrDescribeConfigsResponse()
		m.Version = version
		r := kmsg.DescribeConfigsResponseResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "777", ErrorCode: 40, ErrorMessage: kmsg.StringPtr("not node 777 of hidden")}
		for name, value := range map[string]string{
			"broker.id": "777", "node.id": "777", "listeners": "PLAINTEXT://hidden:9999", "advertised.listeners": "PLAINTEXT://hidden:9999",
			"controller.quorum.voters": "777@hidden:9999", "log.retention.ms": "5000", "controller.listener.names": "CONTROLLER",
		} {
			c := kmsg.DescribeConfigsResponseResourceConfig{Name: name, Value: &value}
			c.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{{Name: name, Value: &value}}
			r.Configs = append(r.Configs, c)
		}
		unset := kmsg.DescribeConfigsResponseResourceConfig{Name: "early.start.listeners"}
		unset.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{{Name: "broker.id", Value: kmsg.StringPtr("-1")}}
		r.Configs = append(r.Configs, unset)
		other := kmsg.DescribeConfigsResponseResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "9", Configs: []kmsg.DescribeConfigsResponseResourceConfig{{Name: "node.id", Value: kmsg.StringPtr("9")}}}
		m.Resources = append(m.Resources, r, other)
		got := shown[*kmsg.DescribeConfigsResponse](t, m, edited).Resources
		equal(t, []any{got[0].ResourceName, got[1].ResourceName, *got[1].Configs[0].Value}, []any{virtualA, "9", "9"})
		if got[0].ErrorMessage == nil || !strings.Contains(*got[0].ErrorMessage, fmt.Sprint(virtualA)) {
			t.Errorf("%v", got[0].ErrorMessage)
		}
		values := map[string]string{}
		for _, c := range got[0].Configs {
			if c.Name != unset.Name {
				values[c.Name] = *c.Value
				continue
			}
			if c.Value != nil {
				t.Errorf("%s is not set, and shown as %q", c.Name, *c.Value)
			}
			if version >= 1 {
				equal(t, *c.ConfigSynonyms[0].Value, "-1")
			}
		}
		e, _ := hiding()
		equal(t, values, map[string]string{
			"broker.id": fmt.Sprint(virtualA), "node.id": fmt.Sprint(virtualA), "controller.quorum.voters": "",
			"listeners": fmt.Sprintf("PLAINTEXT://gateway:%d", e.nodes.Virtual("prod", nodeA).Port), "advertised.listeners": fmt.Sprintf("PLAINTEXT://gateway:%d", e.nodes.Virtual("prod", nodeA).Port),
			"log.retention.ms": "5000", "controller.listener.names": "CONTROLLER",
		})
	})
}

func TestConfigResourcesArePresented(t *testing.T) {
	versions(t, kmsg.ListConfigResources, func(t *testing.T, version int16, edited bool) {
		if version == 0 {
			return // client metrics alone
		}
		m := kmsg.NewPtrListConfigResourcesResponse()
		m.Version = version
		m.ConfigResources = []kmsg.ListConfigResourcesResponseConfigResource{
			{Name: "777", Type: int8(kmsg.ConfigResourceTypeBroker)}, {Name: "778", Type: int8(kmsg.ConfigResourceTypeBrokerLogger)}, {Name: "9", Type: int8(kmsg.ConfigResourceTypeTopic)},
		}
		got := shown[*kmsg.ListConfigResourcesResponse](t, m, edited).ConfigResources
		equal(t, []any{got[0].Name, got[1].Name, got[2].Name}, []any{virtualA, virtualB, "9"})
	})
	for _, kind := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger} {
		for _, key := range []kmsg.Key{kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs, kmsg.DescribeConfigs} {
			versions(t, key, func(t *testing.T, version int16, edited bool) {
				message := kmsg.StringPtr("node 777")
				switch key {
				case kmsg.AlterConfigs:
					m := &kmsg.AlterConfigsResponse{Version: version, Resources: []kmsg.AlterConfigsResponseResource{{ResourceType: kind, ResourceName: "777", ErrorMessage: message}}}
					equal(t, shown[*kmsg.AlterConfigsResponse](t, m, edited).Resources[0].ResourceName, virtualA)
				case kmsg.IncrementalAlterConfigs:
					m := &kmsg.IncrementalAlterConfigsResponse{Version: version, Resources: []kmsg.IncrementalAlterConfigsResponseResource{{ResourceType: kind, ResourceName: "777", ErrorMessage: message}}}
					equal(t, shown[*kmsg.IncrementalAlterConfigsResponse](t, m, edited).Resources[0].ResourceName, virtualA)
				default:
					m := &kmsg.DescribeConfigsResponse{Version: version, Resources: []kmsg.DescribeConfigsResponseResource{{ResourceType: kind, ResourceName: "777", ErrorMessage: message}}}
					equal(t, shown[*kmsg.DescribeConfigsResponse](t, m, edited).Resources[0].ResourceName, virtualA)
				}
			})
		}
	}
}

// TestRefusalsOfWholeRequestsStay: they know of no cluster and no nodes, and clients are shown
// none.
func TestRefusalsOfWholeRequestsStay(t *testing.T) {
	for v := int16(2); v <= kmsg.NewPtrMetadataRequest().MaxVersion(); v++ {
		m := kmsg.NewPtrMetadataResponse()
		m.Version = v
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = kmsg.StringPtr(""), -1
		m.Topics = append(m.Topics, topic)
		got := shown[*kmsg.MetadataResponse](t, m, false)
		equal(t, []any{got.ClusterID == nil, len(got.Brokers), got.ControllerID, got.Topics[0].ErrorCode}, []any{true, 0, -1, -1})
	}
	c := kmsg.NewPtrDescribeClusterResponse()
	c.Version, c.ErrorCode, c.ControllerID = 1, 115, -1
	got := shown[*kmsg.DescribeClusterResponse](t, c, false)
	equal(t, []any{got.ErrorCode, got.ClusterID, got.ControllerID, len(got.Brokers)}, []any{115, "", -1, 0})
}

// describe asks for the configuration of brokers, by the names that clients know.
func describe(s *plugin.Session, names ...string) *plugin.Request {
	m := newest(kmsg.DescribeConfigs).(*kmsg.DescribeConfigsRequest)
	for _, n := range names {
		m.Resources = append(m.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: n})
	}
	return request(s, m)
}

// TestRequestsThatNameNodes reach the broker that they name, under its physical id; the client's
// bytes stay as received. A node of another cluster is none that the broker knows.
func TestRequestsThatNameNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		s := session(t, 0)
		req := describe(s, fmt.Sprint(1<<20+1))
		if _, err := e.Handle(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		start(t, e, req, true, func(_ *plugin.Response, err error) {
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if len(f.broker(1).got) != 2 {
			t.Fatalf("%v, %v", f.broker(0).keys(), f.broker(1).keys())
		}
		for _, m := range f.broker(1).got {
			equal(t, m.(*kmsg.DescribeConfigsRequest).Resources[0].ResourceName, "1")
		}
		name := fmt.Sprint(1<<20 + 1)
		alter, change := newest(kmsg.AlterConfigs).(*kmsg.AlterConfigsRequest), newest(kmsg.IncrementalAlterConfigs).(*kmsg.IncrementalAlterConfigsRequest)
		alter.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: name}}
		change.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: name}}
		for _, m := range []kmsg.Request{alter, change} {
			if _, err := e.Handle(t.Context(), request(s, m)); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, f.broker(1).got[2].(*kmsg.AlterConfigsRequest).Resources[0].ResourceName, "1")
		equal(t, f.broker(1).got[3].(*kmsg.IncrementalAlterConfigsRequest).Resources[0].ResourceName, "1")
		if _, err := e.Handle(t.Context(), describe(s, fmt.Sprint(2<<20+1))); err != nil {
			t.Fatal(err)
		}
		equal(t, f.broker(0).got[0].(*kmsg.DescribeConfigsRequest).Resources[0].ResourceName, "-2")

		// The other's is refused by the broker that is asked.
		if _, err := e.Handle(t.Context(), describe(s, fmt.Sprint(1<<20+1), fmt.Sprint(1<<20))); err != nil {
			t.Fatal(err)
		}
		both := f.broker(0).got[1].(*kmsg.DescribeConfigsRequest).Resources
		equal(t, []string{both[0].ResourceName, both[1].ResourceName}, []string{"1", "0"})

		create := newest(kmsg.CreateTopics).(*kmsg.CreateTopicsRequest)
		create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "new", ReplicaAssignment: []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: []int32{1<<20 + 1, 1 << 20, 2 << 20}}}}}
		grow := newest(kmsg.CreatePartitions).(*kmsg.CreatePartitionsRequest)
		grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "new", Assignment: []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: []int32{1<<20 + 1}}}}}
		assign := newest(kmsg.AlterPartitionAssignments).(*kmsg.AlterPartitionAssignmentsRequest)
		assign.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "new", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: []int32{1<<20 + 1}}}}}
		for _, m := range []kmsg.Request{create, grow, assign} {
			if _, err := e.Handle(t.Context(), request(session(t, 1), m)); err != nil {
				t.Fatal(err)
			}
		}
		got := f.broker(0).got[2:] // the controller
		equal(t, got[0].(*kmsg.CreateTopicsRequest).Topics[0].ReplicaAssignment[0].Replicas, []int32{1, 0, -2})
		equal(t, got[1].(*kmsg.CreatePartitionsRequest).Topics[0].Assignment[0].Replicas, []int32{1})
		equal(t, got[2].(*kmsg.AlterPartitionAssignmentsRequest).Topics[0].Partitions[0].Replicas, []int32{1})
	})
}
