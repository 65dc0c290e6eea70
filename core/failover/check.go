package failover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// checked is what the pre-check found out.
type checked struct {
	topic    *catalog.Topic
	old      *side // nil when the old home is gone
	copied   *side
	prints   *kafka.Fingerprints
	oldStart []int64
	deltas   []int64
	unknown  []bool  // when the old home is gone: the distance is a guess
	compared []int64 // old offsets up to which everything is compared
	// producers are those whose batches the pre-check has found at the end of the old home's log,
	// up to the offsets in seen.
	producers catalog.Memory
	seen      []int64
}

// check is the pre-check of a planned move: nobody is held.
func (t *task) check(ctx context.Context) (*checked, error) {
	topic, from, to, err := t.parties()
	if err != nil {
		return nil, err
	}
	for _, c := range []plugin.Cluster{from, to} {
		if err := refresh(ctx, c, topic.Physical(c.Name())); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name(), err)
		}
	}
	c := &checked{topic: topic}
	if c.old, err = newSide(from, topic.Physical(from.Name())); err != nil {
		return nil, because(ByCluster, err)
	}
	if c.copied, err = newSide(to, topic.Physical(to.Name())); err != nil {
		return nil, because(ByCopy, err)
	}
	if a, b := len(c.old.topo.Partitions), len(c.copied.topo.Partitions); a != b {
		return nil, because(BySettings, fmt.Errorf("%d partitions on %s, but %d on %s: give both the same number", a, from.Name(), b, to.Name()))
	}
	timestamps, err := sameConfigs(ctx, c.old, c.copied)
	if err != nil {
		return nil, because(BySettings, err)
	}
	if err := c.copied.writable(ctx); err != nil {
		return nil, because(ByRights, err)
	}
	if err := c.copied.accepts(ctx, false); err != nil {
		return nil, because(ByRights, err)
	}
	c.prints = t.runner.prints(timestamps)
	if _, err := noTransaction(ctx, c.old); err != nil {
		return nil, err
	}
	// The copy's ends are read first: the old home has by then at least what the copy has.
	ends, err := bounds(ctx, c.old, c.copied)
	if err != nil {
		return nil, err
	}
	oldEnd := ends[1]
	c.oldStart = begins(topic, ends[0])
	noteEnds(topic, oldEnd)
	lowest, err := t.lowest(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := t.compareAll(ctx, c, ends, lowest); err != nil {
		return nil, err
	}
	return c, t.drains(ctx, c, oldEnd, ends[3])
}

// compareAll finds the distance of every partition's copy, and compares what somebody may still
// read. Few topics at a time read.
func (t *task) compareAll(ctx context.Context, c *checked, ends [4][]int64, lowest map[int32]position) error {
	if err := t.reads.take(ctx); err != nil {
		return err
	}
	defer t.reads.give()
	c.deltas, c.compared = make([]int64, len(ends[1])), make([]int64, len(ends[1]))
	err := parallel(len(ends[1]), partitionsAtOnce, func(p int) error {
		return t.compare(ctx, c, p, stretch{c.oldStart[p], ends[1][p]}, stretch{ends[2][p], ends[3][p]}, lowest)
	})
	if err != nil {
		return because(ByCopy, err)
	}
	return t.tails(ctx, c, c.topic)
}

// compare finds the distance of a partition's copy. Everything that somebody may still read must be
// at this distance. The copy's end is what can be compared now; the rest is compared when it is
// there.
func (t *task) compare(ctx context.Context, c *checked, p int, ours, theirs stretch, lowest map[int32]position) error {
	part, from, to := c.topic.Partition(int32(p)), c.old.cluster.Name(), c.copied.cluster.Name()
	guesses := []int64{0}
	if d, ok := part.Deltas[to]; ok {
		guesses = []int64{d, 0}
	}
	d, same, err := findDelta(ctx, c.prints, c.old, c.copied, int32(p), ours.from, ours.to, theirs.from, theirs.to, guesses...)
	if err != nil {
		return err
	}
	end := min(ours.to, theirs.to-d)
	begin, reader := max(ours.from, end-tail), "nobody"
	if low, ok := lowest[int32(p)]; ok {
		needed := max(ours.from, part.ToPhysical(low.offset))
		if needed < min(theirs.from-d, end) {
			return fmt.Errorf("no exact copy: partition %d on %s begins at offset %d of %s, but %s may still read from %d", p, to, theirs.from-d, from, low.who, needed)
		}
		if needed < begin {
			begin, reader = needed, fmt.Sprintf("%s at offset %d", low.who, low.offset)
		}
	}
	begin = max(begin, theirs.from-d)
	for _, left := range (stretch{begin, end}).without(same) {
		err = compare(ctx, c.prints, c.old, c.copied, int32(p), left.from, left.to, d, t.runner.timing().CompareLimit)
		if errors.Is(err, errLimit) {
			err = fmt.Errorf("%w: furthest behind is %s; let it catch up, delete it, or raise the limit", err, reader)
		}
		if err != nil {
			return err
		}
	}
	t.count(begin, end)
	c.deltas[p], c.compared[p] = d, end
	return nil
}

// calmly is how soon the home answers a produce for a hold to begin.
const calmly = 100 * time.Millisecond

// calm puts a hold off while the home takes long to answer, since clients would be held for as
// long: failover.calm at most, because a home that ails is a reason to leave it.
func (t *task) calm(ctx context.Context) error {
	gate, most := t.env.Gates.Gate(t.report.Topic), t.runner.timing().Calm
	if most <= 0 {
		return nil
	}
	limit := time.After(most)
	for {
		began := time.Now()
		select {
		case <-gate.Answered():
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

// begins says where the virtual log begins at its home, whose partitions begin at starts. What
// stands before it was there before the home was a copy, and a replicator that was turned round has
// not brought it, or has brought it twice; or it is deleted.
func begins(t *catalog.Topic, starts []int64) []int64 {
	out := make([]int64, len(starts))
	for p, s := range starts {
		part := t.Partition(int32(p))
		out[p] = max(s, part.ToPhysical(part.LogStart))
	}
	return out
}

// noteEnds notes where the log of a topic's home ends: an unplanned move goes by it later.
func noteEnds(t *catalog.Topic, ends []int64) {
	for p, end := range ends {
		t.NoteEnd(int32(p), t.Partition(int32(p)).ToVirtual(end))
	}
}

// bounds reads starts and ends: of the old side, then of the copy.
func bounds(ctx context.Context, old, copied *side) (out [4][]int64, err error) {
	for _, q := range []struct {
		at int
		s  *side
		ts int64
	}{{2, copied, -2}, {3, copied, -1}, {0, old, -2}, {1, old, -1}} {
		if out[q.at], err = q.s.offsets(ctx, q.ts); err != nil {
			return out, err
		}
	}
	return out, nil
}

// drainEvery is how often a copy is looked at that lags.
const drainEvery = 100 * time.Millisecond

// drains refuses a move whose copy lags so far behind that it would not catch up while clients are
// held.
func (t *task) drains(ctx context.Context, c *checked, oldEnd, newEnd []int64) error {
	var lag int64
	for p := range oldEnd {
		lag += max(oldEnd[p]-(newEnd[p]-c.deltas[p]), 0)
	}
	if lag == 0 {
		return nil
	}
	limit, now := t.runner.timing().MaxDrain, newEnd
	until := time.Now().Add(limit)
	if t.goals != nil {
		until, oldEnd = t.goals.until, slices.Clone(oldEnd)
		for p := range oldEnd {
			if ends := t.goals.ends[t.report.Topic]; p < len(ends) && ends[p] >= 0 {
				oldEnd[p] = min(oldEnd[p], ends[p])
			}
		}
	}
	for first := true; first || time.Now().Before(until); first = false {
		// Those that wait until the same time look at the same times, so that they ask together.
		if left := time.Until(until); left > 0 && !guard.Sleep(ctx, (left-1)%drainEvery+1) {
			return ctx.Err()
		}
		var err error
		if now, err = c.copied.offsets(ctx, -1); err != nil {
			return err
		}
		left := int64(0)
		for p := range oldEnd {
			left += max(oldEnd[p]-(now[p]-c.deltas[p]), 0)
		}
		if left == 0 {
			return nil
		}
	}
	if err := t.reads.take(ctx); err != nil {
		return err
	}
	defer t.reads.give()
	lag, why := c.lagging(ctx, oldEnd, now)
	return &behind{lag, fmt.Errorf("%w: %d records behind after %s: %s", errLag, lag, limit, why)}
}

// sameConfigs refuses a copy that would not take what the old home takes. It reports whether both
// sides keep the producer's timestamps.
func sameConfigs(ctx context.Context, old, copied *side) (timestamps bool, err error) {
	a, err := settingsOf(ctx, old.cluster, []string{old.topic})
	if err != nil {
		return false, err
	}
	b, err := settingsOf(ctx, copied.cluster, []string{copied.topic})
	if err != nil {
		return false, err
	}
	err = a[old.topic].differ(b[copied.topic], old.cluster.Name(), copied.cluster.Name())
	return err == nil && a[old.topic]["message.timestamp.type"] != "LogAppendTime", err
}

// writable refuses a copy that clients may not write to: links reach the cluster as the gateway's
// own requests do.
func (s *side) writable(ctx context.Context) (err error) {
	asked := denied(ctx, s.cluster, []string{s.topic}, func(topic string) { err = noWrite(s.cluster.Name(), topic) })
	return cmp.Or(asked, err)
}
