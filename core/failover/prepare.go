package failover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// errChanged says that what was prepared is not of the topic as it is.
var errChanged = errors.New("the topic has changed meanwhile")

// prepare finds out what the topic will be.
func (t *topicMove) prepare(ctx context.Context) error {
	c := t.found
	from, to, err := t.clusters()
	if err != nil {
		return err
	}
	topic := t.env.Catalog.Topic(t.name)
	if topic == nil || topic.Generation != c.topic.Generation {
		return errChanged
	}
	var newEnd, oldEnd []int64
	var last []copies.LastBatch
	if c.Home == nil {
		if newEnd, err = c.Copy.Stable(ctx); err == nil {
			err = t.assume(ctx, c, newEnd)
		}
		if err == nil {
			t.copies, err = t.unacknowledged(ctx, c, topic, newEnd)
		}
	} else if last, err = copies.NoTransaction(ctx, c.Home); err == nil { // one may have begun since the pre-check
		if oldEnd, newEnd, err = t.caughtUp(ctx, c); err == nil {
			err = t.remember(ctx, c, oldEnd, topic, last)
		}
	}
	if err != nil {
		return err
	}
	// Leaders and epochs are read last: an election before the commit would make them older.
	if err := joint.Refresh(ctx, to, c.Copy.Name); err != nil {
		return err
	}
	compared := c.Copy.Topic.ID
	if c.Copy, err = copies.NewSide(to, c.Copy.Name); err != nil {
		return err
	}
	if c.Copy.Topic.ID != compared || len(c.Copy.Topic.Partitions) != len(newEnd) {
		return errChanged
	}
	t.tellLost(c)
	t.advance = func(n *catalog.Topic) error {
		n.Grow(len(newEnd))
		if n.ID != topic.ID || n.Generation != topic.Generation || len(n.Partitions) != len(newEnd) || n.Physical(to.Name()) != c.Copy.Name {
			return errChanged
		}
		t.moveTo(n, c, from, to, oldEnd, newEnd)
		return nil
	}
	return nil
}

// moveTo gives a topic its next generation, and notes the ranges that may be lost.
func (t *topicMove) moveTo(next *catalog.Topic, c *checked, from, to plugin.Cluster, oldEnd, newEnd []int64) {
	before := next.Clone()
	before.Before = nil
	next.Home, next.Generation, next.Before, next.HomeID = to.Name(), before.Generation+1, before, c.Copy.Topic.ID
	delete(next.Stubs, to.Name())
	delete(next.Copies, to.Name())
	if c.Home == nil {
		maps.DeleteFunc(next.Copies, func(cluster string, _ [16]byte) bool { return !before.Died(cluster) })
	}
	if before.HomeID != [16]byte{} {
		if next.Copies == nil {
			next.Copies = map[string][16]byte{}
		}
		next.Copies[from.Name()] = before.HomeID
	}
	var loss []Range
	for p := range next.Partitions {
		part := before.Partition(int32(p))
		last := part.VirtualEpoch(epochOf(from, before.Physical(from.Name()), p))
		seg := catalog.Segment{
			Generation: next.Generation, Cluster: to.Name(), Topic: c.Copy.Name, TopicID: c.Copy.Topic.ID,
			PhysicalStart: newEnd[p], EpochBase: c.Copy.Topic.Partitions[p].Epoch,
		}
		var end int64
		if c.Home != nil {
			seg.Start = part.ToVirtual(oldEnd[p])
			end = seg.Start
		} else {
			end = part.ToVirtual(c.here(p, newEnd[p]))
			gap := c.missing(before, p, newEnd[p])
			seg.Start = max(part.Ceiling, end, gap.To)
			for _, r := range part.Recorded(gap.From, gap.To) {
				loss = append(loss, Range{t.name, int32(p), r.From, r.To - 1})
			}
		}
		start := before.Watermarks(int32(p)).Start
		if c.Home != nil {
			start = max(start, part.ToVirtual(c.oldStart[p]))
		}
		if c.Home != nil {
			next.Partitions[p] = part.Advance(seg, c.distance(part, p), end, last)
		} else {
			next.Partitions[p] = part.Succeed(seg, c.distance(part, p), end, last)
		}
		if c.Home == nil && c.unknown[p] {
			next.Partitions[p].Copies = nil
		}
		next.Partitions[p].LogStart = max(part.LogStart, min(start, seg.Start))
	}
	t.change(func(r *Report) { r.PossibleLoss = loss })
}

func epochOf(c plugin.Cluster, topic string, p int) int32 {
	_, e := c.Topology().Leader(topic, int32(p))
	return max(e, 0)
}

// caughtUp waits until the copy has everything, both ends are stable, and what came since the
// pre-check is compared.
func (t *topicMove) caughtUp(ctx context.Context, c *checked) (oldEnd, newEnd []int64, err error) {
	for {
		if oldEnd, err = c.Home.Stable(ctx); err != nil {
			return nil, nil, t.late(ctx, err)
		}
		if newEnd, err = c.Copy.Ends(ctx); err != nil {
			return nil, nil, t.late(ctx, err)
		}
		missing, err := t.lackAll(ctx, c, oldEnd, newEnd, true)
		if err == nil && missing == 0 && c.drifted() {
			// The replicator may write transactions: what is in an open one may be aborted.
			if _, err = copies.NoTransaction(ctx, c.Copy); block.Of(err) == block.ByTransactions && guard.Sleep(ctx, 10*time.Millisecond) {
				continue
			}
		}
		if err != nil {
			return nil, nil, t.late(ctx, err)
		}
		if missing == 0 {
			break
		}
		if !guard.Sleep(ctx, 10*time.Millisecond) {
			return nil, nil, block.Lagging(missing, fmt.Errorf("%w: %d records were not copied in time", block.ErrLag, missing))
		}
	}
	limit := t.runner.timing().CompareLimit
	var open error
	var wg guard.Group
	if !c.drifted() {
		wg.Go(func() { _, open = copies.NoTransaction(ctx, c.Copy) })
	}
	err = guard.Parallel(len(oldEnd), copies.PartitionsAtOnce, func(p int) error {
		if c.drifts[p] == nil {
			err := c.Compare(ctx, int32(p), copies.Stretch{From: c.compared[p], To: oldEnd[p]}, c.deltas[p], limit)
			var inexact *copies.InexactError
			if !errors.As(err, &inexact) || c.Source == copies.Identity {
				if err == nil {
					t.count(c.compared[p], oldEnd[p])
				}
				return err
			}
			c.drifts[p] = c.constant(p)
		}
		left, err := t.alignTail(ctx, c, p, oldEnd[p], newEnd[p], copies.Aligning{Behind: true, Complete: true})
		if err == nil && left > 0 {
			err = block.Lagging(int64(left), fmt.Errorf("%w: %d records of partition %d were not copied in time", block.ErrLag, left, p))
		}
		return err
	})
	if wg.Wait(); err == nil {
		err = open
	}
	if err != nil {
		return nil, nil, t.late(ctx, err)
	}
	after, err := c.Copy.Ends(ctx)
	if err == nil && !slices.Equal(after, newEnd) {
		err = fmt.Errorf("the end on %s moved while nothing was written through the gateway", t.report.To)
	}
	return oldEnd, newEnd, t.late(ctx, err)
}

// count adds a range of offsets to what was compared.
func (t *topicMove) count(from, to int64) {
	t.change(func(r *Report) { r.Compared += max(to-from, 0) })
}

// missing is the range of virtual offsets that an unplanned move may lose: what the old home may
// have acknowledged, and a copy that ends at a physical offset does not have.
func (c *checked) missing(t *catalog.Topic, p int, copyEnd int64) copies.Stretch {
	part := t.Partition(int32(p))
	from := part.ToVirtual(c.here(p, copyEnd))
	if c.unknown[p] { // what the copy has may be of any place
		from = max(part.LogStart, 0)
	}
	return copies.Stretch{From: from, To: t.MayBeKnown(int32(p))}
}
