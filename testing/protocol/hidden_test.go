package protocol

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// partitionOf lists requests that name partition 0 of a topic, by its name and, where the version
// has it, its id.
func partitionOf(topic string, id [16]byte) []kmsg.Request {
	produce, fetch := kmsg.NewPtrProduceRequest(), kmsg.NewPtrFetchRequest()
	pt, pp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	pp.Records = kafkatest.Batch(100)
	pt.Topic, pt.TopicID, pt.Partitions = topic, id, append(pt.Partitions, pp)
	produce.Acks, produce.TimeoutMillis, produce.Topics = -1, 1000, append(produce.Topics, pt)
	ft, fp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	fp.PartitionMaxBytes = 1 << 20
	ft.Topic, ft.TopicID, ft.Partitions = topic, id, append(ft.Partitions, fp)
	fetch.MaxBytes, fetch.SessionEpoch, fetch.Topics = 1<<20, -1, append(fetch.Topics, ft)
	list, epoch := kmsg.NewPtrListOffsetsRequest(), kmsg.NewPtrOffsetForLeaderEpochRequest()
	list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{kmsg.NewListOffsetsRequestTopicPartition()}}}
	epoch.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{kmsg.NewOffsetForLeaderEpochRequestTopicPartition()}}}
	commit, remove := kmsg.NewPtrOffsetCommitRequest(), kmsg.NewPtrDeleteRecordsRequest()
	commit.Group, commit.Generation = "g", -1
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{kmsg.NewOffsetCommitRequestTopicPartition()}}}
	remove.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{kmsg.NewDeleteRecordsRequestTopicPartition()}}}
	grow, pages := kmsg.NewPtrCreatePartitionsRequest(), kmsg.NewPtrDescribeTopicPartitionsRequest()
	grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: topic, Count: 9}}
	pages.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: topic}}
	out := []kmsg.Request{produce, fetch, list, epoch, commit, remove, grow, pages}
	for _, name := range []*string{&topic, nil} {
		m, d := kmsg.NewPtrMetadataRequest(), kmsg.NewPtrDeleteTopicsRequest()
		mt, dt := kmsg.NewMetadataRequestTopic(), kmsg.NewDeleteTopicsRequestTopic()
		if mt.Topic, dt.Topic = name, name; name == nil {
			mt.TopicID, dt.TopicID = id, id
		} else {
			d.TopicNames = []string{topic}
		}
		m.Topics, d.Topics = append(m.Topics, mt), append(d.Topics, dt)
		out = append(out, m, d)
	}
	return out
}

var errorCode = regexp.MustCompile(`"ErrorCode":([1-9]\d*)`)

// codes lists the errors that an answer has for its topics.
func codes(t *testing.T, resp kmsg.Response) (out []string) {
	t.Helper()
	b, err := json.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	_, topics, _ := strings.Cut(string(b), `"Topics":`)
	for _, m := range errorCode.FindAllStringSubmatch(topics, -1) {
		out = append(out, m[1])
	}
	return out
}

// byID reports a request that names its topic by id alone.
func byID(req kmsg.Request) bool {
	switch m := req.(type) {
	case *kmsg.ProduceRequest:
		return m.Version >= 13
	case *kmsg.FetchRequest:
		return m.Version >= 13
	case *kmsg.OffsetCommitRequest:
		return m.Version >= 10
	case *kmsg.MetadataRequest:
		return m.Topics[0].Topic == nil
	case *kmsg.DeleteTopicsRequest:
		return m.Version >= 6 && m.Topics[0].Topic == nil
	}
	return false
}

// TestATopicThatIsTakenAwayIsUnknown: from the reload on, clients that know it, on the connections
// that they have, get the answer for a topic that does not exist. Given back, it is the same topic.
func TestATopicThatIsTakenAwayIsUnknown(t *testing.T) {
	for edit, back := range map[string]string{`hide: ["orders", `: `hide: [`, "orders: {cluster: none}": "orders: {cluster: prod}"} {
		t.Run(edit, func(t *testing.T) {
			h := build(t, "orders", "other")
			p := h.client(h.gw.Bootstrap)
			h.produce(p, "orders", "x", 3)
			id := h.gw.Topic(tenant, "orders").ID
			reload := func(from, to string) {
				t.Helper()
				before := h.gw.Snapshot().Revision
				if err := h.gw.Edit(from, to); err != nil {
					t.Fatal(err)
				}
				h.wait("the reload", func() bool { return h.gw.Snapshot().Revision != before })
			}
			reload(back, edit)
			for name, c := range map[string]*kgo.Client{"new": p, "old": h.client(h.gw.Bootstrap, kgo.MaxVersions(kversion.V2_4_0()))} {
				for _, req := range partitionOf("orders", id) {
					if _, ok := req.(*kmsg.DescribeTopicPartitionsRequest); ok && name == "old" {
						continue
					}
					if d, ok := req.(*kmsg.DeleteTopicsRequest); ok && name == "old" && len(d.TopicNames) == 0 {
						continue
					}
					if m, ok := req.(*kmsg.MetadataRequest); ok && name == "old" && m.Topics[0].Topic == nil {
						continue
					}
					resp, err := c.SeedBrokers()[0].Request(h.ctx, req)
					if err != nil {
						t.Fatal(name, kmsg.NameForKey(req.Key()), err)
					}
					want := "3"
					if byID(req) {
						want = "100"
					}
					if got := codes(t, resp); !slices.Equal(got, []string{want}) {
						t.Errorf("%s v%d by id %t: codes %v", kmsg.NameForKey(req.Key()), req.GetVersion(), byID(req), got)
					}
				}
			}
			all := kmsg.NewPtrDescribeTopicPartitionsRequest()
			resp, err := p.SeedBrokers()[0].Request(h.ctx, all)
			if err != nil {
				t.Fatal(err)
			}
			if m := resp.(*kmsg.DescribeTopicPartitionsResponse); len(m.Topics) != 1 || *m.Topics[0].Topic != "other" {
				t.Errorf("all topics: %+v", m.Topics)
			}
			if _, body := h.call("GET", "/routes", ""); !strings.Contains(body, `"orders"`) {
				t.Error("operators don't see it")
			}
			reload(edit, back)
			h.produce(p, "orders", "y", 3)
			if got := h.gw.Topic(tenant, "orders").ID; got != id {
				t.Errorf("id %x, before %x", got, id)
			}
			if got := h.read(h.gw.Bootstrap, "orders", 0, 6); string(got[5].Value) != "y-2" {
				t.Errorf("read %s", got[5].Value)
			}
		})
	}
}
