// Package produce sends records of a plugin's own, uncompressed, acknowledged by all replicas.
package produce

import (
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
)

// Record is a record to send; nil Key and Value are null.
type Record struct {
	Key, Value []byte
	Headers    []kmsg.Header
	Timestamp  time.Time
}

// version is the newest that names topics by their names and that all supported brokers know.
const version = 9

// Send writes records as one batch and waits for their acknowledgement, for timeout at most.
func Send(gw *sdk.Gateway, topic string, partition int32, timeout time.Duration, records []Record) error {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, Batch(records)
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.Partitions = topic, []kmsg.ProduceRequestTopicPartition{p}
	req := kmsg.NewProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, int32(timeout.Milliseconds())
	req.Topics = []kmsg.ProduceRequestTopic{t}
	resp := kmsg.NewProduceResponse()
	if err := gw.Send(&req, &resp, sdk.Within(timeout)); err != nil {
		return fmt.Errorf("produce to %s: %w", topic, err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return errors.New("produce to " + topic + ": the answer is about something else")
	}
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
		return fmt.Errorf("produce to %s: error %d", topic, code)
	}
	return nil
}

// Lengths of what stands in a batch before its length ends and before its checksum begins.
const beforeLength, beforeSum = 12, 21

// Batch encodes records.
func Batch(records []Record) []byte {
	if len(records) == 0 {
		return nil
	}
	first, last := records[0].Timestamp.UnixMilli(), records[0].Timestamp.UnixMilli()
	for _, r := range records {
		first, last = min(first, r.Timestamp.UnixMilli()), max(last, r.Timestamp.UnixMilli())
	}
	var body, one []byte
	for i, r := range records {
		rec := kmsg.Record{
			TimestampDelta64: r.Timestamp.UnixMilli() - first, OffsetDelta: int32(i),
			Key: r.Key, Value: r.Value, Headers: r.Headers,
		}
		one = rec.AppendTo(one[:0])
		rec.Length = int32(len(one) - 1) // without the one byte of the length 0
		body = rec.AppendTo(body)
	}
	b := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(len(records) - 1), FirstTimestamp: first, MaxTimestamp: last,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(records)), Records: body,
	}
	out := b.AppendTo(nil)
	b.Length = int32(len(out) - beforeLength)
	b.CRC = int32(crc32.Checksum(out[beforeSum:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(out[:0])
}
