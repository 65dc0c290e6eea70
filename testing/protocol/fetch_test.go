package protocol

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// fetch asks for the given partitions from offset 0, on the bootstrap address: a client whose
// metadata says that one node leads them all.
func (h *house) fetch(wait time.Duration, partitions map[string][]int32) *kmsg.FetchResponse {
	h.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxBytes, req.MinBytes, req.MaxWaitMillis, req.SessionEpoch = -1, 1<<20, 1, int32(wait.Milliseconds()), -1
	for _, name := range slices.Sorted(maps.Keys(partitions)) {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID = name, h.gw.Topic(tenant, name).ID
		for _, n := range partitions[name] {
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

// TestRecordsDontWaitForAnEmptyPartition of another cluster, or another node: what a forked fetch
// finds is answered long before the client's time is up.
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

// TestADeadHomeKeepsItsWatermarks: a fetch that nobody can answer, of one partition or of several,
// whose leaders are all dead or one of them, by a client with and without records to read, says
// where the partition ended and started.
func TestADeadHomeKeepsItsWatermarks(t *testing.T) {
	h := build(t, "orders", "empty")
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 5)
	all := map[string][]int32{"orders": {0, 1, 2}, "empty": {0, 1, 2}}
	watermarks := func(resp *kmsg.FetchResponse) map[string]map[int32][4]int64 {
		out := map[string]map[int32][4]int64{}
		for _, topic := range resp.Topics {
			name := h.nameOf(topic, all)
			if out[name] == nil {
				out[name] = map[int32][4]int64{}
			}
			for _, p := range topic.Partitions {
				out[name][p.Partition] = [4]int64{int64(p.ErrorCode), p.HighWatermark, p.LastStableOffset, p.LogStartOffset}
			}
		}
		return out
	}
	before := watermarks(h.fetch(0, all))
	if got, want := before["orders"][0], [4]int64{0, 5, 5, 0}; got != want {
		t.Fatalf("%v, want %v", got, want)
	}
	if err := h.prod.Kill(h.prod.Nodes()[0]); err != nil {
		t.Fatal(err)
	}
	if got := watermarks(h.fetch(0, all)); !reflect.DeepEqual(got, before) {
		t.Errorf("with one node dead:\n%v, before\n%v", got, before)
	}
	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string]map[string][]int32{"all": all, "one partition": {"orders": {0}}, "an empty one": {"empty": {1}}} {
		for topic, partitions := range watermarks(h.fetch(0, list)) {
			for p, got := range partitions {
				if want := before[topic][p]; got != want {
					t.Errorf("%s: %s %d: %v, before %v", name, topic, p, got, want)
				}
			}
		}
	}
}

// nameOf is the name of a topic of an answer.
func (h *house) nameOf(topic kmsg.FetchResponseTopic, of map[string][]int32) string {
	for name := range of {
		if known := h.gw.Topic(tenant, name); topic.Topic == name || topic.TopicID == known.ID {
			return name
		}
	}
	return "?"
}
