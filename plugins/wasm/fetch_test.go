package wasm

import (
	"context"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// fetched shows batches to a guest on their way to a consumer; each is a partition of its own.
func fetched(t *testing.T, w *Wasm, topic string, batches ...[]byte) (*kmsg.FetchResponse, error) {
	t.Helper()
	m := kmsg.NewPtrFetchRequest()
	m.SetVersion(12)
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(12)
	rt := kmsg.NewFetchResponseTopic()
	rt.Topic = topic
	for i, b := range batches {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.HighWatermark, p.RecordBatches = int32(i), 99, b
		rt.Partitions = append(rt.Partitions, p)
	}
	resp.Topics = append(resp.Topics, rt)
	out, err := w.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		return plugintest.Encode(resp), nil
	}))
	if err != nil {
		return nil, err
	}
	return plugintest.Decode[*kmsg.FetchResponse](t, out), nil
}

// at moves a batch to an offset, as a broker does.
func at(b kafka.Batch, offset int64) []byte {
	b.SetBaseOffset(offset)
	b.SetLeaderEpoch(3)
	return b
}

// TestWhatConsumersSee: records are changed and left out, offsets stay, and what the guest does not
// touch are the same bytes, partial batches at the end included.
func TestWhatConsumersSee(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		w := probing(t, "")
		for codec := range int8(5) {
			s := shape{codec: codec, producer: 9, attrs: 16}
			same := at(records(t, shape{codec: codec}, "a", "b"), 300)
			changed := append(at(records(t, s, "upper", "drop", "x", "drop"), 100), at(records(t, s, "drop"), 104)...)
			partial := at(records(t, s, "later"), 105)[:70]
			resp, err := fetched(t, w, "orders", same, append(changed, partial...), at(records(t, shape{attrs: 32}, "marker"), 7))
			if err != nil {
				t.Fatal(err)
			}
			parts := resp.Topics[0].Partitions
			about := fact.Of(t, "codec %d: %+v", codec, parts)
			fact.Equal(about, "string(parts[0].RecordBatches)", string(parts[0].RecordBatches), string(same))
			if fact.Equal(about, "len(parts)", len(parts), 3) {
				fact.Equal(about, "parts[1].HighWatermark", parts[1].HighWatermark, 99)
				fact.Equal(about, "parts[1].ErrorCode", parts[1].ErrorCode, 0)
			}
			var offsets, last []int64
			end := 0
			for i, b := range kafka.Batches(parts[1].RecordBatches) {
				list, err := kafka.Records(b)
				about := fact.Must(t, "codec %d: a broken batch: %v, CRC %t", codec, err, b.ValidCRC())
				fact.NoError(about, err)
				fact.True(about, "b.ValidCRC()", b.ValidCRC())
				fact.True(about, "b.IsTransactional()", b.IsTransactional())
				fact.Equal(about, "b.ProducerID()", b.ProducerID(), 9)
				fact.Equal(about, "b.LeaderEpoch()", b.LeaderEpoch(), 3)
				for _, r := range list {
					offsets = append(offsets, r.Offset)
				}
				last, end = append(last, b.LastOffset()), i+len(b)
			}
			about = fact.Of(t, "codec %d: offsets %v, batches end at %v", codec, offsets, last)
			if fact.Equal(about, "len(offsets)", len(offsets), 2) {
				fact.Equal(about, "offsets[0]", offsets[0], 100)
				fact.Equal(about, "offsets[1]", offsets[1], 102)
				if fact.Equal(about, "len(last)", len(last), 2) {
					fact.Equal(about, "last[0]", last[0], 103)
					fact.Equal(about, "last[1]", last[1], 104)
				}
			}
			if string(parts[1].RecordBatches[end:]) != string(partial) {
				t.Errorf("codec %d: the partial batch was changed", codec)
			}
		}
	})
}

// TestTheResponseFromBelowStaysAsItIs: it is used again, so what is to be done when it is written
// must not pile up in it.
func TestTheResponseFromBelowStaysAsItIs(t *testing.T) {
	w := compiled(t, "")
	released := 0
	from := &plugin.Response{Release: func() { released++ }}
	was := reflect.ValueOf(from.Release).Pointer()
	m := kmsg.NewPtrFetchRequest()
	m.SetVersion(12)
	f := kmsg.NewPtrFetchResponse()
	f.SetVersion(12)
	p := kmsg.NewFetchResponseTopicPartition()
	p.RecordBatches = at(records(t, shape{}, "upper"), 0)
	f.Topics = append(f.Topics, kmsg.FetchResponseTopic{Topic: "orders", Partitions: []kmsg.FetchResponseTopicPartition{p}})
	from.Body = plugintest.Encode(f).Body
	resp, err := w.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) { return from, nil }))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Release(); released != 1 {
		t.Errorf("released %d times", released)
	}
	if reflect.ValueOf(from.Release).Pointer() != was {
		t.Error("the response from below was changed")
	}
}

// TestRefusedToConsumers: only one code is a refusal that they take for one.
func TestRefusedToConsumers(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		w := probing(t, "")
		resp, err := fetched(t, w, "orders", at(records(t, shape{}, "fine"), 0), at(records(t, shape{}, "reject"), 0))
		about := fact.Of(t, "%v, %+v", err, resp)
		if fact.NoError(about, err) {
			fact.Equal(about, "resp.Topics[0].Partitions[0].ErrorCode", resp.Topics[0].Partitions[0].ErrorCode, 0)
			fact.Equal(about, "resp.Topics[0].Partitions[1].ErrorCode", resp.Topics[0].Partitions[1].ErrorCode, int16(kafka.TopicAuthorizationFailed))
			fact.Equal(about, "len(resp.Topics[0].Partitions[1].RecordBatches)", len(resp.Topics[0].Partitions[1].RecordBatches), 0)
		}
		resp, err = fetched(t, w, "orders", at(records(t, shape{}, "refuse"), 0), at(records(t, shape{}, "fine"), 0))
		if err != nil || resp.Topics[0].Partitions[0].ErrorCode != int16(kafka.TopicAuthorizationFailed) || resp.Topics[0].Partitions[1].ErrorCode != int16(kafka.TopicAuthorizationFailed) {
			t.Errorf("%v, %+v", err, resp)
		}
	})
}

// TestFetchesWithoutRecordsCostNothing, and neither do topics that are not covered.
func TestFetchesWithoutRecordsCostNothing(t *testing.T) {
	w := probing(t, ", topics: [orders]")
	if _, err := fetched(t, w, "payments", at(records(t, shape{}, "upper"), 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := fetched(t, w, "orders", []byte{}); err != nil {
		t.Fatal(err)
	}
	if w.Guest().Called.Load() != 0 {
		t.Error("the guest was called")
	}
	old := make([]byte, 100) // a message set of format 1
	binary.BigEndian.PutUint32(old[8:], 88)
	old[16] = 1
	resp, err := fetched(t, w, "orders", old)
	if err != nil || string(resp.Topics[0].Partitions[0].RecordBatches) != string(old) {
		t.Errorf("an old format: %v", err)
	}
}
