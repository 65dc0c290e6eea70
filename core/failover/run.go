package failover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// task carries one move through its phases.
type task struct {
	runner *Runner
	env    Env
	*move
}

// holder identifies a move as the holder of a gate.
type holder struct{ id string }

// parties are the topic and its old and new home.
func (t *task) parties() (*catalog.Topic, plugin.Cluster, plugin.Cluster, error) {
	topic := t.env.Catalog.Topic(t.report.Topic)
	if topic == nil {
		return nil, nil, nil, fmt.Errorf("topic %q is gone", t.report.Topic)
	}
	from, to := t.env.cluster(t.report.From), t.env.cluster(t.report.To)
	if from == nil || to == nil {
		return nil, nil, nil, errors.New("a cluster of the move is no longer part of the virtual cluster")
	}
	return topic, from, to, nil
}

// attempt makes one try. On an error before the commit nothing has changed.
func (t *task) attempt(ctx context.Context) error {
	t.change(func(r *Report) { r.Attempts++; r.Error = "" })
	t.enter(Check)
	_, from, to, err := t.parties()
	if err != nil {
		return err
	}
	gone, err := t.gone(ctx, from)
	if err != nil {
		return err
	}
	if !to.Reachable() {
		if _, err := to.Refresh(ctx); err != nil {
			return fmt.Errorf("%s is unreachable: %w", to.Name(), err)
		}
	}
	t.change(func(r *Report) { r.Planned = !gone })
	var c *checked
	if gone {
		c, err = t.checkGone(ctx)
	} else {
		c, err = t.check(ctx)
	}
	if err != nil {
		return err
	}
	select {
	case t.runner.slots <- struct{}{}:
		defer func() { <-t.runner.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return t.switchOver(ctx, c, from, to)
}

// gone decides whether the old home is gone, so that the move is an unplanned one: no broker of it
// has answered for a time that began after the edit.
func (t *task) gone(ctx context.Context, from plugin.Cluster) (bool, error) {
	if from.Reachable() {
		return false, nil
	}
	policy := t.env.Placement.Home(t.report.Topic).Unplanned
	if t.force {
		policy = "always"
	}
	switch policy {
	case "never":
		return false, fmt.Errorf("%s is unreachable and the topic says `unplanned: never`", from.Name())
	case "always":
		return true, nil
	}
	for wait := t.runner.timing().Unreachable; time.Since(t.edited) < wait; {
		if !pause(ctx, 100*time.Millisecond) {
			return false, ctx.Err()
		}
		if from.Reachable() {
			return false, nil
		}
	}
	return true, nil
}

// checkGone is the pre-check when the old home can't be asked: the stored distance of the copy is
// all there is.
func (t *task) checkGone(ctx context.Context) (*checked, error) {
	topic, _, to, err := t.parties()
	if err != nil {
		return nil, err
	}
	if _, err := to.Refresh(ctx); err != nil {
		return nil, err
	}
	c := &checked{topic: topic}
	if c.copied, err = newSide(to, topic.Physical(to.Name())); err != nil {
		return nil, err
	}
	if a, b := len(topic.Partitions), len(c.copied.topo.Partitions); a != b {
		return nil, fmt.Errorf("the topic has %d partitions, but %d on %s", a, b, to.Name())
	}
	always := t.force || t.env.Placement.Home(t.report.Topic).Unplanned == "always"
	if topic.Stubs[to.Name()] && !always {
		return nil, fmt.Errorf("the topic on %s is only a stub: it holds no copy", to.Name())
	}
	ends, err := c.copied.offsets(ctx, -1)
	if err != nil {
		return nil, err
	}
	for p := range topic.Partitions {
		if seen := topic.Seen(int32(p)); ends[p] == 0 && seen > 0 && !always {
			return nil, fmt.Errorf("partition %d is empty on %s, but clients know %d records: the copy is missing", p, to.Name(), seen)
		}
		d, ok := topic.Partitions[p].Deltas[to.Name()]
		if !ok {
			if !always {
				return nil, fmt.Errorf("partition %d was never compared with its copy on %s while both lived; `unplanned: always` or `failover run --unplanned` takes the offsets to be the same", p, to.Name())
			}
			t.change(func(r *Report) {
				r.Notes = append(r.Notes, fmt.Sprintf("partition %d: distance of the copy unknown, taken as 0", p))
			})
		}
		c.deltas = append(c.deltas, d)
	}
	return c, nil
}

// switchOver holds clients, makes sure that the copy is complete, commits and releases.
func (t *task) switchOver(ctx context.Context, c *checked, from, to plugin.Cluster) error {
	gate := t.env.Gates.Gate(t.report.Topic)
	timing := t.runner.timing()
	me := holder{t.report.ID}
	began := time.Now()
	hctx, cancel := context.WithDeadline(ctx, began.Add(timing.Hold))
	defer cancel()
	t.enter(Hold)
	gate.Hold(me)
	gate.HoldReads()
	abort := func(err error) error {
		gate.Release(me)
		gate.OpenReads()
		t.change(func(r *Report) { r.PauseMS = time.Since(began).Milliseconds() })
		return err
	}
	if c.old == nil {
		if b, ok := from.(interface{ BreakLinks() }); ok {
			b.BreakLinks() // what waits there is judged again at the gate
		}
	}
	select {
	case <-gate.Idle():
	case <-hctx.Done():
		return abort(fmt.Errorf("produces in flight to %s were not answered in time", from.Name()))
	}
	t.enter(Prepare)
	next, loss, err := t.prepare(hctx, c, from, to)
	if err != nil {
		return abort(err)
	}
	t.enter(Commit)
	if err := t.commit(hctx, next, loss); err != nil {
		return abort(err)
	}
	t.enter(Drain)
	gate.Release(me)
	left := time.NewTimer(time.Until(began.Add(timing.Request)))
	defer left.Stop()
	select {
	case <-gate.Drained():
	case <-left.C:
		gate.Refuse() // what is still open is refused together
	case <-ctx.Done():
	}
	t.enter(Publish)
	err = t.publish(context.WithoutCancel(ctx), next)
	gate.OpenReads()
	t.env.Gates.Announce()
	t.change(func(r *Report) { r.PauseMS = time.Since(began).Milliseconds() })
	return err
}

// prepare returns the topic as it will be, and the ranges that may be lost.
func (t *task) prepare(ctx context.Context, c *checked, from, to plugin.Cluster) (*catalog.Topic, []Range, error) {
	topic := t.env.Catalog.Topic(t.report.Topic)
	if topic == nil || topic.Generation != c.topic.Generation {
		return nil, nil, errors.New("the topic has changed meanwhile")
	}
	var newEnd, oldEnd []int64
	var err error
	if c.old == nil {
		newEnd, err = c.copied.stable(ctx)
	} else if oldEnd, newEnd, err = t.caughtUp(ctx, c); err == nil {
		err = t.remember(ctx, c, oldEnd, topic)
	}
	if err != nil {
		return nil, nil, err
	}
	// Leaders and epochs are read last: an election before the commit would make them older.
	if _, err := to.Refresh(ctx); err != nil {
		return nil, nil, err
	}
	if c.copied, err = newSide(to, c.copied.topic); err != nil {
		return nil, nil, err
	}
	next := topic.Clone()
	before := topic.Clone()
	before.Before = nil
	next.Home, next.Generation, next.Before, next.HomeID = to.Name(), topic.Generation+1, before, c.copied.topo.ID
	delete(next.Stubs, to.Name())
	var loss []Range
	for p := range next.Partitions {
		part := topic.Partition(int32(p))
		last := part.VirtualEpoch(epochOf(from, topic.Physical(from.Name()), p))
		seg := catalog.Segment{
			Generation: next.Generation, Cluster: to.Name(), Topic: c.copied.topic, TopicID: c.copied.topo.ID,
			PhysicalStart: newEnd[p], EpochBase: c.copied.topo.Partitions[p].Epoch,
		}
		var end int64
		if c.old != nil {
			seg.Start = part.ToVirtual(oldEnd[p])
			end = seg.Start
		} else {
			end = part.ToVirtual(newEnd[p] - c.deltas[p])
			seg.Start = max(part.Ceiling, end)
			if shown := topic.MayBeShown(int32(p)); shown > end {
				loss = append(loss, Range{t.report.Topic, int32(p), end, shown - 1})
			}
		}
		next.Partitions[p] = part.Advance(seg, c.deltas[p], end, last)
	}
	return next, loss, nil
}

func epochOf(c plugin.Cluster, topic string, p int) int32 {
	_, e := c.Topology().Leader(topic, int32(p))
	return max(e, 0)
}

// stable reads the ends until they stay the same.
func (s *side) stable(ctx context.Context) ([]int64, error) {
	last, err := s.offsets(ctx, -1)
	for err == nil {
		if !pause(ctx, 50*time.Millisecond) {
			return nil, ctx.Err()
		}
		var now []int64
		if now, err = s.offsets(ctx, -1); err == nil && slices.Equal(now, last) {
			return now, nil
		}
		last = now
	}
	return nil, err
}

// caughtUp waits until the copy has everything, both ends are stable, and what came since the
// pre-check is compared.
func (t *task) caughtUp(ctx context.Context, c *checked) (oldEnd, newEnd []int64, err error) {
	for {
		if oldEnd, err = c.old.stable(ctx); err != nil {
			return nil, nil, t.late(ctx, err)
		}
		if newEnd, err = c.copied.offsets(ctx, -1); err != nil {
			return nil, nil, t.late(ctx, err)
		}
		behind, ahead := int64(0), -1
		for p := range oldEnd {
			switch want := oldEnd[p] + c.deltas[p]; {
			case newEnd[p] < want:
				behind += want - newEnd[p]
			case newEnd[p] > want:
				ahead = p
			}
		}
		if ahead >= 0 {
			return nil, nil, fmt.Errorf("partition %d has %d records more on %s than on %s: somebody else writes there", ahead, newEnd[ahead]-oldEnd[ahead]-c.deltas[ahead], t.report.To, t.report.From)
		}
		if behind == 0 {
			break
		}
		if !pause(ctx, 10*time.Millisecond) {
			return nil, nil, fmt.Errorf("%w: %d records were not copied in time", errLag, behind)
		}
	}
	for p := range oldEnd {
		if err := compare(ctx, c.prints, c.old, c.copied, int32(p), c.compared[p], oldEnd[p], c.deltas[p], t.runner.timing().CompareLimit); err != nil {
			return nil, nil, t.late(ctx, err)
		}
	}
	after, err := c.copied.offsets(ctx, -1)
	if err == nil && !slices.Equal(after, newEnd) {
		err = fmt.Errorf("the end on %s moved while nothing was written through the gateway", t.report.To)
	}
	return oldEnd, newEnd, t.late(ctx, err)
}

// late explains an error that is only the end of the time that clients may be held.
func (t *task) late(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("not done within failover.hold: %w", err)
	}
	return err
}

// tailBytes is how much of the old home's tail is read for the batches of its producers.
const tailBytes = 16 << 20

// remember completes the memory of producers by what the old home knows: the last sequence of each,
// and the batches at the end of the log. Batches that went by before the gateway started are then
// recognised when they are sent again.
func (t *task) remember(ctx context.Context, c *checked, oldEnd []int64, topic *catalog.Topic) error {
	memory := topic.Memory()
	for p := range oldEnd {
		part := topic.Partition(int32(p))
		from, err := t.tailFrom(ctx, c, int32(p), oldEnd[p])
		if err != nil {
			return err
		}
		_, err = c.old.read(ctx, int32(p), from, oldEnd[p], func(b kafka.Batch) error {
			if b.ProducerID() >= 0 && !b.IsTransactional() && !b.IsControl() {
				memory.Complete(int32(p), catalog.ClientProducer(b.ProducerID()), []catalog.Remembered{{
					Epoch: b.ProducerEpoch(), First: b.BaseSequence(), Last: b.LastSequence(), Base: part.ToVirtual(b.BaseOffset()),
				}})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.old.producers(ctx, func(p int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) error {
		id := catalog.ClientProducer(a.ProducerID)
		if a.LastSequence >= 0 && !memory.Knows(p, id) {
			memory.Complete(p, id, []catalog.Remembered{{Epoch: int16(a.ProducerEpoch), First: a.LastSequence, Last: a.LastSequence, Base: -1}})
		}
		return nil
	})
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

// commit writes the new generation, its lineage and the memory in one fenced write.
func (t *task) commit(ctx context.Context, next *catalog.Topic, loss []Range) error {
	memory := next.Memory()
	b, err := json.Marshal(memory.Snapshot())
	if err != nil {
		return err
	}
	t.change(func(r *Report) { r.PossibleLoss = loss })
	report, err := json.Marshal(t.Report())
	if err != nil {
		return err
	}
	memory.Turn()
	return t.env.Catalog.PutWith(ctx, []*catalog.Topic{next},
		catalog.Entry{Kind: catalog.KindMemory, Key: t.report.VirtualCluster + "\x00" + t.report.Topic, Value: b},
		catalog.Entry{Kind: catalog.KindMove, Key: t.report.ID, Value: report})
}

// publish tells clients: from now on metadata, hints and fetches name the new home.
func (t *task) publish(ctx context.Context, next *catalog.Topic) error {
	return t.env.Catalog.Update(ctx, next.Name, func(n *catalog.Topic) error {
		n.Published, n.Before = n.Generation, nil
		return nil
	})
}
