package standing

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
)

// compareCopies makes a round over the topics of a virtual cluster.
func (w *Watch) compareCopies(e Env) {
	topics, at := e.Catalog.Topics(), time.Now()
	turn := copies.Turn{Pace: &w.newest, Until: at.Add(deltaEvery / 2)}
	now, asked := w.readings.get(e.VirtualCluster).next(w.ctx, e, topics)
	w.readings.set(e.VirtualCluster, now)
	var changed []copyNow
	for _, t := range asked {
		w.eraseHome(e, t, now.Extents[t.Home].Starts[t.Physical(t.Home)])
		for _, c := range e.Clusters {
			if c.Name() == t.Home || t.Before != nil {
				continue
			}
			if at := now.Of(t, c.Name()); !w.compared.still(e.VirtualCluster, t, c.Name(), at) {
				changed = append(changed, copyNow{t, c.Name(), at})
			}
		}
	}
	// Those that had no turn, or no end of theirs, come first.
	slices.SortStableFunc(changed, func(a, b copyNow) int {
		return w.compared.waits(e.VirtualCluster, b) - w.compared.waits(e.VirtualCluster, a)
	})
	w.rounds.wait(e.VirtualCluster, len(changed))
	_ = guard.Parallel(len(changed), copiesAtOnce, func(i int) error {
		if w.ctx.Err() == nil {
			w.storeDelta(e, changed[i], turn)
			w.rounds.wait(e.VirtualCluster, -1)
		}
		return w.ctx.Err()
	})
	w.noteLags(e, asked, now.Extents)
	w.judge(e, e.Catalog.Topics(), now.Extents, at)
	w.alignFronts(e, now.Extents, at.Add(frontsFor))
}

// copiesAtOnce is how many copies are compared at once. What they have in memory is bounded by
// joint.ReadsAtOnce.
const copiesAtOnce = 64

// copyNow is a copy of a topic on another cluster, and how far both reach now.
type copyNow struct {
	*catalog.Topic
	other string
	at    copies.Extent
}

// distance is what a comparison has found.
type distance struct {
	copyNow
	id    [16]byte
	found []copies.Found
}

// storeDelta compares the tails of one copy; what can't be compared now keeps what is stored.
func (w *Watch) storeDelta(e Env, c copyNow, turn copies.Turn) {
	t, other, ctx := c.Topic, c.other, w.ctx // each request has its time, and how many there are depends on the topic
	from, to := e.cluster(t.Home), e.cluster(other)
	if from == nil || to == nil || !from.Reachable() || !to.Reachable() {
		return
	}
	if to.Topology().Topics[t.Physical(other)] == nil {
		if err := joint.Refresh(ctx, to, t.Physical(other)); err != nil {
			return
		}
	}
	old, err := copies.NewSide(from, t.Physical(t.Home))
	if err != nil {
		return
	}
	copied, err := copies.NewSide(to, t.Physical(other))
	if err != nil || len(copied.Topic.Partitions) != len(old.Topic.Partitions) {
		return
	}
	both, at := copies.Pair{Home: old, Copy: copied, Prints: copies.Fingerprints(w.timing(), true)}, c.at.Bounds
	both.By(e.source(t.Name))
	if !c.at.Covers(len(old.Topic.Partitions)) || c.at.IDs != [2][16]byte{old.Topic.ID, copied.Topic.ID} {
		at, err = both.Bounds(ctx)
	}
	var found []copies.Found
	died := t.Died(other)
	if died && err == nil { // what compaction does to a lost tail counts
		_, err = w.settle(ctx, e.source(t.Name), &both)
	}
	if err == nil {
		found, err = both.Tails(ctx, t, at, turn)
	}
	if err != nil && !died {
		// Seldom, so it is asked only now: a side may keep timestamps of its own, or compact.
		if unlike, serr := w.settle(ctx, e.source(t.Name), &both); serr == nil && unlike {
			found, err = both.Tails(ctx, t, at, turn)
		}
	}
	if ctx.Err() == nil {
		w.compared.note(e.VirtualCluster, t, other, found, c.at, err)
	}
	if err != nil {
		w.log.Debug("copy not comparable", "topic", t.Name, "cluster", other, "error", err)
	}
	if found == nil {
		return
	}
	w.eraseCopy(ctx, t, copied, found)
	w.tellLost(t, other, found)
	d := distance{c, copied.Topic.ID, found}
	if d.stored() {
		return
	}
	_, err = w.distances.Do(ctx, e.Catalog, d, func(round []*joint.Ask[distance, struct{}]) { storeDistances(w.ctx, e.Catalog, round) })
	if err != nil && ctx.Err() == nil {
		w.log.Warn("distance of a copy not stored", "topic", t.Name, "cluster", other, "error", err)
	}
}

// settle lets a pair be compared as its sides keep records. It reports sides that keep them in
// another way than most: with timestamps of their own, or compacted.
func (w *Watch) settle(ctx context.Context, source string, p *copies.Pair) (unlike bool, err error) {
	alike, err := copies.SameSettings(ctx, p.Home, p.Copy)
	if err != nil {
		return false, err
	}
	p.Take(alike, w.timing())
	p.By(source)
	return alike != copies.Alike{Timestamps: true}, nil
}

// tellLost says once that a home that died has come back with records that were lost.
func (w *Watch) tellLost(t *catalog.Topic, cluster string, found []copies.Found) {
	var lost int64
	said := true
	for p, f := range found {
		if f.Err != nil {
			continue
		}
		lost += f.Lost
		said = said && t.Partition(int32(p)).Copies[cluster].Lost == f.Lost
	}
	if lost > 0 && !said {
		w.log.Warn("a cluster that died as the home is back with records that were lost: they stay hidden there, unless a replicator copies them from it", "topic", t.Name, "cluster", cluster, "records", lost)
	}
}

// stored reports that the catalog says the same.
func (d distance) stored() bool {
	if id, known := d.Copies[d.other]; !known || id != d.id {
		return false
	}
	for p, f := range d.found {
		part := d.Partition(int32(p))
		if f.Err != nil {
			continue
		}
		if have, ok := part.Copies[d.other]; !ok || !have.Equal(f.Alignment) || d.Watermarks(int32(p)).Start > part.LogStart {
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
	another := n.Copies[d.other] != d.id
	n.Copies[d.other] = d.id
	for p, f := range d.found {
		n.Grow(p + 1)
		if f.Err != nil {
			if another { // what is known is of a copy that is gone
				delete(n.Partitions[p].Copies, d.other)
			}
			continue
		}
		n.Partitions[p].SetCopy(d.other, f.Alignment)
		n.Partitions[p].LogStart = max(n.Partitions[p].LogStart, d.Watermarks(int32(p)).Start)
	}
}

// storeDistances stores what comparisons have found that ended at about the same time, in one
// write. A topic may have several copies.
func storeDistances(ctx context.Context, cat *catalog.Virtual, round []*joint.Ask[distance, struct{}]) {
	of := map[string][]*joint.Ask[distance, struct{}]{}
	for _, a := range round {
		of[a.Question.Name] = append(of[a.Question.Name], a)
	}
	change := func(all []*catalog.Topic) ([]catalog.Entry, error) {
		for _, n := range all {
			for _, a := range of[n.Name] {
				a.Question.keep(n)
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
			a.Err = err
		}
	}
}
