package standing

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
)

// mostQuiet is how many partitions are asked for in a round of which nothing was new when they were
// last asked for. 10,000 topics of 12 partitions have their turn within a minute.
const mostQuiet = 20_000

// reading is where the topics of a virtual cluster begin and end, as clusters last said: one for
// all who need to know. It is not changed once it is there.
type reading struct {
	copies.Extents
	topics map[string]quiet // by virtual name
}

// quiet is what a topic was like when it was last asked for.
type quiet struct {
	at         time.Time
	generation int32
	seen       int64 // what clients had seen of it
	is         bool  // nothing was new, or unknown
}

// readings holds the newest reading of each virtual cluster.
type readings struct {
	mu sync.Mutex
	of map[string]*reading
}

func (r *readings) get(vc string) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[vc]
}

func (r *readings) set(vc string, now *reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string]*reading{}
	}
	r.of[vc] = now
}

// forget leaves out the virtual clusters that are gone.
func (r *readings) forget(envs map[string]Env) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for vc := range r.of {
		if _, ok := envs[vc]; !ok {
			delete(r.of, vc)
		}
	}
}

// LongestUnasked is how long ago the topic of a virtual cluster was last asked for that waits
// longest: how old what is known of copies may be. It is 0 while none was asked for.
func (w *Watch) LongestUnasked(virtualCluster string) (most time.Duration) {
	last := w.readings.get(virtualCluster)
	if last == nil {
		return 0
	}
	for _, t := range last.topics {
		if !t.at.IsZero() {
			most = max(most, time.Since(t.at))
		}
	}
	return most
}

// due are the topics to ask for: those of which something may be new, and of the others those that
// have waited longest.
func (l *reading) due(e Env, topics []*catalog.Topic) (out []*catalog.Topic) {
	var calm []*catalog.Topic
	for _, t := range topics {
		if last := l.topics[t.Name]; last.is && last.seen == t.Seen() && last.generation == t.Generation && l.sees(e, t) {
			calm = append(calm, t)
		} else {
			out = append(out, t)
		}
	}
	slices.SortStableFunc(calm, func(a, b *catalog.Topic) int { return l.topics[a.Name].at.Compare(l.topics[b.Name].at) })
	for n := 0; len(calm) > 0 && n < mostQuiet; calm = calm[1:] {
		out = append(out, calm[0])
		n += max(len(calm[0].Partitions), 1)
	}
	return out
}

// sees reports that a topic is on the clusters what it was: one that is made, grows, or gets
// another leader is another one in a topology.
func (l *reading) sees(e Env, t *catalog.Topic) bool {
	for _, c := range e.Clusters {
		name := t.Physical(c.Name())
		if was := l.Extents[c.Name()].Topology; was != nil && was.Topics[name] != c.Topology().Topics[name] {
			return false
		}
	}
	return true
}

// next asks the clusters that live for topics, in as few requests as there are brokers, and returns
// what is known then of all, and which topics were asked for. What a cluster that does not live has
// said counts no longer.
func (l *reading) next(ctx context.Context, e Env, topics []*catalog.Topic) (*reading, []*catalog.Topic) {
	now := &reading{Extents: copies.Extents{}, topics: make(map[string]quiet, len(topics))}
	if l == nil {
		l = &reading{}
	}
	at := time.Now()
	for _, c := range e.Clusters {
		if c.Reachable() && l.Extents[c.Name()].Topology == nil { // it lives again, or is new: what is known of its topics is not the whole
			l = &reading{Extents: l.Extents}
		}
	}
	due := l.due(e, topics)
	seen := make([]int64, len(due))
	for i, t := range due {
		seen[i] = t.Seen()
	}
	fresh := copies.Ask(ctx, e.Clusters, due, true)
	for name, at := range fresh {
		now.Extents[name] = copies.OnCluster{Starts: map[string][]int64{}, Ends: map[string][]int64{}, Topology: at.Topology}
	}
	for _, t := range topics {
		now.topics[t.Name] = l.topics[t.Name]
		now.TakeOver(l.Extents, t)
	}
	for i, t := range due {
		now.TakeOver(fresh, t)
		now.topics[t.Name] = quiet{at, t.Generation, seen[i], now.Calm(l.Extents, t)}
	}
	return now, due
}
