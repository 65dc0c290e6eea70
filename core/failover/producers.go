package failover

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// tailBytes is how much of the old home's tail is read for the batches of its producers.
const tailBytes = 16 << 20

// tails reads, while nobody is held, which producers wrote the end of the old home's log.
func (t *task) tails(ctx context.Context, c *checked, topic *catalog.Topic) error {
	c.seen = c.compared
	return parallel(len(c.compared), partitionsAtOnce, func(p int) error {
		from, err := t.tailFrom(ctx, c, int32(p), c.compared[p])
		if err != nil {
			return err
		}
		return c.batches(ctx, topic.Partition(int32(p)), int32(p), from, c.compared[p])
	})
}

// batches notes the producers of the batches in a range of the old home's log.
func (c *checked) batches(ctx context.Context, part *catalog.Partition, p int32, from, to int64) error {
	_, err := c.old.read(ctx, p, from, to, func(b kafka.Batch) error {
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
func (t *task) remember(ctx context.Context, c *checked, oldEnd []int64, topic *catalog.Topic, last []lastBatch) error {
	err := parallel(len(oldEnd), partitionsAtOnce, func(p int) error {
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
		if !memory.Reaches(b.partition, b.producer, b.epoch, b.sequence) {
			memory.Complete(b.partition, b.producer, []catalog.Remembered{{Epoch: b.epoch, First: b.sequence, Last: b.sequence, Base: -1}})
		}
	}
	return nil
}

// mostCopies is how many records at the end of a copy are read for batches that were on their way.
const mostCopies = 5000

// unacknowledged reads what the copy has of batches that the old home appended and did not
// acknowledge before it died: their producers send them again.
func (t *task) unacknowledged(ctx context.Context, c *checked, topic *catalog.Topic, newEnd []int64) (*catalog.Copies, error) {
	f := t.runner.prints(true)
	out := &catalog.Copies{Records: map[int32][]catalog.Copy{}, Prints: func(batch []byte) (prints []uint64, err error) {
		records, err := f.Within.Records(batch)
		for _, r := range records {
			prints = append(prints, f.Of(r))
		}
		return prints, err
	}}
	var mu sync.Mutex
	err := parallel(len(newEnd), partitionsAtOnce, func(i int) error {
		p, end := int32(i), newEnd[i]
		part, delta := topic.Partition(p), c.deltas[i]
		spans := topic.Unacknowledged(p, part.ToVirtual(end-delta))
		if len(spans) == 0 {
			return nil
		}
		from := max(part.ToPhysical(spans[0].From)+delta, end-mostCopies)
		marks, _, err := c.copied.marks(ctx, f, p, from, end)
		mu.Lock()
		defer mu.Unlock()
		for _, m := range marks {
			v := part.ToVirtual(m.offset - delta)
			if slices.ContainsFunc(spans, func(s catalog.Span) bool { return v >= s.From && v < s.To }) {
				out.Records[p] = append(out.Records[p], catalog.Copy{Offset: v, Print: m.print})
			}
		}
		return err
	})
	return out, err
}

// tailFrom is where the tail begins that is read for batches: the last records, as many as fit.
func (t *task) tailFrom(ctx context.Context, c *checked, p int32, end int64) (int64, error) {
	few := max(end-tail, c.oldStart[p])
	var size int64
	if _, err := c.old.read(ctx, p, few, end, func(b kafka.Batch) error { size += int64(len(b)); return nil }); err != nil {
		return 0, err
	}
	fit := min(5000, tailBytes*tail/max(size, 1))
	return max(min(few, end-fit), c.oldStart[p]), nil
}

// lastBatch is the last batch of a producer that a partition's leader knows.
type lastBatch struct {
	partition int32
	epoch     int16
	sequence  int32
	producer  int64 // as clients know it
}

// noTransaction refuses a move while a transaction is open on the topic. It returns what the
// leaders know of its producers.
func noTransaction(ctx context.Context, s *side) (last []lastBatch, err error) {
	err = s.producers(ctx, func(p int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) error {
		if a.CurrentTxnStartOffset >= 0 {
			return because(ByTransactions, fmt.Errorf("partition %d has an open transaction (%s): it must end first", p, s.whose(ctx, a)))
		}
		if a.LastSequence >= 0 {
			last = append(last, lastBatch{p, int16(a.ProducerEpoch), a.LastSequence, catalog.ClientProducer(a.ProducerID)})
		}
		return nil
	})
	return last, err
}

// producers asks the leaders which producers they know. They are visited one after the other.
func (s *side) producers(ctx context.Context, visit func(partition int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) error) error {
	var mu sync.Mutex
	return s.eachLeader(func(leader int32, parts []int32) error {
		req := kmsg.NewPtrDescribeProducersRequest()
		t := kmsg.NewDescribeProducersRequestTopic()
		t.Topic, t.Partitions = s.topic, parts
		req.Topics = []kmsg.DescribeProducersRequestTopic{t}
		resp, err := s.cluster.Do(ctx, leader, req)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rt := range resp.(*kmsg.DescribeProducersResponse).Topics {
			for _, rp := range rt.Partitions {
				if rp.ErrorCode != 0 {
					return fmt.Errorf("producers of %q/%d on %s: error %d", s.topic, rp.Partition, s.cluster.Name(), rp.ErrorCode)
				}
				for _, a := range rp.ActiveProducers {
					if err := visit(rp.Partition, a); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}
