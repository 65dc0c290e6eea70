package offsets

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

const producer = catalog.ProducerBit | 42

// build returns the interceptor and a topic that has moved from prod to dr at offset 100, where the
// copy stands 30 lower.
func build(t *testing.T, moved bool) (*Offsets, plugin.Env) {
	t.Helper()
	prod, dr := plugintest.NewCluster("prod", 0, 2, "orders"), plugintest.NewCluster("dr", 1, 2, "orders")
	env := plugintest.Env(t, prod, dr)
	env.Catalog.SetPlace(func(topic string) (string, map[string]string, bool) {
		return "prod", map[string]string{"prod": topic, "dr": topic}, true
	})
	plugintest.Ensure(t, env, prod, "orders")
	if moved {
		err := env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error {
			n.Home, n.Generation, n.Published, n.HomeID = "dr", 1, 1, plugintest.ID("dr", "orders")
			for p := range n.Partitions {
				n.Partitions[p] = n.Partitions[p].Advance(catalog.Segment{Generation: 1, Start: 100, PhysicalStart: 70, Cluster: "dr", EpochBase: 5}, n.Partitions[p].Distance.Shift(-30), 100, 3)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return New(env), env
}

// batch makes a batch of n records whose content does not matter.
func batch(base int64, epoch int32, id int64, seq, n int32) kafka.Batch {
	b := make(kafka.Batch, kafka.BatchHeader+int(n))
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[12:], uint32(epoch))
	b[16] = 2
	binary.BigEndian.PutUint32(b[23:], uint32(n-1))
	binary.BigEndian.PutUint64(b[43:], uint64(id))
	binary.BigEndian.PutUint32(b[53:], uint32(seq))
	binary.BigEndian.PutUint32(b[57:], uint32(n))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// produce sends one batch; answer says at which physical offset the home appends it.
func produce(t *testing.T, o *Offsets, cluster string, b kafka.Batch, answer func(sent kafka.Batch) (int64, int16)) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(9)
	m.Acks = -1
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = "orders"
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = b
	rt.Partitions = append(rt.Partitions, rp)
	m.Topics = append(m.Topics, rt)
	resp, err := o.Intercept(t.Context(), plugintest.Request(t, m, cluster), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		sent := kafka.Batch(plugintest.Sent[*kmsg.ProduceRequest](t, f).Topics[0].Partitions[0].Records)
		if !sent.ValidCRC() {
			t.Error("a batch left with a wrong CRC")
		}
		out := kmsg.NewPtrProduceResponse()
		out.SetVersion(9)
		x := kmsg.NewProduceResponseTopic()
		x.Topic = "orders"
		p := kmsg.NewProduceResponseTopicPartition()
		p.BaseOffset, p.ErrorCode = answer(sent)
		x.Partitions = append(x.Partitions, p)
		out.Topics = append(out.Topics, x)
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return plugintest.Decode[*kmsg.ProduceResponse](t, resp).Topics[0].Partitions[0]
}

// TestAnswersForOthers: nothing is kept of partitions that a produce was not about, however many a
// broker that can't be believed answers for.
func TestAnswersForOthers(t *testing.T) {
	o, env := build(t, false)
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(9)
	m.Acks = -1
	m.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch(0, -1, producer, 0, 3)}}}}
	before := len(env.Catalog.Topic("orders").Partitions)
	_, err := o.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		out := kmsg.NewPtrProduceResponse()
		out.SetVersion(9)
		x := kmsg.NewProduceResponseTopic()
		x.Topic = "orders"
		for n := range int32(50) {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.BaseOffset = 1000*n, 7
			x.Partitions = append(x.Partitions, p)
		}
		out.Topics = append(out.Topics, x)
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if after := len(env.Catalog.Topic("orders").Partitions); after != max(before, 1) {
		t.Errorf("%d partitions are kept, before %d", after, before)
	}
}

func TestGenerationZeroEditsNoBatch(t *testing.T) {
	o, _ := build(t, false)
	sent := batch(0, -1, producer, 0, 3)
	rp := produce(t, o, "prod", sent, func(b kafka.Batch) (int64, int16) {
		if string(b) != string(sent) {
			t.Error("the batch was changed")
		}
		return 7, 0
	})
	if rp.BaseOffset != 7 {
		t.Errorf("offset %d", rp.BaseOffset)
	}
}

func TestProducesAreStampedAndOffsetsTranslated(t *testing.T) {
	o, _ := build(t, true)
	rp := produce(t, o, "dr", batch(0, -1, producer, 0, 3), func(b kafka.Batch) (int64, int16) {
		if b.ProducerID() != catalog.StampProducer(producer, 1) {
			t.Errorf("producer id %x", b.ProducerID())
		}
		return 75, 0
	})
	if rp.BaseOffset != 105 {
		t.Errorf("offset %d, want 105", rp.BaseOffset)
	}
	produce(t, o, "dr", batch(0, -1, 4711, 0, 3), func(b kafka.Batch) (int64, int16) {
		if b.ProducerID() != 4711 {
			t.Errorf("an id that is not ours was changed to %x", b.ProducerID())
		}
		return 78, 0
	})
}

// TestResendsAcrossAMoveAreAnsweredFromMemory: the new home can't recognise them.
func TestResendsAcrossAMoveAreAnsweredFromMemory(t *testing.T) {
	o, env := build(t, true)
	memory := env.Catalog.Topic("orders").Memory()
	memory.Remember(0, producer, catalog.Remembered{First: 0, Last: 2, Base: 97})
	memory.Turn()
	nobody := func(kafka.Batch) (int64, int16) {
		t.Error("the new home was asked")
		return -1, 0
	}
	if rp := produce(t, o, "dr", batch(0, -1, producer, 0, 3), nobody); rp.ErrorCode != 0 || rp.BaseOffset != 97 {
		t.Errorf("a resend is answered with %d at %d", rp.ErrorCode, rp.BaseOffset)
	}
	if rp := produce(t, o, "dr", batch(0, -1, producer, 9, 3), nobody); kafka.Code(rp.ErrorCode) != kafka.OutOfOrderSequenceNumber {
		t.Errorf("a gap is answered with %d", rp.ErrorCode)
	}
	if rp := produce(t, o, "dr", batch(0, -1, producer, 3, 3), func(kafka.Batch) (int64, int16) { return 70, 0 }); rp.BaseOffset != 100 {
		t.Errorf("the next batch is answered with %d at %d", rp.ErrorCode, rp.BaseOffset)
	}
}

// TestFetchesAreTranslated: positions on the way down, batches, epochs and watermarks on the way
// up.
func TestFetchesAreTranslated(t *testing.T) {
	o, _ := build(t, true)
	fetch := func(offset int64, answer ...kafka.Batch) kmsg.FetchResponseTopicPartition {
		m := kmsg.NewPtrFetchRequest()
		m.SetVersion(12)
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic = "orders"
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.FetchOffset, rp.CurrentLeaderEpoch = offset, 1<<16+1
		rt.Partitions = append(rt.Partitions, rp)
		m.Topics = append(m.Topics, rt)
		resp, err := o.Intercept(t.Context(), plugintest.Request(t, m, "dr"), plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			in := plugintest.Sent[*kmsg.FetchRequest](t, f).Topics[0].Partitions[0]
			if in.FetchOffset != offset-30 || in.CurrentLeaderEpoch != 6 {
				t.Errorf("asked for %d in epoch %d", in.FetchOffset, in.CurrentLeaderEpoch)
			}
			out := kmsg.NewPtrFetchResponse()
			out.SetVersion(12)
			x := kmsg.NewFetchResponseTopic()
			x.Topic = "orders"
			p := kmsg.NewFetchResponseTopicPartition()
			p.HighWatermark, p.LastStableOffset, p.LogStartOffset = 90, 90, 0
			for _, b := range answer {
				p.RecordBatches = append(p.RecordBatches, b...)
			}
			x.Partitions = append(x.Partitions, p)
			out.Topics = append(out.Topics, x)
			return plugintest.Encode(out), nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		return plugintest.Decode[*kmsg.FetchResponse](t, resp).Topics[0].Partitions[0]
	}
	rp := fetch(95, batch(65, 5, -1, -1, 5), batch(70, 6, -1, -1, 3))
	if rp.HighWatermark != 120 || rp.LogStartOffset != 30 {
		t.Errorf("watermark %d, start %d", rp.HighWatermark, rp.LogStartOffset)
	}
	want := [][2]int64{{95, 3}, {100, 1<<16 + 1}} // what the old home wrote carries its last epoch
	i := 0
	for _, b := range kafka.Batches(rp.RecordBatches) {
		if b.BaseOffset() != want[i][0] || int64(b.LeaderEpoch()) != want[i][1] || !b.ValidCRC() {
			t.Errorf("batch at %d in epoch %d, want %v", b.BaseOffset(), b.LeaderEpoch(), want[i])
		}
		i++
	}
	if i != 2 {
		t.Errorf("%d batches", i)
	}
	if rp := fetch(100); rp.RecordBatches == nil {
		t.Error("null records")
	}
}

// TestAnswersAreCutAtTheEndOfTheirGeneration: the request was sent to prod before the move, and
// prod has records behind the cut.
func TestAnswersAreCutAtTheEndOfTheirGeneration(t *testing.T) {
	o, env := build(t, false)
	m := kmsg.NewPtrFetchRequest()
	m.SetVersion(12)
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = "orders"
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.FetchOffset = 95
	rt.Partitions = append(rt.Partitions, rp)
	m.Topics = append(m.Topics, rt)
	resp, err := o.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		err := env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error {
			before := n.Clone()
			n.Home, n.Generation, n.Before = "dr", 1, before
			for p := range n.Partitions {
				n.Partitions[p] = n.Partitions[p].Advance(catalog.Segment{Generation: 1, Start: 100, PhysicalStart: 100, Cluster: "dr"}, n.Partitions[p].Distance.Shift(0), 100, 5)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		out := kmsg.NewPtrFetchResponse()
		out.SetVersion(12)
		x := kmsg.NewFetchResponseTopic()
		x.Topic = "orders"
		p := kmsg.NewFetchResponseTopicPartition()
		p.HighWatermark, p.LastStableOffset = 110, 110
		p.RecordBatches = append(append([]byte{}, batch(95, 5, -1, -1, 5)...), batch(100, 5, -1, -1, 10)...)
		x.Partitions = append(x.Partitions, p)
		out.Topics = append(out.Topics, x)
		return plugintest.Encode(out), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := plugintest.Decode[*kmsg.FetchResponse](t, resp).Topics[0].Partitions[0]
	n := 0
	for _, b := range kafka.Batches(got.RecordBatches) {
		if n++; b.BaseOffset() != 95 {
			t.Errorf("a batch at %d, behind the end", b.BaseOffset())
		}
	}
	if n != 1 || got.HighWatermark != 100 {
		t.Errorf("%d batches, watermark %d", n, got.HighWatermark)
	}
}

// TestOffsetForLeaderEpochComesFromTheLineage for epochs before the move: the new home knows
// nothing of them, and its answer would make clients read again.
func TestOffsetForLeaderEpochComesFromTheLineage(t *testing.T) {
	o, _ := build(t, true)
	m := kmsg.NewPtrOffsetForLeaderEpochRequest()
	m.SetVersion(4)
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = "orders"
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.LeaderEpoch, rp.CurrentLeaderEpoch = 2, 1<<16
	rt.Partitions = append(rt.Partitions, rp)
	m.Topics = append(m.Topics, rt)
	resp, err := o.Intercept(t.Context(), plugintest.Request(t, m, "dr"), plugin.HandlerFunc(func(context.Context, *plugin.Request) (*plugin.Response, error) {
		t.Error("the new home was asked about an epoch that it never had")
		return nil, plugin.ErrUnreachable
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := plugintest.Decode[*kmsg.OffsetForLeaderEpochResponse](t, resp).Topics[0].Partitions[0]
	if got.ErrorCode != 0 || got.EndOffset != 100 || got.LeaderEpoch != 2 {
		t.Errorf("%+v", got)
	}
}

func TestConforms(t *testing.T) {
	for _, moved := range []bool{false, true} {
		o, _ := build(t, moved)
		plugintest.Conform(t, o, "orders")
	}
}
