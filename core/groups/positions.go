package groups

import (
	"maps"
	"slices"
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
		g.put(p, &kept{Position: x, seq: g.seq, at: time.Now()})
	}
}

// Deleted notes positions that the home has deleted.
func (g *Group) Deleted(all []Partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seq++
	for _, p := range all {
		g.put(p, &kept{seq: g.seq, at: time.Now(), gone: true})
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
	g.whole, g.inherited = true, false
	g.found(seq, all)
}

// Inherit takes over the positions that other clusters have of a group whose home can't be asked,
// and of which nothing is known: those that it had given them.
func (g *Group) Inherit(all map[Partition]Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.whole {
		g.whole, g.inherited = true, true
		g.found(0, all)
	}
}

// found makes positions those that a cluster had when the changes were seq. g.mu is held.
func (g *Group) found(seq uint64, all map[Partition]Position) {
	changed := false
	next := g.seq + 1
	for p, x := range all {
		own := g.positions[p]
		if own != nil && (own.seq > seq || !own.gone && own.equal(x)) {
			continue
		}
		g.put(p, &kept{Position: x, seq: next, at: time.Now()})
		changed = true
	}
	for p, own := range g.positions {
		if _, has := all[p]; !has && own.seq <= seq && !own.gone {
			g.put(p, &kept{seq: next, at: time.Now(), gone: true})
			changed = true
		}
	}
	if changed {
		g.seq = next
	}
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

// Inherited reports that its positions are those that other clusters had of it, since its home has
// not been there: what it had committed there last, in a second or so, is not known.
func (g *Group) Inherited() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inherited
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
