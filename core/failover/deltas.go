package failover

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// compareCopies makes a round over the topics of a virtual cluster.
func (r *Runner) compareCopies(e Env) {
	topics, at := e.Catalog.Topics(), time.Now()
	now, asked := r.readings.get(e.VirtualCluster).next(r.ctx, e, topics)
	r.readings.set(e.VirtualCluster, now)
	r.keepShown(e, topics)
	var changed []copyNow
	for _, t := range asked {
		r.eraseHome(e, t, now.extents[t.Home].starts[t.Physical(t.Home)])
		for _, c := range e.Clusters {
			if c.Name() == t.Home || t.Before != nil {
				continue
			}
			if at := now.of(t, c.Name()); !r.compared.still(e.VirtualCluster, t, c.Name(), at) {
				changed = append(changed, copyNow{t, c.Name(), at})
			}
		}
	}
	r.rounds.wait(e.VirtualCluster, len(changed))
	_ = parallel(len(changed), copiesAtOnce, func(i int) error {
		if r.ctx.Err() == nil {
			r.storeDelta(e, changed[i])
			r.rounds.wait(e.VirtualCluster, -1)
		}
		return r.ctx.Err()
	})
	r.judge(e, e.Catalog.Topics(), now.extents, at)
}

// keepShown stores which partitions hold records that clients know.
func (r *Runner) keepShown(e Env, topics []*catalog.Topic) {
	if err := e.Catalog.KeepShown(context.WithoutCancel(r.ctx), topics...); err != nil {
		r.log.Warn("not stored which partitions hold records", "error", err)
	}
}

// copiesAtOnce is how many copies are compared at once. What they have in memory is bounded by
// readsAtOnce.
const copiesAtOnce = 64

// copyNow is a copy of a topic on another cluster, and how far both reach now.
type copyNow struct {
	*catalog.Topic
	other string
	at    extent
}

// distance is what a comparison has found.
type distance struct {
	copyNow
	id     [16]byte
	deltas []int64
}

// storeDelta compares the tails of one copy; what can't be compared now keeps what is stored.
func (r *Runner) storeDelta(e Env, c copyNow) {
	t, other, ctx := c.Topic, c.other, r.ctx // each request has its time, and how many there are depends on the topic
	from, to := e.cluster(t.Home), e.cluster(other)
	if from == nil || to == nil || !from.Reachable() || !to.Reachable() {
		return
	}
	if to.Topology().Topics[t.Physical(other)] == nil {
		if err := refresh(ctx, to, t.Physical(other)); err != nil {
			return
		}
	}
	old, err := newSide(from, t.Physical(t.Home))
	if err != nil {
		return
	}
	copied, err := newSide(to, t.Physical(other))
	if err != nil || len(copied.topo.Partitions) != len(old.topo.Partitions) {
		return
	}
	ends := c.at.offsets
	if !c.at.covers(len(old.topo.Partitions)) || c.at.ids != [2][16]byte{old.topo.ID, copied.topo.ID} {
		ends, err = bounds(ctx, old, copied)
	}
	var deltas []int64
	var compared []stretch
	if err == nil {
		deltas, compared, err = tails(ctx, r.prints(true), t, old, copied, ends)
	}
	if err != nil {
		// Seldom, so it is asked only now: a side may keep timestamps of its own.
		if timestamps, cerr := sameConfigs(ctx, old, copied); cerr == nil && !timestamps {
			deltas, compared, err = tails(ctx, r.prints(false), t, old, copied, ends)
		}
	}
	if ctx.Err() == nil {
		r.compared.note(e.VirtualCluster, t, other, compared, c.at, err)
	}
	if err != nil {
		r.log.Debug("copy not comparable", "topic", t.Name, "cluster", other, "error", err)
		return
	}
	r.eraseCopy(ctx, t, copied, deltas)
	d := distance{c, copied.topo.ID, deltas}
	if d.stored() {
		return
	}
	_, err = r.distances.do(ctx, e.Catalog, d, func(round []*ask[distance, struct{}]) { storeDistances(r.ctx, e.Catalog, round) })
	if err != nil && ctx.Err() == nil {
		r.log.Warn("distance of a copy not stored", "topic", t.Name, "cluster", other, "error", err)
	}
}

// stored reports that the catalog says the same.
func (d distance) stored() bool {
	if id, known := d.Copies[d.other]; !known || id != d.id {
		return false
	}
	for p, delta := range d.deltas {
		part := d.Partition(int32(p))
		if have, ok := part.Deltas[d.other]; !ok || have != delta || d.Watermarks(int32(p)).Start > part.LogStart {
			return false
		}
	}
	return true
}

// keep changes a topic, unless it has moved since the comparison.
func (d distance) keep(n *catalog.Topic) {
	if n.Generation != d.Generation {
		return
	}
	if n.Copies == nil {
		n.Copies = map[string][16]byte{}
	}
	n.Copies[d.other] = d.id
	for p, delta := range d.deltas {
		n.Grow(p + 1)
		if n.Partitions[p].Deltas == nil {
			n.Partitions[p].Deltas = map[string]int64{}
		}
		n.Partitions[p].Deltas[d.other] = delta
		n.Partitions[p].LogStart = max(n.Partitions[p].LogStart, d.Watermarks(int32(p)).Start)
	}
}

// storeDistances stores what comparisons have found that ended at about the same time, in one
// write. A topic may have several copies.
func storeDistances(ctx context.Context, cat *catalog.Virtual, round []*ask[distance, struct{}]) {
	of := map[string][]*ask[distance, struct{}]{}
	for _, a := range round {
		of[a.question.Name] = append(of[a.question.Name], a)
	}
	change := func(all []*catalog.Topic) ([]catalog.Entry, error) {
		for _, n := range all {
			for _, a := range of[n.Name] {
				a.question.keep(n)
			}
		}
		return nil, nil
	}
	if cat.UpdateAll(ctx, slices.Collect(maps.Keys(of)), change) == nil {
		return
	}
	for name, list := range of { // one may have kept the others from being written
		err := cat.UpdateAll(ctx, []string{name}, change)
		for _, a := range list {
			a.err = err
		}
	}
}

// tails finds the distance of each partition's copy, and between which offsets of the old side the
// records were compared for it. ends are where both sides begin and end.
func tails(ctx context.Context, f *kafka.Fingerprints, t *catalog.Topic, old, copied *side, ends [4][]int64) ([]int64, []stretch, error) {
	noteEnds(t, ends[1])
	begin := begins(t, ends[0])
	for p, at := range begin {
		t.NoteStart(int32(p), t.Partition(int32(p)).ToVirtual(at))
	}
	out, compared := make([]int64, len(ends[0])), make([]stretch, len(ends[0]))
	err := parallel(len(out), partitionsAtOnce, func(p int) (err error) {
		oldStart, oldEnd, newStart, newEnd := begin[p], ends[1][p], ends[2][p], ends[3][p]
		guesses := []int64{0}
		d, stored := t.Partition(int32(p)).Deltas[copied.cluster.Name()]
		if stored {
			guesses = []int64{d, 0}
		}
		// Nothing is left to compare: what was verified before is better than the ends, of which
		// the copy may never get to the same.
		if id, ok := t.Copies[copied.cluster.Name()]; !stored || !ok || id != copied.topo.ID || oldStart < oldEnd || newEnd-d > oldEnd {
			if d, _, err = findDelta(ctx, f, old, copied, int32(p), oldStart, oldEnd, newStart, newEnd, guesses...); err != nil {
				return err
			}
		}
		to := min(newEnd-d, oldEnd)
		out[p], compared[p] = d, stretch{min(max(oldStart, newStart-d, newEnd-tail-d), to), to}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return out, compared, nil
}

// CompareTails compares the last records of a topic with those of its copy; the error says why a
// planned move to the copy would be refused. Records before the last ones are compared when there
// is a move.
func CompareTails(ctx context.Context, from, to plugin.Cluster, topic, copied string, ignoreHeaders []string) error {
	a, err := newSide(from, topic)
	if err != nil {
		return err
	}
	b, err := newSide(to, copied)
	if err != nil {
		return err
	}
	if m, n := len(a.topo.Partitions), len(b.topo.Partitions); m != n {
		return fmt.Errorf("%d partitions on %s, but %d on %s: give both the same number", m, from.Name(), n, to.Name())
	}
	timestamps, err := sameConfigs(ctx, a, b)
	if err != nil {
		return err
	}
	ends, err := bounds(ctx, a, b)
	if err != nil {
		return err
	}
	_, _, err = tails(ctx, kafka.NewFingerprints(timestamps, ignoreHeaders), &catalog.Topic{}, a, b, ends)
	return err
}
