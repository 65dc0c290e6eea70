package protocol

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// starts are where partitions begin, as a client or a cluster says.
func (h *house) starts(bootstrap string, topics ...string) map[string]map[int32]int64 {
	h.t.Helper()
	listed, err := kadm.NewClient(h.client(bootstrap)).ListStartOffsets(h.ctx, topics...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	out := map[string]map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) {
		if out[o.Topic] == nil {
			out[o.Topic] = map[int32]int64{}
		}
		out[o.Topic][o.Partition] = o.Offset
	})
	return out
}

// TestErasedRecordsDoNotComeBack: clients delete different ranges of several partitions and topics,
// and the topics move. The logs begin where they did, to who lists offsets, who fetches before
// that, and who begins at the start. A copy is cut too, unless it refuses.
func TestErasedRecordsDoNotComeBack(t *testing.T) {
	for name, keeps := range map[string]bool{"cut": false, "hidden": true} {
		t.Run(name, func(t *testing.T) {
			h := build(t, "orders", "payments")
			if keeps {
				h.dr.ControlKey(int16(kmsg.DeleteRecords), func(req kmsg.Request) (kmsg.Response, error, bool) {
					h.dr.KeepControl()
					m := req.(*kmsg.DeleteRecordsRequest)
					resp := m.ResponseKind().(*kmsg.DeleteRecordsResponse)
					for _, t := range m.Topics {
						rt := kmsg.NewDeleteRecordsResponseTopic()
						rt.Topic = t.Topic
						for _, p := range t.Partitions {
							rp := kmsg.NewDeleteRecordsResponseTopicPartition()
							rp.Partition, rp.ErrorCode = p.Partition, 44
							rt.Partitions = append(rt.Partitions, rp)
						}
						resp.Topics = append(resp.Topics, rt)
					}
					return resp, nil, true
				})
			}
			topics := []string{"orders", "payments"}
			p := h.client(h.gw.Bootstrap)
			for _, topic := range topics {
				for i := range 30 {
					for part := range int32(3) {
						if err := p.ProduceSync(h.ctx, &kgo.Record{Topic: topic, Partition: part, Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			c := h.copier(kafkatest.Faults{}, topics...)
			if err := c.CaughtUp(h.ctx); err != nil {
				t.Fatal(err)
			}
			want := map[string]map[int32]int64{"orders": {0: 10, 1: 0, 2: 30}, "payments": {0: 29, 1: 7, 2: 0}}
			erase := kadm.Offsets{}
			for topic, parts := range want {
				for part, at := range parts {
					if at > 0 {
						erase.Add(kadm.Offset{Topic: topic, Partition: part, At: at})
					}
				}
			}
			deleted, err := kadm.NewClient(p).DeleteRecords(h.ctx, erase)
			if err == nil {
				err = deleted.Error()
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, topic := range topics {
				if err := h.gw.Edit(topic+": {cluster: prod", topic+": {cluster: dr"); err != nil {
					t.Fatal(err)
				}
			}
			h.moved(2)
			for topic, parts := range h.starts(h.gw.Bootstrap, topics...) {
				for part, at := range parts {
					if at != want[topic][part] {
						t.Errorf("%s/%d begins at %d, want %d", topic, part, at, want[topic][part])
					}
				}
			}
			for topic, parts := range want {
				for part, at := range parts {
					if at > 0 {
						if code := h.fetchAt(topic, part, at-1); code != 1 {
							t.Errorf("%s/%d at %d: error %d, want OFFSET_OUT_OF_RANGE", topic, part, at-1, code)
						}
					}
					if code := h.fetchAt(topic, part, at); code != 0 {
						t.Errorf("%s/%d at %d: error %d", topic, part, at, code)
					}
				}
			}
			first := map[string]bool{}
			r := h.client(h.gw.Bootstrap, kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			for left := 20 + 30 + 0 + 1 + 23 + 30; left > 0; {
				r.PollFetches(h.ctx).EachRecord(func(r *kgo.Record) {
					left--
					if k := fmt.Sprint(r.Topic, r.Partition); !first[k] {
						first[k] = true
						if r.Offset != want[r.Topic][r.Partition] {
							t.Errorf("%s: the first record read is %d", k, r.Offset)
						}
					}
				})
				if h.ctx.Err() != nil {
					t.Fatalf("%d records are missing", left)
				}
			}
			if keeps {
				for topic, parts := range h.starts(h.dr.Bootstrap()[0], topics...) {
					for part, at := range parts {
						if at != 0 {
							t.Errorf("%s/%d is cut to %d on dr", topic, part, at)
						}
					}
				}
				return
			}
			h.wait("the cut of the copies", func() bool {
				for topic, parts := range h.starts(h.dr.Bootstrap()[0], topics...) {
					for part, at := range parts {
						if at != want[topic][part] {
							return false
						}
					}
				}
				return true
			})
		})
	}
}

// fetchAt fetches from an offset of a partition and returns the error code.
func (h *house) fetchAt(topic string, part int32, at int64) int16 {
	h.t.Helper()
	c := h.client(h.gw.Bootstrap)
	defer c.Close()
	meta, err := kadm.NewClient(c).Metadata(h.ctx, topic)
	if err != nil {
		h.t.Fatal(err)
	}
	m := kmsg.NewPtrFetchRequest()
	m.MaxWaitMillis, m.MaxBytes, m.SessionEpoch = 0, 1<<20, -1
	t, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = part, at, 1<<20
	t.Topic, t.TopicID, t.Partitions = topic, meta.Topics[topic].ID, append(t.Partitions, p)
	m.Topics = append(m.Topics, t)
	resp, err := c.Broker(int(meta.Topics[topic].Partitions[part].Leader)).RetriableRequest(h.ctx, m)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode
}
