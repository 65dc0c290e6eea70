package kafka

import (
	"bytes"
	"iter"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Partitions shows the partitions of a Produce or Fetch; other APIs have none.
func (b *RequestBody) Partitions() iter.Seq[*RequestPartition] {
	return func(yield func(*RequestPartition) bool) {
		h := b.View()
		for i := 0; h != nil && i < len(h.Partitions); i++ {
			if !yield(&h.Partitions[i]) {
				return
			}
		}
	}
}

// Partitions shows the partitions of the answer of a Produce, Fetch or ShareFetch; other APIs have
// none.
func (b *ResponseBody) Partitions() iter.Seq[*ResponsePartition] {
	return func(yield func(*ResponsePartition) bool) {
		if b.key == kmsg.ShareFetch {
			b.shared(yield)
			return
		}
		h := b.View()
		for i := 0; h != nil && i < len(h.Partitions); i++ {
			if !yield(&h.Partitions[i]) {
				return
			}
		}
	}
}

// shared shows the partitions of a ShareFetch's answer.
func (b *ResponseBody) shared(yield func(*ResponsePartition) bool) {
	msg, err := b.Peek()
	m, ok := msg.(*kmsg.ShareFetchResponse)
	if err != nil || !ok {
		return
	}
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			if !yield(&ResponsePartition{ID: t.TopicID, Partition: p.Partition, ErrorCode: Code(p.ErrorCode), Records: p.Records}) {
				return
			}
		}
	}
}

// Asked are the partitions of a request, to find those of its answer among.
type Asked struct {
	list []*RequestPartition
	next int // where the next is looked for: answers mostly stand in the same order
}

// Asked lists what Partitions shows.
func (b *RequestBody) Asked() Asked { return Asked{list: slices.Collect(b.Partitions())} }

// All are all of them.
func (a *Asked) All() []*RequestPartition { return a.list }

// Find is the partition of the request that an answer is to; nil if there is none.
func (a *Asked) Find(p *ResponsePartition) *RequestPartition {
	for range a.list {
		asked := a.list[a.next]
		a.next = (a.next + 1) % len(a.list)
		if asked.Partition == p.Partition && asked.ID == p.ID && bytes.Equal(asked.Topic, p.Topic) {
			return asked
		}
	}
	return nil
}

// Span is how many records lie in a records field from an offset on, without markers of
// transactions, and the first and last offset of them; known is false if some are of format 0 or 1,
// in which that takes decoding.
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
