package failover

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
)

// comeBack begins to look at a copy that was the home and died: what is in front of the place where
// the home took over is known, if it is still there. An error says why it can't be gone by.
func (t *topicMove) comeBack(ctx context.Context, c *checked, p int, known catalog.Alignment, ours, theirs copies.Stretch) error {
	part := c.topic.Partition(int32(p))
	if err := c.Kept(ctx, int32(p), part, known, ours, theirs); err != nil {
		return err
	}
	c.drifts[p] = &drift{there: known.Distance, copied: max(known.Distance.ToPhysical(known.To), theirs.From), died: &known}
	c.compared[p] = max(part.ToPhysical(known.To), ours.From)
	c.deltas[p] = theirs.To - c.compared[p] // it has nothing of what came since
	left, err := t.alignTail(ctx, c, p, ours.To, theirs.To, copies.Aligning{Behind: true})
	if mark := known.Distance.ToPhysical(known.To); err == nil && left > 0 && c.drifts[p].died != nil && theirs.From > mark {
		return fmt.Errorf("partition %d on %s begins at offset %d, behind %d, where %s took over, and without the first record that came since", p, c.Copy.Cluster.Name(), theirs.From, mark, c.Home.Cluster.Name())
	}
	return err
}

// alignReturned is alignTail for a copy of which the first record that it has got since it died was
// not found yet. Its lost tail stays hidden.
func (t *topicMove) alignReturned(ctx context.Context, c *checked, p int, ours, theirs copies.Stretch, how copies.Aligning) (left int, err error) {
	part, last := c.topic.Partition(int32(p)), c.drifts[p]
	back, err := c.Return(ctx, int32(p), *last.died, ours, theirs, how)
	if err != nil {
		return 0, block.Because(block.ByCopy, err)
	}
	if !back.Begun {
		known := *last.died
		known.Lost = back.Lost
		c.drifts[p] = &drift{there: last.there, copied: last.copied, died: &known}
		return back.Left, nil
	}
	there, err := last.there.Until(last.died.To, part.Distance.Onward(back.Distance))
	if err != nil {
		return 0, block.Because(block.ByCopy, err)
	}
	t.count(ours.From, back.To)
	c.deltas[p] = there.Delta() - part.Distance.Delta()
	c.drifts[p], c.compared[p] = &drift{there: there, copied: back.Copy, lost: back.Lost}, max(back.To, ours.From)
	return back.Left, nil
}

// anew compares a copy that was the home and died without what was known of it: as a whole, so that
// nothing is shown of a lost tail. low is the lowest position that somebody may still read from,
// why the reason that it can't be gone by.
func (t *topicMove) anew(ctx context.Context, c *checked, p int, ours, theirs copies.Stretch, low position, why error) error {
	part, limit := c.topic.Partition(int32(p)), t.runner.timing().CompareLimit
	d, _, err := c.FindDelta(ctx, int32(p), ours, theirs)
	if err == nil {
		begin, end := max(ours.From, theirs.From-d), min(ours.To, theirs.To-d)
		if needed := max(ours.From, part.ToPhysical(low.offset)); low.who != "" && needed < min(begin, end) {
			return fmt.Errorf("%w; and what it has begins at offset %d of %s, but %s may still read from %d", why, begin, c.Home.Cluster.Name(), low.who, needed)
		}
		if err = c.Compare(ctx, int32(p), copies.Stretch{From: begin, To: end}, d, limit); err == nil {
			t.count(begin, end)
			c.deltas[p], c.begun[p], c.compared[p] = d, begin, end
			return nil
		}
	}
	if copies.IsUnread(err) {
		return err
	}
	found, err := c.Align(ctx, int32(p), ours, theirs, copies.Aligning{Hidden: part.Distance.Skips, Behind: true, Limit: limit})
	switch {
	case copies.IsUnread(err):
		return err
	case err != nil || found.From >= found.To:
		return why
	}
	t.count(found.From, found.To)
	c.deltas[p], c.compared[p] = found.Distance.Delta(), found.To
	c.drifts[p] = &drift{there: part.Distance.Onward(found.Distance).Back(), copied: found.Copy}
	return nil
}

// died is what is known of a copy that was the home and died, and was not compared since.
func (c *checked) died(p int) (catalog.Alignment, bool) {
	a := c.topic.Partition(int32(p)).Copies[c.Copy.Cluster.Name()]
	return a, a.Died && c.known()
}

// passOver gives up what a copy has got since it died as the home, of which nobody can tell any
// more what is its lost tail: all that is behind the place where the next home took over is hidden,
// up to where it ends.
func (t *topicMove) passOver(c *checked, p int, known catalog.Alignment, end int64) {
	part := c.topic.Partition(int32(p))
	c.drifts[p] = &drift{there: known.Hidden(end), copied: end, died: &known}
	c.deltas = append(c.deltas, end-part.ToPhysical(known.To))
	t.change(func(r *Report) {
		note := fmt.Sprintf("partition %d: what %s has behind offset %d was not compared since it came back, and is hidden", p, c.Copy.Cluster.Name(), known.Distance.ToPhysical(known.To))
		if !slices.Contains(r.Notes, note) {
			r.Notes = append(r.Notes, note)
		}
	})
}

// tellLost notes in the report what of lost tails the new home hides.
func (t *topicMove) tellLost(c *checked) {
	t.change(func(r *Report) {
		for p := range c.drifts {
			if d := c.drift(p); d != nil && d.lost > 0 {
				r.Notes = append(r.Notes, fmt.Sprintf("partition %d: %d records that were lost when %s died are hidden there", p, d.lost, r.To))
			}
		}
	})
}
