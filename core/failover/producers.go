package failover

import (
	"context"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// tailBytes is how much of the old home's tail is read for the batches of its producers.
const tailBytes = 16 << 20

// tails reads, while nobody is held, which producers wrote the end of the old home's log.
func (t *topicMove) tails(ctx context.Context, c *checked, topic *catalog.Topic) error {
	c.seen = c.compared
	return guard.Parallel(len(c.compared), copies.PartitionsAtOnce, func(p int) error {
		from, err := t.tailFrom(ctx, c, int32(p), c.compared[p])
		if err != nil {
			return err
		}
		return c.batches(ctx, topic.Partition(int32(p)), int32(p), from, c.compared[p])
	})
}

// batches notes the producers of the batches in a range of the old home's log.
func (c *checked) batches(ctx context.Context, part *catalog.Partition, p int32, from, to int64) error {
	_, err := c.Home.Read(ctx, p, from, to, func(b kafka.Batch) error {
		if b.ProducerID() >= 0 && !b.IsTransactional() && !b.IsControl() {
			c.producers.Complete(p, catalog.ClientProducer(b.ProducerID()), []catalog.Remembered{{
				Epoch: b.ProducerEpoch(), First: b.BaseSequence(), Last: b.LastSequence(), Base: part.ToVirtual(b.BaseOffset()),
			}})
		}
		return nil
	})
	return err
}

// remember completes the memory of producers by what the old home knows: the batches at the end of
// the log, and the last sequence of each producer. Batches that went by before the gateway started
// are then recognised when they are sent again. last may be older than the end of the log: what has
// come since the pre-check is read.
func (t *topicMove) remember(ctx context.Context, c *checked, oldEnd []int64, topic *catalog.Topic, last []copies.LastBatch) error {
	err := guard.Parallel(len(oldEnd), copies.PartitionsAtOnce, func(p int) error {
		return c.batches(ctx, topic.Partition(int32(p)), int32(p), c.seen[p], oldEnd[p])
	})
	if err != nil {
		return err
	}
	memory := topic.Memory()
	for p, producers := range c.producers.Snapshot() {
		for id, known := range producers {
			memory.Complete(p, id, known.Batches)
		}
	}
	for _, b := range last {
		if !memory.Reaches(b.Partition, b.Producer, b.Epoch, b.Sequence) {
			memory.Complete(b.Partition, b.Producer, []catalog.Remembered{{Epoch: b.Epoch, First: b.Sequence, Last: b.Sequence, Base: -1}})
		}
	}
	return nil
}

// mostCopies is how many records at the end of a copy are read for batches that were on their way.
const mostCopies = 5000

// unacknowledged reads what the copy has of batches that the old home appended and did not
// acknowledge before it died: their producers send them again.
func (t *topicMove) unacknowledged(ctx context.Context, c *checked, topic *catalog.Topic, newEnd []int64) (*catalog.Copies, error) {
	f := copies.Fingerprints(t.runner.timing(), true)
	out := &catalog.Copies{Records: map[int32][]catalog.Copy{}, Prints: func(batch []byte) (prints []uint64, err error) {
		records, err := f.Within.Records(batch)
		for _, r := range records {
			prints = append(prints, f.Of(r))
		}
		return prints, err
	}}
	var mu sync.Mutex
	err := guard.Parallel(len(newEnd), copies.PartitionsAtOnce, func(i int) error {
		p, end := int32(i), newEnd[i]
		part := topic.Partition(p)
		spans := topic.Unacknowledged(p, part.ToVirtual(c.here(i, end)))
		if len(spans) == 0 {
			return nil
		}
		from := max(c.there(i, part.ToPhysical(spans[0].From)), end-mostCopies)
		marks, _, err := c.Copy.Marks(ctx, f, p, from, end)
		mu.Lock()
		defer mu.Unlock()
		for _, m := range marks {
			v := part.ToVirtual(c.here(i, m.Offset))
			if slices.ContainsFunc(spans, func(s catalog.Span) bool { return v >= s.From && v < s.To }) {
				out.Records[p] = append(out.Records[p], catalog.Copy{Offset: v, Print: m.Print})
			}
		}
		return err
	})
	return out, err
}

// tailFrom is where the tail begins that is read for batches: the last records, as many as fit.
func (t *topicMove) tailFrom(ctx context.Context, c *checked, p int32, end int64) (int64, error) {
	few := max(end-copies.Tail, c.oldStart[p])
	var size int64
	if _, err := c.Home.Read(ctx, p, few, end, func(b kafka.Batch) error { size += int64(len(b)); return nil }); err != nil {
		return 0, err
	}
	fit := min(5000, tailBytes*copies.Tail/max(size, 1))
	return max(min(few, end-fit), c.oldStart[p]), nil
}
