package fakes

import "github.com/twmb/franz-go/pkg/kmsg"

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
			p := f.fetchOne(node, q.Topic, x)
			if size += len(p.RecordBatches); size > len(p.RecordBatches) && size > int(r.MaxBytes) {
				p.RecordBatches = nil
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (f *Cluster) fetchOne(node int32, topic string, x kmsg.FetchRequestTopicPartition) kmsg.FetchResponseTopicPartition {
	p := kmsg.NewFetchResponseTopicPartition()
	p.Partition = x.Partition
	l, code := f.find(node, topic, x.Partition)
	if p.ErrorCode = code; l == nil {
		return p
	}
	at := x.FetchOffset
	p.HighWatermark, p.LastStableOffset = l.End, l.End
	p.AbortedTransactions = l.Aborted
	if at < l.Start || at > l.End {
		p.ErrorCode = outOfRange
	}
	n := 0
	for _, b := range l.Batches {
		if b.last < at || p.ErrorCode != 0 {
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
