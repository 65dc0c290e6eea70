package fakes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// Log is one partition. Partition p of a topic is led by node p%2.
type Log struct {
	Start, End int64
	// Stable is the offset of the first record of a transaction that is open; 0: none is.
	Stable    int64
	Epoch     int32
	Batches   []Batch
	Producers []kmsg.DescribeProducersResponseTopicPartitionActiveProducer
	Aborted   []kmsg.FetchResponseTopicPartitionAbortedTransaction
}

// Batch is one of a log.
type Batch struct {
	last int64
	Raw  kafka.Batch
}

// Shape is what a batch has besides its records.
type Shape struct {
	Codec      kgo.CompressionCodec
	Packed     bool // Codec is set
	Control    bool
	InOne      bool  // of a transaction
	AppendTime int64 // the broker's time, for LogAppendTime
	Producer   int64 // 0: none
	Sequence   int32
}

// Batch appends one batch. Offsets of records are relative to its first one and may have gaps, as
// compaction leaves them; without any they are counted.
func (l *Log) Batch(s Shape, records ...kafka.Record) {
	b := kmsg.RecordBatch{FirstOffset: l.End, PartitionLeaderEpoch: l.Epoch, Magic: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(records))}
	if s.Producer != 0 {
		b.ProducerID, b.ProducerEpoch, b.FirstSequence = s.Producer, 0, s.Sequence
	}
	if len(records) > 0 {
		b.FirstTimestamp = records[0].Timestamp
	}
	var body []byte
	for i, r := range records {
		at := int32(i)
		if n := len(records); records[n-1].Offset != 0 {
			at = int32(r.Offset)
		}
		x := kmsg.Record{TimestampDelta64: r.Timestamp - b.FirstTimestamp, OffsetDelta: at, Key: r.Key, Value: r.Value, Headers: r.Headers}
		x.Length = int32(len(x.AppendTo(nil)) - 1) // the length itself is one byte while it is 0
		body = x.AppendTo(body)
		b.LastOffsetDelta, b.MaxTimestamp = at, max(b.MaxTimestamp, r.Timestamp)
	}
	if s.Packed {
		c, err := kgo.DefaultCompressor(s.Codec)
		if err != nil {
			panic(err)
		}
		packed, codec := c.Compress(&bytes.Buffer{}, body)
		body, b.Attributes = slices.Clone(packed), int16(codec)
	}
	if s.InOne {
		b.Attributes |= 16
	}
	if s.Control {
		b.Attributes |= 32 | 16
	}
	if s.AppendTime > 0 {
		b.Attributes, b.MaxTimestamp = b.Attributes|8, s.AppendTime
	}
	b.Records = body
	raw := kafka.Batch(b.AppendTo(nil))
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	last := l.End + int64(b.LastOffsetDelta)
	l.Batches = append(l.Batches, Batch{last, raw})
	l.End = last + 1
}

// Add appends records in batches of five.
func (l *Log) Add(records ...kafka.Record) {
	for b := range slices.Chunk(records, 5) {
		l.Batch(Shape{}, b...)
	}
}

// Skip leaves out n offsets: a log that begins later, or records that were deleted.
func (l *Log) Skip(n int64) {
	if l.End += n; len(l.Batches) == 0 {
		l.Start = l.End
	}
}

// since is where ListOffsets finds the log's start (-2), its end (-1), or the first record that is
// not older than a timestamp, -1 if there is none.
func (l *Log) since(timestamp int64) int64 {
	switch timestamp {
	case -2:
		return l.Start
	case -1:
		return l.End
	}
	for _, b := range l.Batches {
		records, err := kafka.Records(b.Raw)
		for _, r := range records {
			if err == nil && r.Timestamp >= timestamp && r.Offset >= l.Start {
				return r.Offset
			}
		}
	}
	return -1
}

// Record is the i-th of a log, unlike every other.
func Record(i int) kafka.Record {
	return kafka.Record{
		Timestamp: 1_700_000_000_000 + int64(i), Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "value-%d", i),
		Headers: []kmsg.Header{{Key: "trace", Value: fmt.Appendf(nil, "%d", i)}},
	}
}

// Records are those from first up to, without, end.
func Records(first, end int) (out []kafka.Record) {
	for i := first; i < end; i++ {
		out = append(out, Record(i))
	}
	return out
}

// Marker appends the marker that ends a transaction.
func Marker(l *Log) {
	l.Batch(Shape{Control: true}, kafka.Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0}})
}

// Changed returns the records with one of them altered.
func Changed(list []kafka.Record, at int, alter func(*kafka.Record)) []kafka.Record {
	out := slices.Clone(list)
	alter(&out[at])
	return out
}
