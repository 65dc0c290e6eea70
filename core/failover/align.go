package failover

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/guard"
)

// drift is what was found of a copy whose records do not stand at one distance from the home's, up
// to what is compared.
type drift struct {
	there  catalog.Distance // of the copy's log
	copied int64            // offset of the copy up to which it was looked at
	// died is what is known of a home that died, while what it has got since was not found; lost is
	// how many records of its lost tail are hidden.
	died *catalog.Alignment
	lost int64
}

// resume goes on from where a copy that has drifted was last looked at; false if it was not, from a
// virtual offset on. What is left in front of the last records is looked at first. One that was the
// home and died is compared as a whole if that can't be done.
func (t *topicMove) resume(ctx context.Context, c *checked, p int, from int64, ours, theirs copies.Stretch) (bool, error) {
	part, to := c.topic.Partition(int32(p)), c.Copy.Cluster.Name()
	known := part.Copies[to]
	if !c.known() || !known.Follows() || known.Died && from < known.From {
		return false, nil
	}
	if known.Died {
		return true, t.comeBack(ctx, c, p, known, ours, theirs)
	}
	if from < known.From && known.Front != nil && from >= known.Front.From {
		ahead, err := c.Front(ctx, int32(p), part, copies.Ahead{Alignment: known}, ours.From, theirs.From, copies.Aligning{Limit: t.runner.timing().CompareLimit})
		if err != nil {
			return true, err
		}
		t.count(0, ahead.Read)
		known = ahead.Alignment
	}
	if from < known.From {
		return false, nil
	}
	c.drifts[p] = &drift{there: known.Distance, copied: max(known.Distance.ToPhysical(known.To), theirs.From), lost: known.Lost}
	c.compared[p] = max(part.ToPhysical(known.To), ours.From)
	c.deltas[p] = known.Distance.Delta() - part.Distance.Delta()
	_, err := t.alignTail(ctx, c, p, ours.To, theirs.To, copies.Aligning{Behind: true})
	return true, err
}

// align finds where a copy has the records of a partition that do not stand at one distance: all
// that the home has, if they are few enough to be looked at and the copy has them all; else those
// that somebody may still read.
func (t *topicMove) align(ctx context.Context, c *checked, p int, ours, theirs copies.Stretch, lowest map[int32]position) (err error) {
	part := c.topic.Partition(int32(p))
	known, knows := c.knows(part)
	busy := knows && known.Front != nil // all is being looked at in the background, and is much
	// The copy's end was read first: the home has what it has.
	how := copies.Aligning{Hidden: part.Distance.Skips, Behind: true, Limit: t.runner.timing().CompareLimit}
	var found copies.Aligned
	if !busy {
		found, err = c.Align(ctx, int32(p), ours, theirs, how)
	}
	whole := err
	if busy || err != nil && !copies.IsUnread(err) {
		needed, reader := max(ours.From, ours.To-copies.Tail), "nobody"
		if low, ok := lowest[int32(p)]; ok && part.ToPhysical(low.offset) < needed {
			needed, reader = max(ours.From, part.ToPhysical(low.offset)), fmt.Sprintf("%s at offset %d", low.who, low.offset)
		}
		resumed, why := t.resume(ctx, c, p, part.ToVirtual(needed), ours, theirs)
		if resumed && (why == nil || copies.IsUnread(why)) {
			return why
		}
		whole = cmp.Or(whole, why)
		c.drifts[p] = nil
		found, err = c.Align(ctx, int32(p), copies.Stretch{From: needed, To: ours.To}, theirs, how)
		if err != nil && !copies.IsUnread(err) {
			err = fmt.Errorf("%w; furthest behind is %s", err, reader)
			if busy {
				err = fmt.Errorf("%w. It is aligned in the background: from offset %d, up to %d of %d so far", err, known.Front.From, known.Front.To, known.From)
			}
		}
	}
	if err != nil {
		return err
	}
	t.count(found.From, found.To)
	there := part.Distance.Onward(found.Distance)
	if knows { // of what is in front, such as what it wrote when it was the home
		if whole != nil && known.Follows() && known.To < part.ToVirtual(found.From) {
			return whole // what is between was found nowhere
		}
		if there, err = known.Distance.Until(part.ToVirtual(found.From), there); err != nil {
			return err
		}
	} else {
		there = part.Extended(there, part.ToVirtual(found.From))
	}
	c.deltas[p], c.compared[p], c.drifts[p] = found.Distance.Delta(), found.To, &drift{there: there, copied: found.Copy}
	return nil
}

// alignTail goes on with what has come on both sides since. It returns how many records of the home
// the copy does not have.
func (t *topicMove) alignTail(ctx context.Context, c *checked, p int, oldEnd, newEnd int64, how copies.Aligning) (left int, err error) {
	part, last := c.topic.Partition(int32(p)), c.drifts[p]
	ours, theirs := copies.Stretch{From: c.compared[p], To: oldEnd}, copies.Stretch{From: last.copied, To: newEnd}
	how.Hidden, how.Resumes, how.Limit = part.Distance.Skips, true, t.runner.timing().CompareLimit
	if last.died != nil {
		return t.alignReturned(ctx, c, p, ours, theirs, how)
	}
	more, err := c.Align(ctx, int32(p), ours, theirs, how)
	if err != nil {
		return 0, block.Because(block.ByCopy, err)
	}
	there, err := last.there.Until(part.ToVirtual(c.compared[p]), part.Distance.Onward(more.Distance))
	if err != nil {
		return 0, block.Because(block.ByCopy, err)
	}
	t.count(c.compared[p], more.To)
	c.deltas[p] = there.Delta() - part.Distance.Delta()
	c.drifts[p], c.compared[p] = &drift{there: there, copied: more.Copy, lost: last.lost}, max(more.To, c.compared[p])
	return more.Left, nil
}

// mostLooked is how many records are looked at to find out whether a copy lacks any.
const mostLooked = 10_000

// lacks is how many records of a partition the copy lacks, about. Offsets tell while it goes on;
// where it stands still and offsets are missing, or it has more than a home to which nobody writes,
// something has come between the records, and they are looked at.
func (t *topicMove) lacks(ctx context.Context, c *checked, p int, oldEnd, newEnd int64, held bool) (int64, error) {
	behind := c.there(p, oldEnd) - newEnd
	if c.Source == copies.Identity && held && behind < 0 {
		return 0, block.Because(block.ByCopy, fmt.Errorf("partition %d has %d offsets more on %s than on %s: its rule says `copy: identity`", p, -behind, c.Copy.Cluster.Name(), c.Home.Cluster.Name()))
	}
	if c.drifts[p] == nil {
		stands := c.stood[p] == newEnd
		if c.stood[p] = newEnd; behind == 0 || behind > 0 && (!stands || behind > mostLooked) || behind < 0 && !held || c.Source == copies.Identity {
			return max(behind, 0), nil
		}
		c.drifts[p] = c.constant(p)
	}
	left, err := t.alignTail(ctx, c, p, oldEnd, newEnd, copies.Aligning{})
	if left > 0 {
		return max(int64(left), behind), err
	}
	return 0, err
}

// lackAll is how many records the copy lacks in all partitions. held says that nobody writes to the
// home.
func (t *topicMove) lackAll(ctx context.Context, c *checked, oldEnd, newEnd []int64, held bool) (int64, error) {
	var n atomic.Int64
	err := guard.Parallel(len(oldEnd), copies.PartitionsAtOnce, func(p int) error {
		lacks, err := t.lacks(ctx, c, p, oldEnd[p], newEnd[p], held)
		n.Add(lacks)
		return err
	})
	return n.Load(), err
}

// drifted reports that a partition's copy does not stand at one distance.
func (c *checked) drifted() bool {
	return slices.ContainsFunc(c.drifts, func(d *drift) bool { return d != nil })
}

// constant is the drift of a copy that had none so far.
func (c *checked) constant(p int) *drift {
	return &drift{there: c.distance(c.topic.Partition(int32(p)), p), copied: c.there(p, c.compared[p])}
}

// distance is that of the copy's log from the virtual one.
func (c *checked) distance(part *catalog.Partition, p int) catalog.Distance {
	d := c.drift(p)
	known, same := c.knows(part)
	switch {
	case d != nil:
		return d.there
	case same && c.Home == nil:
		return known.Distance
	case same:
		return part.Shifted(c.Copy.Cluster.Name(), c.deltas[p], part.ToVirtual(c.begun[p]))
	}
	return part.Distance.Shift(c.deltas[p])
}

// knows is what the catalog knows of a partition of the copy, if it can be gone by as it is.
func (c *checked) knows(part *catalog.Partition) (catalog.Alignment, bool) {
	a, ok := part.Copies[c.Copy.Cluster.Name()]
	return a, ok && !a.Died && c.known()
}

// known reports that what the catalog knows of the copy is of the one that is there.
func (c *checked) known() bool {
	id, compared := c.topic.Copies[c.Copy.Cluster.Name()]
	return compared && id == c.Copy.Topic.ID
}

// drift is that of a partition's copy, nil if it has none.
func (c *checked) drift(p int) *drift {
	if c.drifts == nil {
		return nil
	}
	return c.drifts[p]
}

// assume goes on with what a copy that has drifted has got since it was last compared with a home
// that is gone: its data is what came next there. One that has not may end with markers of its
// replicator's transactions, which stand for no record.
func (t *topicMove) assume(ctx context.Context, c *checked, newEnd []int64) error {
	begin, err := c.Copy.Starts(ctx)
	if err != nil {
		return err
	}
	keeps := copies.Source(t.env.Placement.Home(t.name).Copy) == copies.Identity // markers too
	return guard.Parallel(len(newEnd), copies.PartitionsAtOnce, func(p int) error {
		d := c.drift(p)
		if d == nil && !c.unknown[p] && !keeps {
			end, err := c.Copy.DataEnd(ctx, int32(p), copies.Stretch{From: begin[p], To: newEnd[p]})
			if err != nil {
				return err
			}
			if end < newEnd[p] {
				d = &drift{there: c.distance(c.topic.Partition(int32(p)), p), copied: end}
			}
		}
		if d == nil {
			return nil
		}
		if d.died != nil {
			c.drifts[p] = &drift{there: d.died.Hidden(newEnd[p]), copied: newEnd[p], died: d.died}
			return nil
		}
		there, err := c.Copy.Assume(ctx, int32(p), copies.Stretch{From: d.copied, To: newEnd[p]}, d.there.ToVirtual(d.copied))
		if err != nil {
			return err
		}
		if there, err = d.there.Until(d.there.ToVirtual(d.copied), there); err != nil {
			return block.Because(block.ByCopy, err)
		}
		c.drifts[p] = &drift{there: there, copied: newEnd[p]}
		return nil
	})
}
