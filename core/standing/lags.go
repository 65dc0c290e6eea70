package standing

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// Lag is how far a group is behind on a topic.
type Lag struct {
	Group string // physical
	Topic *catalog.Topic
	// Records are what it has still to read at home; -1: not known.
	Records int64
	// Oldest is the timestamp of the oldest of them; zero if there are none, or it is not known.
	Oldest time.Time
	// Copies are what it would have to read on each copy, where that is known.
	Copies map[string]int64
}

const (
	mostAges   = 200 // partitions whose next record is looked at in a round
	agesAtOnce = 8
)

// Lags tells how far behind the groups are that are wanted. Clusters that don't answer leave theirs
// out.
func (w *Watch) Lags(ctx context.Context, env Env, wanted func(group string) bool) []Lag {
	groups, _ := Groups(ctx, env)
	groups = slices.DeleteFunc(groups, func(g Group) bool { return !wanted(g.Name) })
	topics := map[string]*catalog.Topic{}
	for _, g := range groups {
		for _, p := range g.Positions {
			topics[p.Topic.Name] = p.Topic
		}
	}
	standing := map[string]Topic{}
	for _, s := range w.Last(ctx, env, slices.Collect(maps.Values(topics))) {
		standing[s.Topic.Name] = s
	}
	var out []Lag
	var behind []Position
	at := map[*catalog.Topic]int{} // of the group's
	var of []int                   // whose a position of behind is
	for _, g := range groups {
		clear(at)
		for _, p := range g.Positions {
			i, ok := at[p.Topic]
			if !ok {
				i = len(out)
				at[p.Topic] = i
				out = append(out, Lag{Group: g.Name, Topic: p.Topic, Copies: map[string]int64{}})
				for _, c := range standing[p.Topic.Name].Copies {
					out[i].Copies[c.Cluster] = 0
				}
			}
			if out[i].add(p, standing[p.Topic.Name]) && len(behind) < mostAges {
				behind, of = append(behind, p), append(of, i)
			}
		}
	}
	var mu sync.Mutex
	_ = guard.Parallel(len(behind), agesAtOnce, func(n int) error {
		if first := w.next(ctx, env, behind[n]); !first.IsZero() {
			mu.Lock()
			defer mu.Unlock()
			if l := &out[of[n]]; l.Oldest.IsZero() || first.Before(l.Oldest) {
				l.Oldest = first
			}
		}
		return nil
	})
	return out
}

// add adds a partition, and reports that there is something to read in it.
func (l *Lag) add(p Position, s Topic) bool {
	end := int64(-1)
	if int(p.Partition) < len(s.Partitions) {
		end = s.Partitions[p.Partition].End
	}
	lag := max(end-p.Offset, 0)
	switch {
	case end < 0 || l.Records < 0:
		l.Records = -1
	default:
		l.Records += lag
	}
	for _, c := range s.Copies {
		sum, known := l.Copies[c.Cluster]
		if !known {
			continue
		}
		if int(p.Partition) >= len(c.Partitions) || !c.Partitions[p.Partition].Known || c.Partitions[p.Partition].End < 0 {
			delete(l.Copies, c.Cluster)
			continue
		}
		x := c.Partitions[p.Partition]
		l.Copies[c.Cluster] = sum + max(x.here(x.End)-p.home, 0)
	}
	return end >= 0 && lag > 0
}

// oneBatch is as many bytes as most batches have. In a fetch of many partitions a broker leaves out
// a batch that is larger than what is asked for, unless it is the first, so that it is asked for
// again.
const oneBatch = 16 << 10

// next is the timestamp of the batch that a group reads next; zero if it can't be told.
func (w *Watch) next(ctx context.Context, env Env, p Position) time.Time {
	c := env.cluster(p.Topic.Home)
	if c == nil || !c.Reachable() {
		return time.Time{}
	}
	s, err := copies.NewSide(c, p.Topic.Physical(p.Topic.Home))
	if err != nil || int(p.Partition) >= len(s.Topic.Partitions) {
		return time.Time{}
	}
	var first time.Time
	_ = s.Fetch(ctx, p.Partition, p.home, oneBatch, func(records []byte) error {
		for _, b := range kafka.Batches(records) {
			if first.IsZero() && b.LastOffset() >= p.home && !b.IsControl() {
				first = time.UnixMilli(b.FirstTimestamp())
			}
		}
		return nil
	})
	return first
}
