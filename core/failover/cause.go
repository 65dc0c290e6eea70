package failover

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// contents counts what stands at the offsets of a range.
type contents struct {
	markers int64 // of transactions
	removed int64 // offsets without a record: compaction has taken it
}

// contents reads a range to say why two copies differ.
func (s *side) contents(ctx context.Context, within kafka.Bounds, partition int32, r stretch) (c contents, err error) {
	next := max(r.from, 0)
	_, err = s.read(ctx, partition, next, r.to, func(b kafka.Batch) error {
		if b.IsControl() {
			c.removed += max(b.BaseOffset()-next, 0)
			c.markers++
			next = b.LastOffset() + 1
			return nil
		}
		records, err := within.Records(b)
		for _, x := range records {
			if x.Offset >= next && x.Offset < r.to {
				c.removed += x.Offset - next
				next = x.Offset + 1
			}
		}
		return err
	})
	c.removed += max(r.to-next, 0)
	return c, err
}

// difference says why the records of two ranges are not the same, where that is nobody's mistake:
// transactions and compaction do something to one side alone. Otherwise it says what else it is.
// Ranges that need not be of the same records may differ a little in what they hold.
func difference(ctx context.Context, within kafka.Bounds, partition int32, old, copied *side, our, their stretch, alike bool) string {
	const otherwise = "this is no exact copy (records were duplicated, dropped, reordered or written there)"
	ours, err := old.contents(ctx, within, partition, our)
	if err != nil {
		return otherwise
	}
	theirs, err := copied.contents(ctx, within, partition, their)
	if err != nil {
		return otherwise
	}
	differ := func(a, b int64) bool {
		if alike {
			return a != b
		}
		return 10*max(a-b, b-a) > max(a, b)
	}
	a, b := old.cluster.Name(), copied.cluster.Name()
	switch {
	case differ(ours.markers, theirs.markers):
		return fmt.Sprintf("transactions have put %d markers among the offsets %d to %d on %s, and %d among %d to %d on %s, so that records do not stand at one distance: %s",
			ours.markers, our.from, our.to-1, a, theirs.markers, their.from, their.to-1, b, offsetByOffset)
	case differ(ours.removed, theirs.removed):
		return fmt.Sprintf("compaction has removed %d records from the offsets %d to %d on %s, and %d from %d to %d on %s: such a topic moves exactly while both have been compacted alike, or not yet, where records are compared",
			ours.removed, our.from, our.to-1, a, theirs.removed, their.from, their.to-1, b)
	}
	return otherwise
}

const offsetByOffset = "only a replicator that copies offset by offset, markers included, makes an exact copy of a topic with transactions"

// lagging says by how much a copy is behind, and why it may stay so: ends are where it ends. What
// is missing is looked at if it is little: markers alone are.
func (c *checked) lagging(ctx context.Context, oldEnd, ends []int64) (lag int64, why string) {
	var markers int64
	for p := range oldEnd {
		missing := stretch{max(ends[p]-c.deltas[p], c.oldStart[p]), oldEnd[p]}
		if missing.from >= missing.to {
			continue
		}
		if lag += missing.to - missing.from; lag > searchBack {
			continue
		}
		if in, err := c.old.contents(ctx, c.prints.Within, int32(p), missing); err == nil {
			markers += in.markers
		}
	}
	running := fmt.Sprintf("is the replicator running, from %s to %s?", c.old.cluster.Name(), c.copied.cluster.Name())
	switch {
	case markers == 0, lag > searchBack:
		return lag, running
	case markers == lag:
		return lag, fmt.Sprintf("they are markers of transactions on %s, which the replicator has left out: %s", c.old.cluster.Name(), offsetByOffset)
	}
	return lag, fmt.Sprintf("%s %d of them are markers of transactions, which most replicators leave out, as they do records of aborted ones", running, markers)
}

// whose says who has a transaction open, as far as the brokers of a cluster tell.
func (s *side) whose(ctx context.Context, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) string {
	out := []string{fmt.Sprintf("producer %d", a.ProducerID)}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	for _, b := range s.cluster.Topology().Brokers {
		req := kmsg.NewPtrListTransactionsRequest()
		req.ProducerIDFilters = []int64{a.ProducerID}
		resp, err := s.cluster.Do(ctx, b.ID, req)
		if err != nil {
			continue // a broker that lacks the API, or does not answer, leaves it at the number
		}
		for _, t := range resp.(*kmsg.ListTransactionsResponse).TransactionStates {
			if t.ProducerID == a.ProducerID {
				out = append([]string{fmt.Sprintf("transactional id %q", t.TransactionalID)}, out...)
			}
		}
		if len(out) > 1 {
			break
		}
	}
	if a.LastTimestamp > 0 {
		out = append(out, "last written to at "+time.UnixMilli(a.LastTimestamp).UTC().Format(time.RFC3339))
	}
	return strings.Join(out, ", ")
}
