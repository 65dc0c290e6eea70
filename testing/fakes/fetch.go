package fakes

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetch answers at most three batches of a partition and the beginning of a fourth, as a size limit
// would, and partitions behind as many bytes as the request allows are empty, as brokers leave
// them.
func (f *Cluster) fetch(node int32, r *kmsg.FetchRequest) kmsg.Response {
	resp := kmsg.NewPtrFetchResponse()
	size := 0
	for _, q := range r.Topics {
		t := kmsg.NewFetchResponseTopic()
		t.TopicID = q.TopicID // as from version 13 on
		for _, x := range q.Partitions {
			p := f.fetchOne(node, q.Topic, x, r.IsolationLevel == 1)
			if size += len(p.RecordBatches); size > len(p.RecordBatches) && size > int(r.MaxBytes) {
				p.RecordBatches = nil
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (f *Cluster) fetchOne(node int32, topic string, x kmsg.FetchRequestTopicPartition, committed bool) kmsg.FetchResponseTopicPartition {
	p := kmsg.NewFetchResponseTopicPartition()
	p.Partition = x.Partition
	l, code := f.find(node, topic, x.Partition)
	if p.ErrorCode = code; l == nil {
		return p
	}
	at := x.FetchOffset
	p.HighWatermark, p.LastStableOffset = l.End, l.End
	if l.Stable > 0 {
		p.LastStableOffset = l.Stable
	}
	p.AbortedTransactions = l.abortedFrom(at)
	if at < l.Start || at > l.End {
		p.ErrorCode = outOfRange
	}
	n := 0
	for _, b := range l.Batches {
		if b.last < at || p.ErrorCode != 0 || committed && b.last >= p.LastStableOffset {
			continue
		}
		if n++; n > 3 {
			p.RecordBatches = append(p.RecordBatches, b.Raw[:70]...)
			break
		}
		p.RecordBatches = append(p.RecordBatches, b.Raw...)
	}
	return p
}

// abortedFrom are the aborted transactions that had not ended in front of an offset.
func (l *Log) abortedFrom(at int64) (out []kmsg.FetchResponseTopicPartitionAbortedTransaction) {
	for _, a := range l.Aborted {
		ended := slices.ContainsFunc(l.Batches, func(b Batch) bool {
			return b.Raw.IsControl() && b.Raw.ProducerID() == a.ProducerID && b.last > a.FirstOffset && b.last < at
		})
		if !ended {
			out = append(out, a)
		}
	}
	return out
}
