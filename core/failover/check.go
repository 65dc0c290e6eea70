package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// checked is what the pre-check found out.
type checked struct {
	topic       *catalog.Topic
	copies.Pair // home is nil when the old home is gone
	oldStart    []int64
	deltas      []int64
	unknown     []bool   // when the old home is gone: the distance is a guess
	begun       []int64  // old offsets from which everything is compared
	compared    []int64  // old offsets up to which everything is compared
	stood       []int64  // where the copy ended when it was last looked at
	drifts      []*drift // nil for a copy whose records stand at one distance
	// producers are those whose batches the pre-check has found at the end of the old home's log,
	// up to the offsets in seen.
	producers catalog.Memory
	seen      []int64
}

// there is where the record at an offset of the old home stands on the copy.
func (c *checked) there(partition int, old int64) int64 {
	if d := c.drift(partition); d != nil {
		return d.there.ToPhysical(c.topic.Partition(int32(partition)).ToVirtual(old))
	}
	return old + c.deltas[partition]
}

// here is where the record at an offset of the copy stands at the old home.
func (c *checked) here(partition int, copied int64) int64 {
	if d := c.drift(partition); d != nil {
		return c.topic.Partition(int32(partition)).ToPhysical(d.there.ToVirtual(copied))
	}
	return copied - c.deltas[partition]
}

// check is the pre-check: nobody is held.
func (t *topicMove) check(ctx context.Context, gone bool) (err error) {
	if gone {
		t.found, err = t.checkGone(ctx)
	} else {
		t.found, err = t.checkPlanned(ctx)
	}
	return err
}

// checkPlanned is the pre-check of a planned move.
func (t *topicMove) checkPlanned(ctx context.Context) (*checked, error) {
	topic, err := t.topic()
	if err != nil {
		return nil, err
	}
	from, to, err := t.clusters()
	if err != nil {
		return nil, err
	}
	for _, c := range []plugin.Cluster{from, to} {
		if err := joint.Refresh(ctx, c, topic.Physical(c.Name())); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name(), err)
		}
	}
	c := &checked{topic: topic}
	if c.Home, err = copies.NewSide(from, topic.Physical(from.Name())); err != nil {
		return nil, block.Because(block.ByCluster, err)
	}
	if c.Copy, err = copies.NewSide(to, topic.Physical(to.Name())); err != nil {
		return nil, block.Because(block.ByCopy, err)
	}
	if a, b := len(c.Home.Topic.Partitions), len(c.Copy.Topic.Partitions); a != b {
		return nil, block.Because(block.BySettings, fmt.Errorf("%d partitions on %s, but %d on %s: give both the same number", a, from.Name(), b, to.Name()))
	}
	alike, err := copies.SameSettings(ctx, c.Home, c.Copy)
	if err != nil {
		return nil, block.Because(block.BySettings, err)
	}
	if err := c.Copy.Writable(ctx); err != nil {
		return nil, block.Because(block.ByRights, err)
	}
	if err := c.Copy.Accepts(ctx, false); err != nil {
		return nil, block.Because(block.ByRights, err)
	}
	c.Take(alike, t.runner.timing())
	c.By(t.env.Placement.Home(t.name).Copy)
	if _, err := copies.NoTransaction(ctx, c.Home); err != nil {
		return nil, err
	}
	at, err := c.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	c.oldStart = copies.Begins(topic, at.Home.Starts)
	copies.NoteEnds(topic, at.Home.Ends)
	lowest, err := t.lowest(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := t.compareAll(ctx, c, at, lowest); err != nil {
		return nil, err
	}
	return c, t.drains(ctx, c, at.Home.Ends, at.Copy.Ends)
}

// compareAll finds the distance of every partition's copy, and compares what somebody may still
// read. Few topics at a time read.
func (t *topicMove) compareAll(ctx context.Context, c *checked, at copies.Bounds, lowest map[int32]position) error {
	if err := t.reads.take(ctx); err != nil {
		return err
	}
	defer t.reads.give()
	c.deltas, c.begun, c.compared = make([]int64, len(c.oldStart)), make([]int64, len(c.oldStart)), make([]int64, len(c.oldStart))
	c.drifts, c.stood = make([]*drift, len(c.oldStart)), slices.Repeat([]int64{-1}, len(c.oldStart))
	err := guard.Parallel(len(c.oldStart), copies.PartitionsAtOnce, func(p int) error {
		ours, theirs := copies.Stretch{From: c.oldStart[p], To: at.Home.Ends[p]}, at.Copy.Of(p)
		if c.Source == copies.Identity {
			return t.sample(ctx, c, p, ours, theirs, lowest)
		}
		begin := c.topic.Partition(int32(p)).ToVirtual(ours.From)
		known, err := t.resume(ctx, c, p, begin, ours, theirs)
		if known && (err == nil || copies.IsUnread(err)) {
			return err
		}
		c.drifts[p] = nil
		if _, died := c.died(p); died && err != nil {
			return t.anew(ctx, c, p, ours, theirs, lowest[int32(p)], err)
		}
		err = t.compare(ctx, c, p, ours, theirs, lowest)
		var inexact *copies.InexactError
		if errors.As(err, &inexact) {
			return t.align(ctx, c, p, ours, theirs, lowest)
		}
		return err
	})
	if err != nil {
		return block.Because(block.ByCopy, err)
	}
	return t.tails(ctx, c, c.topic)
}

// compare finds the distance of a partition's copy. Everything that somebody may still read must be
// at this distance. The copy's end is what can be compared now; the rest is compared when it is
// there.
func (t *topicMove) compare(ctx context.Context, c *checked, p int, ours, theirs copies.Stretch, lowest map[int32]position) error {
	part, to := c.topic.Partition(int32(p)), c.Copy.Cluster.Name()
	guesses := []int64{0}
	if d, ok := part.Delta(to); ok {
		guesses = []int64{d, 0}
	}
	d, same, err := c.FindDelta(ctx, int32(p), ours, theirs, guesses...)
	if err != nil {
		return err
	}
	if known, ok := part.Delta(to); !ok || !c.known() || known != d {
		if err := c.Head(ctx, int32(p), ours, theirs, d); err != nil {
			return err
		}
	}
	end := min(ours.To, theirs.To-d)
	begin, reader := max(ours.From, end-copies.Tail), "nobody"
	if low, ok := lowest[int32(p)]; ok {
		needed := max(ours.From, part.ToPhysical(low.offset))
		if needed < min(theirs.From-d, end) {
			return c.beginsLate(p, theirs.From-d, low, needed)
		}
		if needed < begin {
			begin, reader = needed, fmt.Sprintf("%s at offset %d", low.who, low.offset)
		}
	}
	begin = max(begin, theirs.From-d)
	for _, left := range (copies.Stretch{From: begin, To: end}).Without(same) {
		err = c.Compare(ctx, int32(p), left, d, t.runner.timing().CompareLimit)
		if errors.Is(err, copies.ErrLimit) {
			err = fmt.Errorf("%w: furthest behind is %s; let it catch up, delete it, or raise the limit", err, reader)
		}
		if err != nil {
			return err
		}
	}
	t.count(begin, end)
	c.deltas[p], c.begun[p], c.compared[p] = d, begin, end
	return nil
}

// beginsLate refuses a copy that begins at an offset of the home, behind what somebody may read.
func (c *checked) beginsLate(p int, at int64, low position, needed int64) error {
	return fmt.Errorf("no exact copy: partition %d on %s begins at offset %d of %s, but %s may still read from %d", p, c.Copy.Cluster.Name(), at, c.Home.Cluster.Name(), low.who, needed)
}

// sample is compare of a copy of which the rule says that it keeps offsets: samples are compared,
// whoever may still read what.
func (t *topicMove) sample(ctx context.Context, c *checked, p int, ours, theirs copies.Stretch, lowest map[int32]position) error {
	part := c.topic.Partition(int32(p))
	both, err := c.Identical(ctx, int32(p), ours, theirs, copies.Samples, part.TailMayBegin(c.Copy.Cluster.Name())...)
	if err != nil {
		return err
	}
	if low, ok := lowest[int32(p)]; ok {
		if needed := max(ours.From, part.ToPhysical(low.offset)); needed < min(theirs.From, both.To) {
			return c.beginsLate(p, theirs.From, low, needed)
		}
	}
	c.deltas[p], c.begun[p], c.compared[p] = 0, both.From, both.To
	return nil
}

// calmly is how soon the home answers a produce for a hold to begin.
const calmly = 100 * time.Millisecond

// calm puts a hold off while the home takes long to answer, since clients would be held for as
// long: failover.calm at most, because a home that ails is a reason to leave it.
func (t *topicMove) calm(ctx context.Context) error {
	g, most := t.gate(), t.runner.timing().Calm
	if most <= 0 {
		return nil
	}
	limit := time.After(most)
	for {
		began := time.Now()
		select {
		case <-g.Answered():
		case <-limit:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if time.Since(began) < calmly {
			return nil
		}
	}
}

// drainEvery is how often a copy is looked at that lags.
const drainEvery = 100 * time.Millisecond

// drains refuses a move whose copy lags so far behind that it would not catch up while clients are
// held.
func (t *topicMove) drains(ctx context.Context, c *checked, oldEnd, newEnd []int64) error {
	lag, err := t.lackAll(ctx, c, oldEnd, newEnd, false)
	if err != nil || lag == 0 {
		return err
	}
	limit := t.runner.timing().MaxDrain
	until := time.Now().Add(limit)
	if t.goals != nil {
		until, oldEnd = t.goals.until, slices.Clone(oldEnd)
		for p := range oldEnd {
			if ends := t.goals.ends[t.name]; p < len(ends) && ends[p] >= 0 {
				oldEnd[p] = min(oldEnd[p], ends[p])
			}
		}
	}
	for first := true; first || time.Now().Before(until); first = false {
		// Those that wait until the same time look at the same times, so that they ask together.
		if left := time.Until(until); left > 0 && !guard.Sleep(ctx, (left-1)%drainEvery+1) {
			return ctx.Err()
		}
		now, err := c.Copy.Ends(ctx)
		if err != nil {
			return err
		}
		if lag, err = t.lackAll(ctx, c, oldEnd, now, false); err != nil || lag == 0 {
			return err
		}
	}
	return block.Lagging(lag, fmt.Errorf("%w: %d records behind after %s: is the replicator running, from %s to %s?", block.ErrLag, lag, limit, t.report.From, t.report.To))
}
