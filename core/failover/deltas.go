package failover

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// watchCopies stores from time to time all that an unplanned move can go by: which partitions hold
// records that clients know, and, verified while both homes live, how far each one's copies are from it.
func (r *Runner) watchCopies() {
	tick := time.NewTicker(deltaEvery)
	defer tick.Stop()
	first := time.NewTimer(2 * time.Second)
	defer first.Stop()
	for {
		select {
		case <-r.ctx.Done():
		case <-tick.C:
		case <-first.C:
		}
		r.mu.Lock()
		envs := maps.Clone(r.envs)
		r.mu.Unlock()
		r.compared.forget(func(vc, topic string) bool {
			e, ok := envs[vc]
			return !ok || e.Catalog.Topic(topic) == nil
		})
		r.ready.forget(envs)
		for _, e := range envs {
			topics, at := e.Catalog.Topics(), time.Now()
			all := r.extents(r.ctx, e, topics)
			for _, t := range topics {
				r.storeShown(e, t)
				r.eraseHome(e, t)
				for _, c := range e.Clusters {
					if c.Name() == t.Home || r.ctx.Err() != nil || t.Before != nil {
						continue
					}
					if at := all.of(t, c.Name()); !r.compared.still(e.VirtualCluster, t, c.Name(), at) {
						r.storeDelta(e, t, c.Name(), at)
					}
				}
			}
			r.judge(e, e.Catalog.Topics(), all, at)
		}
		if r.ctx.Err() != nil {
			return
		}
	}
}

func (r *Runner) storeShown(e Env, t *catalog.Topic) {
	if err := e.Catalog.KeepShown(context.WithoutCancel(r.ctx), t); err != nil {
		r.log.Warn("not stored which partitions hold records", "topic", t.Name, "error", err)
	}
}

// storeDelta compares the tails of one copy; what can't be compared now keeps what is stored.
func (r *Runner) storeDelta(e Env, t *catalog.Topic, other string, at extent) {
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	from, to := e.cluster(t.Home), e.cluster(other)
	if from == nil || to == nil || !from.Reachable() || !to.Reachable() {
		return
	}
	if to.Topology().Topics[t.Physical(other)] == nil {
		if _, err := to.Refresh(ctx); err != nil {
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
	deltas, compared, err := tails(ctx, r.prints(true), t, old, copied)
	if err != nil {
		// Seldom, so it is asked only now: a side may keep timestamps of its own.
		if timestamps, cerr := sameConfigs(ctx, old, copied); cerr == nil && !timestamps {
			deltas, compared, err = tails(ctx, r.prints(false), t, old, copied)
		}
	}
	if ctx.Err() == nil {
		r.compared.note(e.VirtualCluster, t, other, compared, at, err)
	}
	if err != nil {
		r.log.Debug("copy not comparable", "topic", t.Name, "cluster", other, "error", err)
		return
	}
	r.eraseCopy(ctx, t, copied, deltas)
	id, known := t.Copies[other]
	same := known && id == copied.topo.ID
	for p, d := range deltas {
		part := t.Partition(int32(p))
		have, ok := part.Deltas[other]
		same = same && ok && have == d && t.Watermarks(int32(p)).Start <= part.LogStart
	}
	if same {
		return
	}
	err = e.Catalog.Update(ctx, t.Name, func(n *catalog.Topic) error {
		if n.Generation != t.Generation {
			return nil
		}
		if n.Copies == nil {
			n.Copies = map[string][16]byte{}
		}
		n.Copies[other] = copied.topo.ID
		for p, d := range deltas {
			n.Grow(p + 1)
			if n.Partitions[p].Deltas == nil {
				n.Partitions[p].Deltas = map[string]int64{}
			}
			n.Partitions[p].Deltas[other] = d
			n.Partitions[p].LogStart = max(n.Partitions[p].LogStart, t.Watermarks(int32(p)).Start)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.log.Warn("distance of a copy not stored", "topic", t.Name, "cluster", other, "error", err)
	}
}

// tails finds the distance of each partition's copy, and between which offsets of the old side the records were
// compared for it.
func tails(ctx context.Context, f *kafka.Fingerprints, t *catalog.Topic, old, copied *side) ([]int64, []stretch, error) {
	ends, err := bounds(ctx, old, copied)
	if err != nil {
		return nil, nil, err
	}
	noteEnds(t, ends[1])
	begin := begins(t, ends[0])
	for p, at := range begin {
		t.NoteStart(int32(p), t.Partition(int32(p)).ToVirtual(at))
	}
	out, compared := make([]int64, len(ends[0])), make([]stretch, len(ends[0]))
	for p := range out {
		oldStart, oldEnd, newStart, newEnd := begin[p], ends[1][p], ends[2][p], ends[3][p]
		guesses := []int64{0}
		d, stored := t.Partition(int32(p)).Deltas[copied.cluster.Name()]
		if stored {
			guesses = []int64{d, 0}
		}
		// Nothing is left to compare: what was verified before is better than the ends, of which the copy may never get
		// to the same.
		if id, ok := t.Copies[copied.cluster.Name()]; !stored || !ok || id != copied.topo.ID || oldStart < oldEnd || newEnd-d > oldEnd {
			if d, err = findDelta(ctx, f, old, copied, int32(p), oldStart, oldEnd, newStart, newEnd, guesses...); err != nil {
				return nil, nil, err
			}
		}
		to := min(newEnd-d, oldEnd)
		out[p], compared[p] = d, stretch{min(max(oldStart, newStart-d, newEnd-tail-d), to), to}
	}
	return out, compared, nil
}

// CompareTails compares the last records of a topic with those of its copy; the error says why a planned move to the
// copy would be refused. Records before the last ones are compared when there is a move.
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
	_, _, err = tails(ctx, kafka.NewFingerprints(timestamps, ignoreHeaders), &catalog.Topic{}, a, b)
	return err
}
