package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// answersFirst is how long the first hold of a move waits for answers of produces on their way.
const answersFirst = 3 * time.Second

// task carries one attempt of a move through its phases.
type task struct {
	runner *Runner
	env    Env
	*move
	// advance makes the topic what it will be, once prepared. It is called with the commit, on the
	// topic as it is then: ceilings, for one, rise while clients are held.
	advance func(*catalog.Topic) error
	goals   *goals          // of a plan
	reads   *slots          // of pre-checks that read records
	copies  *catalog.Copies // what an old home that is gone may have left of batches on their way
}

// holder is a move as the holder of a gate.
type holder struct{ *move }

// Why is for plugin.Holder.
func (h holder) Why() (string, trace.SpanContext) {
	return "move " + h.report.ID, h.span.SpanContext()
}

func errGone(topic string) error { return fmt.Errorf("topic %q is gone", topic) }

// parties are the topic and its old and new home.
func (t *task) parties() (*catalog.Topic, plugin.Cluster, plugin.Cluster, error) {
	topic := t.env.Catalog.Topic(t.report.Topic)
	if topic == nil {
		return nil, nil, nil, errGone(t.report.Topic)
	}
	from, to := t.env.cluster(t.report.From), t.env.cluster(t.report.To)
	if from == nil || to == nil {
		return nil, nil, nil, errors.New("a cluster of the move is no longer part of the virtual cluster")
	}
	return topic, from, to, nil
}

// attempt makes one try. On an error before the commit nothing has changed.
func (t *task) attempt(ctx context.Context) (err error) {
	t.group.begin(t.move)
	defer func() {
		if err != nil {
			t.group.fail(t.move, err)
		}
	}()
	t.change(func(r *Report) { r.Attempts++; r.Notes, r.Compared = nil, 0 })
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
	check := t.check
	if gone {
		check = t.checkGone
	}
	began := time.Now()
	c, err := check(ctx)
	took := time.Since(began)
	if err != nil {
		return err
	}
	if !gone {
		if err := t.calm(ctx); err != nil {
			return err
		}
	}
	if err := t.group.meet(ctx, t, allChecked, nil); err != nil {
		return err
	}
	if t.group.alone() { // those that commit together hold together anyhow
		if err := t.runner.waves.arrive(ctx, t.report.VirtualCluster, t.move, took); err != nil {
			return err
		}
		if err := t.runner.slots.take(ctx); err != nil {
			return err
		}
		defer t.runner.slots.give()
	}
	return t.switchOver(ctx, c, from, to)
}

// switchOver holds clients, makes sure that the copy is complete, commits and releases.
func (t *task) switchOver(ctx context.Context, c *checked, from, to plugin.Cluster) error {
	gate := t.env.Gates.Gate(t.report.Topic)
	timing := t.runner.timing()
	me := holder{t.move}
	began := time.Now()
	hctx, cancel := context.WithDeadline(ctx, began.Add(timing.Hold))
	defer cancel()
	t.change(func(r *Report) { r.Error, r.BlockedBy, r.Lag = "", "", 0 }) // what an earlier attempt was refused for is over
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
		if b, ok := from.(plugin.LinkBreaker); ok {
			b.BreakLinks() // what waits there is judged again at the gate
		}
	}
	if err := t.answers(hctx, gate, from.Name()); err != nil {
		return abort(err)
	}
	t.enter(Prepare)
	if err := t.prepare(hctx, c, from, to); err != nil {
		return abort(err)
	}
	err := t.group.meet(hctx, t, allPrepared, func(all []*task) error {
		if len(all) == 1 {
			return t.runner.commitAlone(hctx, t)
		}
		return commit(hctx, all)
	})
	if err != nil {
		return abort(t.late(hctx, err))
	}
	t.enter(Drain)
	gate.Release(me)
	t.env.notify(t.move)
	left := time.NewTimer(time.Until(began.Add(timing.Request)))
	defer left.Stop()
	select {
	case <-gate.Drained():
	case <-left.C:
		gate.Refuse() // what is still open is refused together
	case <-ctx.Done():
	}
	t.enter(Publish)
	err = t.publish(context.WithoutCancel(ctx))
	gate.OpenReads()
	t.change(func(r *Report) { r.PauseMS = time.Since(began).Milliseconds() })
	return err
}

// answers waits for the answers of what is on its way to the old home. A client whose produce gets
// none keeps everybody waiting in vain: it is waited for only a little at first, and twice as long
// in each later attempt.
func (t *task) answers(ctx context.Context, gate *gate.Gate, from string) error {
	limit := time.NewTimer(answersFirst << t.unanswered)
	defer limit.Stop()
	select {
	case <-gate.Idle():
		return nil
	case <-limit.C:
		t.unanswered = min(t.unanswered+1, 8)
	case <-ctx.Done():
	}
	n, client, since := gate.InFlight()
	t.runner.log.DebugContext(t.trace, "produces in flight", "topic", t.report.Topic, "number", n, "client", client, "since", since)
	return because(ByClients, fmt.Errorf("produces in flight to %s were not answered in time, the oldest one of client %q", from, client))
}

// errChanged says that what was prepared is not of the topic as it is.
var errChanged = errors.New("the topic has changed meanwhile")

// prepare finds out what the topic will be.
func (t *task) prepare(ctx context.Context, c *checked, from, to plugin.Cluster) error {
	topic := t.env.Catalog.Topic(t.report.Topic)
	if topic == nil || topic.Generation != c.topic.Generation {
		return errChanged
	}
	var newEnd, oldEnd []int64
	var last []lastBatch
	var err error
	t.copies = nil
	if c.old == nil {
		if newEnd, err = c.copied.stable(ctx); err == nil {
			t.copies, err = t.unacknowledged(ctx, c, topic, newEnd)
		}
	} else if last, err = noTransaction(ctx, c.old); err == nil { // one may have begun since the pre-check
		if oldEnd, newEnd, err = t.caughtUp(ctx, c); err == nil {
			err = t.remember(ctx, c, oldEnd, topic, last)
		}
	}
	if err != nil {
		return err
	}
	// Leaders and epochs are read last: an election before the commit would make them older.
	if err := refresh(ctx, to, c.copied.topic); err != nil {
		return err
	}
	compared := c.copied.topo.ID
	if c.copied, err = newSide(to, c.copied.topic); err != nil {
		return err
	}
	if c.copied.topo.ID != compared || len(c.copied.topo.Partitions) != len(newEnd) {
		return errChanged
	}
	t.advance = func(n *catalog.Topic) error {
		n.Grow(len(newEnd))
		if n.ID != topic.ID || n.Generation != topic.Generation || len(n.Partitions) != len(newEnd) || n.Physical(to.Name()) != c.copied.topic {
			return errChanged
		}
		t.moveTo(n, c, from, to, oldEnd, newEnd)
		return nil
	}
	return nil
}

// moveTo gives a topic its next generation, and notes the ranges that may be lost.
func (t *task) moveTo(next *catalog.Topic, c *checked, from, to plugin.Cluster, oldEnd, newEnd []int64) {
	before := next.Clone()
	before.Before = nil
	next.Home, next.Generation, next.Before, next.HomeID = to.Name(), before.Generation+1, before, c.copied.topo.ID
	delete(next.Stubs, to.Name())
	delete(next.Copies, to.Name())
	if c.old == nil {
		next.Copies = nil
	} else if before.HomeID != [16]byte{} {
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
			Generation: next.Generation, Cluster: to.Name(), Topic: c.copied.topic, TopicID: c.copied.topo.ID,
			PhysicalStart: newEnd[p], EpochBase: c.copied.topo.Partitions[p].Epoch,
		}
		var end int64
		if c.old != nil {
			seg.Start = part.ToVirtual(oldEnd[p])
			end = seg.Start
		} else {
			end = part.ToVirtual(newEnd[p] - c.deltas[p])
			gap := c.missing(before, p, newEnd[p])
			seg.Start = max(part.Ceiling, end, gap.to)
			for _, r := range part.Recorded(gap.from, gap.to) {
				loss = append(loss, Range{t.report.Topic, int32(p), r.From, r.To - 1})
			}
		}
		start := before.Watermarks(int32(p)).Start
		if c.old != nil {
			start = max(start, part.ToVirtual(c.oldStart[p]))
		}
		next.Partitions[p] = part.Advance(seg, c.deltas[p], end, last)
		next.Partitions[p].LogStart = max(part.LogStart, min(start, seg.Start))
		if c.old == nil {
			// What the old home has not handed on stands where its copy of what comes now would,
			// and so may another's: distances are verified again before anything goes by them.
			next.Partitions[p].Deltas = nil
		}
	}
	t.change(func(r *Report) { r.PossibleLoss = loss })
}

func epochOf(c plugin.Cluster, topic string, p int) int32 {
	_, e := c.Topology().Leader(topic, int32(p))
	return max(e, 0)
}

// stable reads the ends until they stay the same.
func (s *side) stable(ctx context.Context) ([]int64, error) {
	last, err := s.offsets(ctx, -1)
	for err == nil {
		if !guard.Sleep(ctx, 50*time.Millisecond) {
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
		missing, ahead := int64(0), -1
		for p := range oldEnd {
			switch want := oldEnd[p] + c.deltas[p]; {
			case newEnd[p] < want:
				missing += want - newEnd[p]
			case newEnd[p] > want:
				ahead = p
			}
		}
		if ahead >= 0 {
			return nil, nil, because(ByCopy, fmt.Errorf("partition %d has %d records more on %s than on %s: somebody else writes there", ahead, newEnd[ahead]-oldEnd[ahead]-c.deltas[ahead], t.report.To, t.report.From))
		}
		if missing == 0 {
			break
		}
		if !guard.Sleep(ctx, 10*time.Millisecond) {
			return nil, nil, &behind{missing, fmt.Errorf("%w: %d records were not copied in time", errLag, missing)}
		}
	}
	limit := t.runner.timing().CompareLimit
	err = parallel(len(oldEnd), partitionsAtOnce, func(p int) error {
		return compare(ctx, c.prints, c.old, c.copied, int32(p), c.compared[p], oldEnd[p], c.deltas[p], limit)
	})
	if err != nil {
		return nil, nil, t.late(ctx, err)
	}
	for p := range oldEnd {
		t.count(c.compared[p], oldEnd[p])
	}
	after, err := c.copied.offsets(ctx, -1)
	if err == nil && !slices.Equal(after, newEnd) {
		err = fmt.Errorf("the end on %s moved while nothing was written through the gateway", t.report.To)
	}
	return oldEnd, newEnd, t.late(ctx, err)
}

// count adds a range of offsets to what was compared.
func (t *task) count(from, to int64) {
	t.change(func(r *Report) { r.Compared += max(to-from, 0) })
}

// late explains an error that is only the end of the time that clients may be held.
func (t *task) late(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("not done within failover.hold: %w", err)
	}
	return err
}

// publish tells clients: from now on metadata, hints and fetches name the new home.
func (t *task) publish(ctx context.Context) error {
	_, err := t.runner.publishes.do(ctx, t.env.Catalog, t, func(round []*ask[*task, struct{}]) {
		var names []string
		for _, a := range round {
			names = append(names, a.question.report.Topic)
		}
		if publish(ctx, t.env.Catalog, names...) != nil {
			for i, a := range round { // one may have kept the others from being written
				a.err = publish(ctx, t.env.Catalog, names[i])
			}
		}
		t.env.Gates.Announce()
	})
	return err
}

func publish(ctx context.Context, cat *catalog.Virtual, topics ...string) error {
	return cat.UpdateAll(ctx, topics, func(all []*catalog.Topic) ([]catalog.Entry, error) {
		for _, n := range all {
			n.Published, n.Before = n.Generation, nil
		}
		return nil, nil
	})
}
