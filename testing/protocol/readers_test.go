package protocol

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/failover"
)

// TestWhatAConsumerWithoutAGroupReadsIsCompared: an old record of the copy differs. That matters to
// a consumer that is there, and to nobody once it has gone.
func TestWhatAConsumerWithoutAGroupReadsIsCompared(t *testing.T) {
	h := build(t, "orders")
	prod, dr := h.client(h.prod.Bootstrap()[0]), h.client(h.dr.Bootstrap()[0])
	for i := range 100 {
		value := fmt.Appendf(nil, "r-%d", i)
		r := &kgo.Record{Topic: "orders", Value: value}
		if err := prod.ProduceSync(h.ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		other := &kgo.Record{Topic: "orders", Value: value, Timestamp: r.Timestamp}
		if i == 3 {
			other.Value = []byte("another")
		}
		if err := dr.ProduceSync(h.ctx, other).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	reader := h.client(h.gw.Bootstrap)
	topic, part := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	part.FetchOffset, part.PartitionMaxBytes, part.CurrentLeaderEpoch = 2, 1<<20, -1
	topic.Topic, topic.TopicID, topic.Partitions = "orders", h.gw.Topic(tenant, "orders").ID, append(topic.Partitions, part)
	fetch := kmsg.NewPtrFetchRequest()
	fetch.ReplicaID, fetch.MaxBytes, fetch.MaxWaitMillis, fetch.SessionEpoch, fetch.Topics = -1, 1<<20, 10, -1, append(fetch.Topics, topic)
	resp, err := reader.SeedBrokers()[0].Request(h.ctx, fetch)
	if err != nil {
		t.Fatal(err)
	}
	if p := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
		t.Fatalf("%+v", p)
	}
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.wait("a refusal", func() bool {
		m := h.gw.Moves()
		return len(m) == 1 && m[0].Phase == failover.Pending && m[0].Error != ""
	})
	reader.Close()
	h.moved(1)
}
