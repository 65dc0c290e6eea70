package kafka

import (
	"bytes"
	"iter"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Partitions shows the partitions of a Produce or Fetch, as it came or decoded; other APIs have none.
func (b *RequestBody) Partitions() iter.Seq[*HotPartition] {
	return func(yield func(*HotPartition) bool) {
		if h := b.Hot(); h != nil {
			for i := range h.Partitions {
				if !yield(&h.Partitions[i]) {
					return
				}
			}
			return
		}
		switch b.key {
		case kmsg.Produce:
			m, err := b.Produce()
			if err != nil {
				return
			}
			for _, t := range m.Topics {
				for _, p := range t.Partitions {
					if !yield(&HotPartition{Topic: []byte(t.Topic), ID: t.TopicID, Partition: p.Partition, Records: p.Records}) {
						return
					}
				}
			}
		case kmsg.Fetch:
			m, err := b.Fetch()
			if err != nil {
				return
			}
			for _, t := range m.Topics {
				for _, p := range t.Partitions {
					if !yield(&HotPartition{Topic: []byte(t.Topic), ID: t.TopicID, Partition: p.Partition, Offset: p.FetchOffset}) {
						return
					}
				}
			}
		}
	}
}

// Partitions shows the partitions of the answer of a Produce, Fetch or ShareFetch, as it came or decoded; other APIs have none.
func (b *ResponseBody) Partitions() iter.Seq[*HotAnswer] {
	return func(yield func(*HotAnswer) bool) {
		if h := b.Hot(); h != nil {
			for i := range h.Partitions {
				if !h.Partitions[i].dropped && !yield(&h.Partitions[i]) {
					return
				}
			}
			return
		}
		switch b.key {
		case kmsg.Produce, kmsg.Fetch, kmsg.ShareFetch:
			if m, err := b.Peek(); err == nil {
				decodedPartitions(m, yield)
			}
		}
	}
}

func decodedPartitions(m kmsg.Response, yield func(*HotAnswer) bool) {
	switch m := m.(type) {
	case *kmsg.ProduceResponse:
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if !yield(&HotAnswer{Topic: []byte(t.Topic), ID: t.TopicID, Partition: p.Partition, ErrorCode: p.ErrorCode, BaseOffset: p.BaseOffset}) {
					return
				}
			}
		}
	case *kmsg.FetchResponse:
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if !yield(&HotAnswer{Topic: []byte(t.Topic), ID: t.TopicID, Partition: p.Partition, ErrorCode: p.ErrorCode, Records: p.RecordBatches}) {
					return
				}
			}
		}
	case *kmsg.ShareFetchResponse:
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if !yield(&HotAnswer{ID: t.TopicID, Partition: p.Partition, ErrorCode: p.ErrorCode, Records: p.Records}) {
					return
				}
			}
		}
	}
}

// Asked are the partitions of a request, to find those of its answer among.
type Asked struct {
	list []*HotPartition
	next int // where the next is looked for: answers mostly stand in the same order
}

// Asked lists what Partitions shows.
func (b *RequestBody) Asked() Asked { return Asked{list: slices.Collect(b.Partitions())} }

// All are all of them.
func (a *Asked) All() []*HotPartition { return a.list }

// Find is the partition of the request that an answer is to; nil if there is none.
func (a *Asked) Find(p *HotAnswer) *HotPartition {
	for range a.list {
		asked := a.list[a.next]
		a.next = (a.next + 1) % len(a.list)
		if asked.Partition == p.Partition && asked.ID == p.ID && bytes.Equal(asked.Topic, p.Topic) {
			return asked
		}
	}
	return nil
}

// Span is how many records lie in a records field from an offset on, without markers of transactions, and the first and last offset
// of them; known is false if some are of format 0 or 1, in which that takes decoding.
func Span(records []byte, from int64) (n, first, last int64, known bool) {
	first, last = -1, -1
	read := 0
	for at, b := range Batches(records) {
		read = at + len(b)
		if b.IsControl() || b.LastOffset() < from {
			continue
		}
		begin := max(b.BaseOffset(), from)
		n += min(int64(b.Count()), b.LastOffset()-begin+1)
		if first < 0 {
			first = begin
		}
		last = b.LastOffset()
	}
	return n, first, last, !HasOldMagic(records[read:])
}
