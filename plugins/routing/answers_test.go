package routing

import (
	"context"
	"fmt"
	"github.com/sluice-gateway/sluice/core/kafka"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// exchange sends a request through the interceptor. answer is a cluster's.
func exchange[Req kmsg.Request, Resp kmsg.Response](t *testing.T, r *Routing, m Req, answer func(cluster string, sent Req) Resp) Resp {
	t.Helper()
	resp, err := r.Intercept(t.Context(), plugintest.Request(t, m, ""), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		return plugintest.Encode(answer(f.Target.Cluster, plugintest.Sent[Req](t, f))), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return plugintest.Decode[Resp](t, resp)
}

// everywhere are the topics of both clusters: homes, copies, and one that belongs to nobody.
var everywhere = []string{"gone", "logs-a", "orders"}

// TestAllTopicsAreListedOnce, at their homes, by whatever lists them and in every version: copies
// and topics of nobody are not.
func TestAllTopicsAreListedOnce(t *testing.T) {
	r, _ := build(t, rulesYAML)
	want := []string{"dr logs-a", "prod orders"}
	check := func(what string, got []string) {
		t.Helper()
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	for version := range kmsg.NewPtrMetadataRequest().MaxVersion() + 1 {
		m := kmsg.NewPtrMetadataRequest()
		if m.SetVersion(version); version == 0 {
			m.Topics = []kmsg.MetadataRequestTopic{}
		}
		var got []string
		for _, topic := range exchange(t, r, m, func(cluster string, sent *kmsg.MetadataRequest) *kmsg.MetadataResponse {
			out := sent.ResponseKind().(*kmsg.MetadataResponse)
			for _, name := range everywhere {
				rt := kmsg.NewMetadataResponseTopic()
				p := kmsg.NewMetadataResponseTopicPartition()
				rt.Topic, p.Leader = &name, map[string]int32{"prod": 1, "dr": 2}[cluster]
				rt.Partitions = append(rt.Partitions, p)
				out.Topics = append(out.Topics, rt)
			}
			return out
		}).Topics {
			for _, p := range topic.Partitions {
				got = append(got, fmt.Sprint(map[int32]string{1: "prod", 2: "dr"}[p.Leader], " ", *topic.Topic))
			}
		}
		check(fmt.Sprintf("Metadata version %d", version), got)
	}

	configs := kmsg.NewPtrListConfigResourcesRequest()
	configs.SetVersion(1)
	var got []string
	from := map[string][]string{}
	for _, c := range exchange(t, r, configs, func(cluster string, sent *kmsg.ListConfigResourcesRequest) *kmsg.ListConfigResourcesResponse {
		out := sent.ResponseKind().(*kmsg.ListConfigResourcesResponse)
		for _, name := range everywhere {
			out.ConfigResources = append(out.ConfigResources, kmsg.ListConfigResourcesResponseConfigResource{Name: name, Type: int8(kmsg.ConfigResourceTypeTopic)})
		}
		for _, name := range []string{"app-1", "other"} {
			out.ConfigResources = append(out.ConfigResources, kmsg.ListConfigResourcesResponseConfigResource{Name: name, Type: int8(kmsg.ConfigResourceTypeGroupConfig)})
		}
		return out
	}).ConfigResources {
		from[c.Name] = append(from[c.Name], c.Name)
	}
	for _, name := range []string{"logs-a", "orders", "app-1", "other"} {
		if len(from[name]) != 1 {
			t.Errorf("ListConfigResources has %q %d times", name, len(from[name]))
		}
	}
	if len(from["gone"]) != 0 {
		t.Error("ListConfigResources has a topic of nobody")
	}

	elect := kmsg.NewPtrElectLeadersRequest()
	elect.SetVersion(2)
	elect.Topics = nil
	for _, topic := range exchange(t, r, elect, func(cluster string, sent *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse {
		out := sent.ResponseKind().(*kmsg.ElectLeadersResponse)
		for _, name := range everywhere {
			p := kmsg.ElectLeadersResponseTopicPartition{ErrorMessage: &cluster}
			out.Topics = append(out.Topics, kmsg.ElectLeadersResponseTopic{Topic: name, Partitions: []kmsg.ElectLeadersResponseTopicPartition{p}})
		}
		return out
	}).Topics {
		for _, p := range topic.Partitions {
			got = append(got, *p.ErrorMessage+" "+topic.Topic)
		}
	}
	check("ElectLeaders", got)

	moving := kmsg.NewPtrListPartitionReassignmentsRequest()
	moving.Topics, got = nil, nil
	for _, topic := range exchange(t, r, moving, func(cluster string, sent *kmsg.ListPartitionReassignmentsRequest) *kmsg.ListPartitionReassignmentsResponse {
		out := sent.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
		for _, name := range everywhere {
			p := kmsg.ListPartitionReassignmentsResponseTopicPartition{Replicas: []int32{map[string]int32{"prod": 1, "dr": 2}[cluster]}}
			out.Topics = append(out.Topics, kmsg.ListPartitionReassignmentsResponseTopic{Topic: name, Partitions: []kmsg.ListPartitionReassignmentsResponseTopicPartition{p}})
		}
		return out
	}).Topics {
		for _, p := range topic.Partitions {
			got = append(got, fmt.Sprint(map[int32]string{1: "prod", 2: "dr"}[p.Replicas[0]], " ", topic.Topic))
		}
	}
	check("ListPartitionReassignments", got)
}

// TestTopicsWithoutNameOrID refuse a Metadata, if nothing else is asked by id; beside ids they are
// left out.
func TestTopicsWithoutNameOrID(t *testing.T) {
	r, env := build(t, rulesYAML)
	none := kmsg.NewMetadataRequestTopic()
	known := kmsg.NewMetadataRequestTopic()
	known.TopicID = env.Catalog.Topic("orders").ID
	for version := int16(12); version <= kmsg.NewPtrMetadataRequest().MaxVersion(); version++ {
		m := kmsg.NewPtrMetadataRequest()
		m.SetVersion(version)
		m.Topics = []kmsg.MetadataRequestTopic{none}
		got := exchange(t, r, m, func(string, *kmsg.MetadataRequest) *kmsg.MetadataResponse {
			t.Error("a cluster is asked for nothing")
			return kmsg.NewPtrMetadataResponse()
		})
		about := fact.Of(t, "version %d: %+v", version, got)
		if fact.Equal(about, "len(got.Topics)", len(got.Topics), 1) {
			fact.Equal(about, "got.Topics[0].ErrorCode", got.Topics[0].ErrorCode, -1)
			if fact.Equal(about, "len(got.Brokers)", len(got.Brokers), 0) {
				if version >= 13 {
					fact.Equal(about, "code of the answer", got.ErrorCode, -1)
				}
			}
		}
		m.Topics = []kmsg.MetadataRequestTopic{none, known}
		got = exchange(t, r, m, func(_ string, sent *kmsg.MetadataRequest) *kmsg.MetadataResponse {
			if len(sent.Topics) != 1 {
				t.Errorf("version %d: the cluster is asked for %+v", version, sent.Topics)
			}
			return sent.ResponseKind().(*kmsg.MetadataResponse)
		})
		if got.ErrorCode != 0 {
			t.Errorf("version %d: code %d beside an id", version, got.ErrorCode)
		}
	}
}

// TestNamesThatNoTopicHas are refused by a cluster, also where the rules give them no home.
func TestNamesThatNoTopicHas(t *testing.T) {
	r, _ := build(t, `{topics: {orders: {cluster: prod}}}`)
	for _, name := range []string{"", ".", "..", "a b"} {
		m := kmsg.NewPtrCreateTopicsRequest()
		m.SetVersion(5)
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic = name
		m.Topics = append(m.Topics, topic)
		got := exchange(t, r, m, func(_ string, sent *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
			out := sent.ResponseKind().(*kmsg.CreateTopicsResponse)
			rt := kmsg.NewCreateTopicsResponseTopic()
			rt.Topic, rt.ErrorCode = sent.Topics[0].Topic, 17
			out.Topics = append(out.Topics, rt)
			return out
		})
		if len(got.Topics) != 1 || got.Topics[0].ErrorCode != 17 {
			t.Errorf("%q: %+v", name, got.Topics)
		}
	}
}

// TestAnIDWithoutAnEpoch, or the other way round, is no producer's.
func TestAnIDWithoutAnEpoch(t *testing.T) {
	r, _ := build(t, rulesYAML)
	for of, want := range map[[2]int64]int16{{-1, -1}: 0, {5, 0}: 0, {5, -1}: int16(kafka.InvalidRequest), {-1, 0}: int16(kafka.InvalidRequest)} {
		m := kmsg.NewPtrInitProducerIDRequest()
		m.SetVersion(4)
		m.ProducerID, m.ProducerEpoch = of[0], int16(of[1])
		got := exchange(t, r, m, func(string, *kmsg.InitProducerIDRequest) *kmsg.InitProducerIDResponse {
			t.Error("a cluster was asked")
			return kmsg.NewPtrInitProducerIDResponse()
		})
		if got.ErrorCode != want || (got.ProducerID < 0) != (want != 0) {
			t.Errorf("id and epoch %v: code %d, id %d", of, got.ErrorCode, got.ProducerID)
		}
	}
}

// TestOneTopicIsRefused, and the rest of the request is not.
func TestOneTopicIsRefused(t *testing.T) {
	r, env := build(t, rulesYAML)
	elect := kmsg.NewPtrElectLeadersRequest()
	elect.SetVersion(2)
	for _, name := range []string{"gone", "orders"} {
		elect.Topics = append(elect.Topics, kmsg.ElectLeadersRequestTopic{Topic: name, Partitions: []int32{0}})
	}
	got := exchange(t, r, elect, func(_ string, sent *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse {
		out := sent.ResponseKind().(*kmsg.ElectLeadersResponse)
		out.Topics = []kmsg.ElectLeadersResponseTopic{{Topic: "orders", Partitions: []kmsg.ElectLeadersResponseTopicPartition{{ErrorCode: 84}}}}
		return out
	})
	codes := map[string]int16{}
	for _, topic := range got.Topics {
		codes[topic.Topic] = topic.Partitions[0].ErrorCode
	}
	if got.ErrorCode != 0 || kafka.Code(codes["gone"]) != kafka.UnknownTopicOrPartition || codes["orders"] != 84 {
		t.Errorf("code %d, of topics %v", got.ErrorCode, codes)
	}

	moving := kmsg.NewPtrListPartitionReassignmentsRequest()
	moving.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: "gone", Partitions: []int32{0}}}
	if got := exchange(t, r, moving, func(string, *kmsg.ListPartitionReassignmentsRequest) *kmsg.ListPartitionReassignmentsResponse {
		t.Error("a cluster was asked")
		return kmsg.NewPtrListPartitionReassignmentsResponse()
	}); got.ErrorCode != 0 || len(got.Topics) != 0 {
		t.Errorf("reassignments: %+v", got)
	}

	both := kmsg.NewPtrDeleteTopicsRequest()
	both.SetVersion(6)
	name := "logs-a"
	both.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name, TopicID: env.Catalog.Topic("orders").ID}}
	if got := exchange(t, r, both, func(string, *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse {
		t.Error("a cluster was asked to delete what is named twice")
		return kmsg.NewPtrDeleteTopicsResponse()
	}); len(got.Topics) != 1 || kafka.Code(got.Topics[0].ErrorCode) != kafka.InvalidRequest {
		t.Errorf("deleted: %+v", got.Topics)
	}
}
