package standing

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// errLater ends the turns of a round.
var errLater = errors.New("others have their turn")

const (
	// frontsFor is until when fronts have their turns, from the beginning of a round on; the first
	// round begins 8 s before the second one.
	frontsFor = 7 * time.Second
	// frontBytes is what is read of a partition in its turn, about.
	frontBytes = 16 << 20
	// frontsAtOnce is how many partitions have their turn side by side.
	frontsAtOnce = 4
)

// front is a partition of a copy that has drifted, of which what is in front of the last records
// was not looked at yet.
type front struct {
	vc, topic, cluster string
	partition          int32
}

func (f front) compare(o front) int {
	return cmp.Or(cmp.Compare(f.topic, o.topic), cmp.Compare(f.cluster, o.cluster), cmp.Compare(f.partition, o.partition))
}

// fronts is what is known of fronts beside what the catalog has.
type fronts struct {
	mu   sync.Mutex
	last map[string]front // that had its turn, by virtual cluster
	// ahead are those that have got further than what can be stored.
	ahead map[front]ahead
	// wrong is what keeps copies from being exact that have drifted.
	wrong map[front]wrong
}

type ahead struct {
	generation int32
	id         [16]byte
	copies.Ahead
}

// wrong is how many records are wrong of a partition, and what the first one is.
type wrong struct {
	generation int32
	id         [16]byte
	records    int
	first      string
}

// forget leaves out the topics that are gone.
func (f *fronts) forget(gone func(vc, topic string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.last, func(_ string, k front) bool { return gone(k.vc, k.topic) })
	maps.DeleteFunc(f.ahead, func(k front, _ ahead) bool { return gone(k.vc, k.topic) })
	maps.DeleteFunc(f.wrong, func(k front, _ wrong) bool { return gone(k.vc, k.topic) })
}

// next are those whose turn is next, from behind the one that had the last one.
func (f *fronts) next(vc string, all []front) []front {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortFunc(all, front.compare)
	last, ok := f.last[vc]
	i, found := slices.BinarySearchFunc(all, last, front.compare)
	if found {
		i++
	}
	if !ok || i == len(all) {
		return all
	}
	return slices.Concat(all[i:], all[:i])
}

// begin notes that a front has its turn, and is what is known of it.
func (f *fronts) begin(k front, t *catalog.Topic, id [16]byte, stored catalog.Alignment) copies.Ahead {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		f.last, f.ahead, f.wrong = map[string]front{}, map[front]ahead{}, map[front]wrong{}
	}
	f.last[k.vc] = k
	a, ok := f.ahead[k]
	if !ok || a.generation != t.Generation || a.id != id || a.Front == nil || a.Front.To < stored.Front.To {
		return copies.Ahead{Alignment: stored}
	}
	// The rounds have gone on with its last records.
	a.From, a.To = stored.From, stored.To
	if joined, err := a.Distance.Until(max(a.Front.To, stored.From), stored.Distance); err == nil {
		a.Distance = joined
		return a.Ahead
	}
	return copies.Ahead{Alignment: stored}
}

// end notes how far a front has got, and reports that it can be stored.
func (f *fronts) end(k front, t *catalog.Topic, id [16]byte, got copies.Ahead) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if got.First != nil {
		x := f.wrong[k]
		if x.generation != t.Generation || x.id != id || x.records == 0 {
			x = wrong{t.Generation, id, 0, got.First.Error()}
		}
		x.records += got.Wrong
		f.wrong[k] = x
	}
	if len(got.Owed) > 0 {
		f.ahead[k] = ahead{t.Generation, id, got}
		return false
	}
	delete(f.ahead, k)
	return true
}

// whatIsWrong is how many records keep a copy from being exact, and what the first one is.
func (f *fronts) whatIsWrong(k front, t *catalog.Topic) (records int, first string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x, ok := f.wrong[k]; ok && x.generation == t.Generation && x.id == t.Copies[k.cluster] {
		return x.records, x.first
	}
	return 0, ""
}

// open are the fronts of a virtual cluster.
func open(e Env) (out []front) {
	for _, t := range e.Catalog.Topics() {
		for p := range t.Partitions {
			for cluster, a := range t.Partitions[p].Copies {
				if a.Front != nil && t.Before == nil && cluster != t.Home {
					out = append(out, front{e.VirtualCluster, t.Name, cluster, int32(p)})
				}
			}
		}
	}
	return out
}

// alignFronts goes on, until a time, with the copies that have drifted, of which what is in front
// of the last records was not looked at yet: each partition in its turn.
func (w *Watch) alignFronts(e Env, at copies.Extents, until time.Time) {
	for all := open(e); len(all) > 0 && w.ctx.Err() == nil; all = open(e) {
		went := 0
		all = w.fronts.next(e.VirtualCluster, all)
		var mu sync.Mutex
		_ = guard.Parallel(len(all), frontsAtOnce, func(i int) error {
			turn := copies.Turn{Pace: &w.pace, Until: until, Bytes: frontBytes}
			if turn.Over(w.ctx) {
				return errLater
			}
			if w.alignFront(e, all[i], at, turn) {
				mu.Lock()
				defer mu.Unlock()
				went++
			}
			return w.ctx.Err()
		})
		if went == 0 {
			return
		}
	}
}

// alignFront gives a partition its turn. It reports that something has come of it.
func (w *Watch) alignFront(e Env, k front, at copies.Extents, turn copies.Turn) bool {
	t := e.Catalog.Topic(k.topic)
	if t == nil || t.Home == k.cluster || t.Before != nil {
		return false
	}
	from, to := e.cluster(t.Home), e.cluster(k.cluster)
	both, ok := w.pair(t, from, to)
	both.By(e.source(t.Name))
	part := t.Partition(k.partition)
	stored := part.Copies[k.cluster]
	if !ok || stored.Front == nil || t.Copies[k.cluster] != both.Copy.Topic.ID || int(k.partition) >= len(both.Copy.Topic.Partitions) {
		return false
	}
	x := at.Of(t, k.cluster)
	begin, start := copies.At(x.Home.Starts, int(k.partition)), copies.At(x.Copy.Starts, int(k.partition))
	if begin < 0 || start < 0 {
		return false
	}
	begin = max(begin, part.ToPhysical(part.LogStart))
	known := w.fronts.begin(k, t, both.Copy.Topic.ID, stored)
	got, err := both.Front(w.ctx, k.partition, part, known, begin, start, copies.Aligning{Over: true, Turn: turn})
	if err != nil {
		w.log.Debug("copy not aligned", "topic", k.topic, "partition", k.partition, "cluster", k.cluster, "error", err)
		return false
	}
	if !w.fronts.end(k, t, both.Copy.Topic.ID, got) {
		return got.Read > 0
	}
	err = e.Catalog.Update(w.ctx, k.topic, func(n *catalog.Topic) error {
		if n.Generation == t.Generation && int(k.partition) < len(n.Partitions) && n.Copies[k.cluster] == both.Copy.Topic.ID {
			n.Partitions[k.partition].SetCopy(k.cluster, got.Alignment)
		}
		return nil
	})
	if err != nil && w.ctx.Err() == nil {
		w.log.Warn("alignment of a copy not stored", "topic", k.topic, "cluster", k.cluster, "error", err)
	}
	return err == nil && (got.Read > 0 || got.Front == nil)
}

// pair is a topic and its copy as they are compared, with what both do with records.
func (w *Watch) pair(t *catalog.Topic, from, to plugin.Cluster) (both copies.Pair, ok bool) {
	if from == nil || to == nil || !from.Reachable() || !to.Reachable() {
		return both, false
	}
	var err error
	if both.Home, err = copies.NewSide(from, t.Physical(from.Name())); err != nil {
		return both, false
	}
	if both.Copy, err = copies.NewSide(to, t.Physical(to.Name())); err != nil {
		return both, false
	}
	alike, err := copies.SameSettings(w.ctx, both.Home, both.Copy)
	if err != nil {
		return both, false
	}
	both.Take(alike, w.timing())
	return both, true
}
