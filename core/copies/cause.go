package copies

import (
	"context"
	"fmt"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// contents counts what stands at the offsets of a range.
type contents struct {
	markers int64 // of transactions
	removed int64 // offsets without a record: compaction has taken it
}

// contents reads a range to say why two copies differ.
func (s *Side) contents(ctx context.Context, within kafka.Bounds, partition int32, r Stretch) (c contents, err error) {
	next := max(r.From, 0)
	_, err = s.Read(ctx, partition, next, r.To, func(b kafka.Batch) error {
		if b.IsControl() {
			c.removed += max(b.BaseOffset()-next, 0)
			c.markers++
			next = b.LastOffset() + 1
			return nil
		}
		records, err := within.Records(b)
		for _, x := range records {
			if x.Offset >= next && x.Offset < r.To {
				c.removed += x.Offset - next
				next = x.Offset + 1
			}
		}
		return err
	})
	c.removed += max(r.To-next, 0)
	return c, err
}

// difference says why the records of two ranges are not the same, where that is nobody's mistake:
// transactions and compaction do something to one side alone. Otherwise it says what else it is.
// Ranges that need not be of the same records may differ a little in what they hold.
func (p Pair) difference(ctx context.Context, partition int32, our, their Stretch, alike bool) string {
	const otherwise = "this is no exact copy (records were duplicated, dropped, reordered or written there)"
	ours, err := p.Home.contents(ctx, p.Prints.Within, partition, our)
	if err != nil {
		return otherwise
	}
	theirs, err := p.Copy.contents(ctx, p.Prints.Within, partition, their)
	if err != nil {
		return otherwise
	}
	differ := func(a, b int64) bool {
		if alike {
			return a != b
		}
		return 10*max(a-b, b-a) > max(a, b)
	}
	a, b := p.Home.Cluster.Name(), p.Copy.Cluster.Name()
	switch {
	case differ(ours.markers, theirs.markers):
		return fmt.Sprintf("transactions have put %d markers among the offsets %d to %d on %s, and %d among %d to %d on %s, so that records do not stand at one distance: %s",
			ours.markers, our.From, our.To-1, a, theirs.markers, their.From, their.To-1, b, offsetByOffset)
	case differ(ours.removed, theirs.removed):
		return fmt.Sprintf("compaction has removed %d records from the offsets %d to %d on %s, and %d from %d to %d on %s: such a topic moves exactly while both have been compacted alike, or not yet, where records are compared",
			ours.removed, our.From, our.To-1, a, theirs.removed, their.From, their.To-1, b)
	}
	return otherwise
}

const offsetByOffset = "only a replicator that copies offset by offset, markers included, makes an exact copy of a topic with transactions"
