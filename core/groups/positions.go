package groups

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Partition is a partition of a virtual topic.
type Partition struct {
	Topic     string
	Partition int32
}

// Position is what a group has committed of a partition, in virtual offsets and epochs.
type Position struct {
	Offset   int64
	Epoch    int32
	Metadata *string
}

func (p Position) equal(o Position) bool {
	return p.Offset == o.Offset && p.Epoch == o.Epoch && deref(p.Metadata) == deref(o.Metadata)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// kept is the last position of a partition that the home has taken.
type kept struct {
	Position
	seq  uint64
	at   time.Time // when its client was told
	gone bool      // it was deleted
}

// Committed notes positions that the home has taken.
func (g *Group) Committed(all map[Partition]Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seq++
	for p, x := range all {
		g.positions[p] = &kept{Position: x, seq: g.seq, at: time.Now()}
	}
}

// Deleted notes positions that the home has deleted.
func (g *Group) Deleted(all []Partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seq++
	for _, p := range all {
		g.positions[p] = &kept{seq: g.seq, at: time.Now(), gone: true}
	}
}

// Seq numbers the changes of positions so far.
func (g *Group) Seq() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seq
}

// Found takes over all positions that the home had when the changes were seq: later ones are newer.
func (g *Group) Found(seq uint64, all map[Partition]Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.whole = true
	changed := false
	next := g.seq + 1
	for p, x := range all {
		own := g.positions[p]
		if own != nil && (own.seq > seq || !own.gone && own.equal(x)) {
			continue
		}
		g.positions[p], changed = &kept{Position: x, seq: next, at: time.Now()}, true
	}
	for p, own := range g.positions {
		if _, has := all[p]; !has && own.seq <= seq && !own.gone {
			g.positions[p], changed = &kept{seq: next, at: time.Now(), gone: true}, true
		}
	}
	if changed {
		g.seq = next
	}
}

// Has notes that a cluster had exactly these positions, when the changes were seq. It reports
// whether that is what it should have.
func (g *Group) Has(cluster string, seq uint64, all map[Partition]Position) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p, own := range g.positions {
		x, has := all[p]
		if own.seq > seq {
			continue
		}
		if has == own.gone || has && !own.equal(x) {
			g.done[cluster] = 0
			return false
		}
	}
	exact := true
	for p := range all {
		if g.positions[p] == nil { // of before: to be deleted
			if exact {
				g.seq++
			}
			g.positions[p], exact = &kept{seq: g.seq, at: time.Now(), gone: true}, false
		}
	}
	g.done[cluster] = max(g.done[cluster], seq)
	return exact
}

// News are changes of positions that a cluster has not been given.
type News struct {
	Group     string
	Positions map[Partition]Position
	Deleted   []Partition
	Seq       uint64    // of the last one
	Since     time.Time // when the client of the first one was told
}

// News are the changes that a cluster has not been given; ok is false if there is none.
func (g *Group) News(cluster string) (n News, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n = News{Group: g.name, Positions: map[Partition]Position{}, Seq: g.seq}
	done := g.done[cluster]
	if done >= g.seq {
		return n, false
	}
	for p, own := range g.positions {
		if own.seq <= done {
			continue
		}
		if n.Since.IsZero() || own.at.Before(n.Since) {
			n.Since = own.at
		}
		if own.gone {
			n.Deleted = append(n.Deleted, p)
		} else {
			n.Positions[p] = own.Position
		}
	}
	slices.SortFunc(n.Deleted, func(a, b Partition) int {
		if d := strings.Compare(a.Topic, b.Topic); d != 0 {
			return d
		}
		return int(a.Partition - b.Partition)
	})
	return n, len(n.Positions)+len(n.Deleted) > 0
}

// Behind is for how long a cluster has not had what the group has committed; 0 if it has all.
func (g *Group) Behind(cluster string) time.Duration {
	if n, late := g.News(cluster); late {
		return time.Since(n.Since)
	}
	return 0
}

// Given notes that a cluster has been given all changes up to seq.
func (g *Group) Given(cluster string, seq uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done[cluster] = max(g.done[cluster], seq)
	// What every cluster has deleted need not be known.
	least := seq
	for _, c := range g.all.rules.Load().Clusters {
		if c != g.all.Home(g.name) {
			least = min(least, g.done[c])
		}
	}
	maps.DeleteFunc(g.positions, func(_ Partition, own *kept) bool { return own.gone && own.seq <= least })
}

// Lost notes that a cluster may have other positions than it was given.
func (g *Group) Lost(cluster string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.done, cluster)
}

// News are the groups with changes that a cluster has not been given, without those that live
// there.
func (g *Groups) News(cluster string) (out []*Group) {
	for _, x := range g.known() {
		if _, ok := x.News(cluster); ok && g.Home(x.name) != cluster {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b *Group) int { return strings.Compare(a.name, b.name) })
	return out
}

// Name is its virtual name.
func (g *Group) Name() string { return g.name }

// Positions are what it has committed, as far as is known.
func (g *Group) Positions() map[Partition]Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[Partition]Position{}
	for p, own := range g.positions {
		if !own.gone {
			out[p] = own.Position
		}
	}
	return out
}

// Subscribes notes topics that a member has named.
func (g *Group) Subscribes(topics []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.subscribed == nil {
		g.subscribed = map[string]struct{}{}
	}
	for _, t := range topics {
		g.subscribed[t] = struct{}{}
	}
}

// Topics are those that it has positions of, or that members have subscribed to, by name.
func (g *Group) Topics() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := maps.Clone(g.subscribed)
	if all == nil {
		all = map[string]struct{}{}
	}
	for p, own := range g.positions {
		if !own.gone {
			all[p.Topic] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Topics are those of a group that is known; see Group.Topics.
func (g *Groups) Topics(group string) []string {
	g.mu.RLock()
	own := g.of[group]
	g.mu.RUnlock()
	if own == nil {
		return nil
	}
	return own.Topics()
}

// reads reports a topic of the group.
func (g *Group) reads(topic string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.subscribed[topic]; ok {
		return true
	}
	for p, own := range g.positions {
		if p.Topic == topic && !own.gone {
			return true
		}
	}
	return false
}

// CommitsIn notes where the transactions live that positions are committed in: what they
// commit is read from the home.
func (g *Group) CommitsIn(home string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inTransactions, g.committedIn = home, time.Now()
}

// settlesFor is for how long after a commit in a transaction the positions of a group are read
// again and again: the default transaction.timeout.ms.
const settlesFor = time.Minute

// Unsettled are the groups whose positions may change with the end of a transaction.
func (g *Groups) Unsettled() (out []*Group) {
	for _, x := range g.known() {
		x.mu.Lock()
		if x.inTransactions != "" && time.Since(x.committedIn) < settlesFor {
			out = append(out, x)
		}
		x.mu.Unlock()
	}
	return out
}

// InTransactions is where the transactions live that its positions are committed in; "" if they
// are not.
func (g *Group) InTransactions() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inTransactions
}

// Whole reports that all its positions are known.
func (g *Group) Whole() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.whole
}

// Seen is when a request last named it.
func (g *Group) Seen() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen
}
