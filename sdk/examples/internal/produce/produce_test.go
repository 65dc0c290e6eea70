package produce

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/fact"
)

var records = []Record{
	{Key: []byte("k"), Value: []byte("v"), Timestamp: time.UnixMilli(5000), Headers: []kmsg.Header{{Key: "h", Value: []byte("x")}, {Key: "n"}}},
	{Value: []byte(strings.Repeat("y", 300)), Timestamp: time.UnixMilli(4000)},
}

func TestBatch(t *testing.T) {
	b := Batch(records)
	if n := binary.BigEndian.Uint32(b[8:]); int(n) != len(b)-12 {
		t.Errorf("length %d of %d", n, len(b))
	}
	if got, want := binary.BigEndian.Uint32(b[17:]), crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)); got != want {
		t.Errorf("checksum %x, want %x", got, want)
	}
	var batch kmsg.RecordBatch
	if err := batch.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	about := fact.Of(t, "batch %+v", batch)
	fact.Equal(about, "batch.NumRecords", batch.NumRecords, 2)
	fact.Equal(about, "batch.LastOffsetDelta", batch.LastOffsetDelta, 1)
	fact.Equal(about, "batch.FirstTimestamp", batch.FirstTimestamp, 4000)
	fact.Equal(about, "batch.MaxTimestamp", batch.MaxTimestamp, 5000)
	fact.Equal(about, "batch.ProducerID", batch.ProducerID, -1)
	at := batch.Records
	for i, want := range records {
		n, skip := binary.Varint(at)
		var r kmsg.Record
		if err := r.ReadFrom(at[:skip+int(n)]); err != nil {
			t.Fatal(err)
		}
		at = at[skip+int(n):]
		about := fact.Of(t, "record %d: %+v", i, r)
		fact.Equal(about, "string(r.Key)", string(r.Key), string(want.Key))
		fact.Equal(about, "string(r.Value)", string(r.Value), string(want.Value))
		if fact.Equal(about, "len(r.Headers)", len(r.Headers), len(want.Headers)) {
			fact.Equal(about, "r.OffsetDelta", r.OffsetDelta, int32(i))
			fact.Equal(about, "batch.FirstTimestamp+r.TimestampDelta64", batch.FirstTimestamp+r.TimestampDelta64, want.Timestamp.UnixMilli())
		}
	}
	if len(at) != 0 {
		t.Errorf("%d bytes are left", len(at))
	}
}

func TestSend(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(*kmsg.ProduceResponse)
		code   int32
		want   string
	}{
		{name: "acknowledged", answer: func(*kmsg.ProduceResponse) {}},
		{name: "refused", answer: func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions[0].ErrorCode = 29 }, want: "error 29"},
		{name: "empty", answer: func(r *kmsg.ProduceResponse) { r.Topics = nil }, want: "something else"},
		{name: "denied", code: abi.ErrDenied, want: "not granted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := sdk.NewMemory()
			m.Send = func(block []byte) ([]byte, int32) {
				req := kmsg.NewProduceRequest()
				req.Version = int16(binary.LittleEndian.Uint16(block[2:]))
				if err := req.ReadFrom(block[abi.SendHead:]); err != nil {
					t.Fatal(err)
				}
				about := fact.Of(t, "request %+v", req)
				fact.Equal(about, "req.Acks", req.Acks, -1)
				fact.Equal(about, "req.TimeoutMillis", req.TimeoutMillis, 1000)
				fact.Equal(about, "req.Topics[0].Topic", req.Topics[0].Topic, "dead")
				fact.Equal(about, "req.Topics[0].Partitions[0].Partition", req.Topics[0].Partitions[0].Partition, 3)
				resp := req.ResponseKind().(*kmsg.ProduceResponse)
				topic := kmsg.NewProduceResponseTopic()
				topic.Partitions = append(topic.Partitions, kmsg.NewProduceResponseTopicPartition())
				resp.Topics = append(resp.Topics, topic)
				if c.answer != nil {
					c.answer(resp)
				}
				return resp.AppendTo(nil), c.code
			}
			err := Send(sdk.NewGateway(m), "dead", 3, time.Second, records)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
