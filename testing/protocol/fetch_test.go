package protocol

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/eventually"
)

// fetch asks for the given partitions from offset 0, on the bootstrap address: a client whose metadata says
// that one node leads them all.
func (h *house) fetch(wait time.Duration, partitions map[string][]int32) *kmsg.FetchResponse {
	h.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxBytes, req.MinBytes, req.MaxWaitMillis, req.SessionEpoch = -1, 1<<20, 1, int32(wait.Milliseconds()), -1
	for name, list := range partitions {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID = name, h.gw.Topic(tenant, name).ID
		for _, n := range list {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.PartitionMaxBytes, p.CurrentLeaderEpoch = n, 1<<20, -1
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
	}
	resp, err := h.client(h.gw.Bootstrap).SeedBrokers()[0].Request(h.ctx, req)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.(*kmsg.FetchResponse)
}

// TestRecordsDontWaitForAnEmptyPartition of another cluster, or another node: what a forked fetch finds is
// answered long before the client's time is up.
func TestRecordsDontWaitForAnEmptyPartition(t *testing.T) {
	h := build(t, "full", "empty")
	if err := h.gw.Edit("empty: {cluster: prod}", "empty: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	h.produce(h.client(h.gw.Bootstrap), "full", "x", 5)
	for what, partitions := range map[string]map[string][]int32{
		"clusters": {"full": {0}, "empty": {0}},
		"nodes":    {"full": {0, 1, 2}},
		"both":     {"full": {0, 1, 2}, "empty": {0, 1, 2}},
	} {
		records, parts := 0, 0
		for _, topic := range h.fetch(2*eventually.Limit, partitions).Topics {
			for _, p := range topic.Partitions {
				if p.ErrorCode != 0 {
					t.Errorf("%s: partition %d: code %d", what, p.Partition, p.ErrorCode)
				}
				parts, records = parts+1, records+len(p.RecordBatches)
			}
		}
		if records == 0 || parts != len(partitions["full"])+len(partitions["empty"]) {
			t.Errorf("%s: %d bytes of %d partitions", what, records, parts)
		}
	}
}
