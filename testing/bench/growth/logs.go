package main

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// perBatch is how many records a batch has.
const perBatch = 64

// logs are the topics of both clusters, as if a replicator copied at once. Of what is produced only
// the number of records is kept: those that are read are made up, others at each place of a batch.
type logs struct {
	names   []string
	number  map[string]int
	ends    []atomic.Int64
	batches [perBatch + 1]kafka.Batch // by how many records they have
}

func newLogs(topics, records int) (*logs, error) {
	l := &logs{number: map[string]int{}, ends: make([]atomic.Int64, topics*partitions)}
	for i := range topics {
		l.names = append(l.names, topicName(i))
		l.number[topicName(i)] = i
	}
	for i := range l.ends {
		l.ends[i].Store(int64(records))
	}
	var list []kafka.Record
	for n := 1; n <= perBatch; n++ {
		list = append(list, kafka.Record{Offset: int64(n - 1), Value: fmt.Appendf(nil, "a record of 100 bytes, number %70d", n)})
		b, err := kafka.NewBatch(list)
		if err != nil {
			return nil, err
		}
		l.batches[n] = b
	}
	return l, nil
}

// topicID is the id of a topic on both clusters.
func topicID(i int) (id [16]byte) {
	id[0] = 1
	binary.BigEndian.PutUint32(id[12:], uint32(i))
	return id
}

// find is the number of a topic that has a name or an id.
func (l *logs) find(name *string, id [16]byte) (int, bool) {
	if name != nil && *name != "" {
		i, ok := l.number[*name]
		return i, ok
	}
	i := int(binary.BigEndian.Uint32(id[12:]))
	return i, id[0] == 1 && i < len(l.names)
}

// end is where a partition ends.
func (l *logs) end(topic int, partition int32) *atomic.Int64 {
	return &l.ends[topic*partitions+int(partition)]
}

// answer answers all but what a cluster says of itself: nil to requests that nobody makes.
func (l *logs) answer(msg kmsg.Request) kmsg.Response {
	switch m := msg.(type) {
	case *kmsg.ListOffsetsRequest:
		return l.offsets(m)
	case *kmsg.FetchRequest:
		return l.fetch(m)
	case *kmsg.ProduceRequest:
		return l.produce(m)
	case *kmsg.DescribeConfigsRequest:
		out := kmsg.NewPtrDescribeConfigsResponse()
		for _, r := range m.Resources {
			x := kmsg.NewDescribeConfigsResponseResource()
			x.ResourceType, x.ResourceName = r.ResourceType, r.ResourceName
			out.Resources = append(out.Resources, x)
		}
		return out
	case *kmsg.DescribeProducersRequest:
		out := kmsg.NewPtrDescribeProducersResponse()
		for _, t := range m.Topics {
			x := kmsg.NewDescribeProducersResponseTopic()
			x.Topic = t.Topic
			for _, p := range t.Partitions {
				y := kmsg.NewDescribeProducersResponseTopicPartition()
				y.Partition = p
				x.Partitions = append(x.Partitions, y)
			}
			out.Topics = append(out.Topics, x)
		}
		return out
	case *kmsg.ListGroupsRequest:
		return kmsg.NewPtrListGroupsResponse()
	}
	return nil
}

func (l *logs) offsets(m *kmsg.ListOffsetsRequest) kmsg.Response {
	out := kmsg.NewPtrListOffsetsResponse()
	for _, t := range m.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Offset = p.Partition, 0
			if i, ok := l.find(&t.Topic, [16]byte{}); ok && p.Timestamp == -1 {
				rp.Offset = l.end(i, p.Partition).Load()
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		out.Topics = append(out.Topics, rt)
	}
	return out
}

// fetch answers one batch of each partition, as long as there is room.
func (l *logs) fetch(m *kmsg.FetchRequest) kmsg.Response {
	out, size := kmsg.NewPtrFetchResponse(), 0
	for _, t := range m.Topics {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		i, ok := l.find(&t.Topic, t.TopicID)
		for _, p := range t.Partitions {
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.LastStableOffset, rp.LogStartOffset = p.Partition, -1, 0
			if !ok {
				rp.ErrorCode = kerr.UnknownTopicOrPartition.Code
			} else {
				rp.HighWatermark = l.end(i, p.Partition).Load()
				if size < int(m.MaxBytes) {
					rp.RecordBatches = l.batch(p.FetchOffset, rp.HighWatermark)
					size += len(rp.RecordBatches)
				}
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		out.Topics = append(out.Topics, rt)
	}
	return out
}

// batch is the one with the record at an offset.
func (l *logs) batch(at, end int64) []byte {
	base := at / perBatch * perBatch
	n := min(end-base, perBatch)
	if at >= end || n <= 0 {
		return nil
	}
	b := append(kafka.Batch{}, l.batches[n]...)
	b.SetBaseOffset(base)
	return b
}

func (l *logs) produce(m *kmsg.ProduceRequest) kmsg.Response {
	out := kmsg.NewPtrProduceResponse()
	for _, t := range m.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		i, ok := l.find(&t.Topic, t.TopicID)
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.LogStartOffset = p.Partition, 0
			n := int64(0)
			for _, b := range kafka.Batches(p.Records) {
				n += int64(b.Count())
			}
			switch {
			case !ok:
				rp.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case n == 0: // a move asks whether it could produce
				rp.ErrorCode = kerr.CorruptMessage.Code
			default:
				rp.BaseOffset = l.end(i, p.Partition).Add(n) - n
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		out.Topics = append(out.Topics, rt)
	}
	return out
}
