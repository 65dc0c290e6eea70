package groups

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// given is what a cluster that is not the home has of the positions of a group.
type given struct {
	seq uint64 // it has all changes up to this one
	// late are the offsets that it has of the partitions that have changed since; -1: none.
	late map[Partition]int64
}

// put notes the last position of a partition. g.mu is held.
func (g *Group) put(p Partition, now *kept) {
	was := int64(-1)
	if own := g.positions[p]; own != nil && !own.gone {
		was = own.Offset
	}
	for _, to := range g.given {
		if _, late := to.late[p]; !late {
			to.late[p] = was
		}
	}
	g.positions[p] = now
}

// upTo notes that the cluster has all changes up to seq; there is what it has of a partition that
// has changed since, where that is not known yet.
func (to *given) upTo(seq uint64, positions map[Partition]*kept, there func(p Partition) int64) {
	to.seq = max(to.seq, seq)
	maps.DeleteFunc(to.late, func(p Partition, _ int64) bool { return positions[p] == nil || positions[p].seq <= to.seq })
	for p, own := range positions {
		if _, late := to.late[p]; !late && own.seq > to.seq {
			to.late[p] = there(p)
		}
	}
}

// to is what a cluster has been given, nothing at first. g.mu is held.
func (g *Group) to(cluster string) *given {
	if g.given[cluster] == nil {
		g.given[cluster] = &given{late: map[Partition]int64{}}
	}
	return g.given[cluster]
}

// Has notes that a cluster had exactly these positions, when the changes were seq. It reports
// whether that is what it should have.
func (g *Group) Has(cluster string, seq uint64, all map[Partition]Position) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	to := g.to(cluster)
	there := func(p Partition) int64 {
		if x, has := all[p]; has {
			return x.Offset
		}
		return -1
	}
	for p, own := range g.positions {
		x, has := all[p]
		if own.seq > seq {
			continue
		}
		if has == own.gone || has && !own.equal(x) {
			to.seq, to.late = 0, map[Partition]int64{}
			for p := range g.positions {
				to.late[p] = there(p)
			}
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
			to.late[p] = there(p)
		}
	}
	to.upTo(seq, g.positions, there)
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
	done := uint64(0)
	if to := g.given[cluster]; to != nil {
		done = to.seq
	}
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

// Late are the offsets that a cluster has of the partitions of which it does not have the last
// position, -1 where it has none. ok is false if it is not known what it has.
func (g *Group) Late(cluster string) (late map[Partition]int64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	to := g.given[cluster]
	if to == nil {
		return nil, false
	}
	return maps.Clone(to.late), true
}

// Given notes that a cluster has been given changes.
func (g *Group) Given(cluster string, n News) {
	g.mu.Lock()
	defer g.mu.Unlock()
	to := g.to(cluster)
	for p, x := range n.Positions {
		to.late[p] = x.Offset
	}
	for _, p := range n.Deleted {
		to.late[p] = -1
	}
	to.upTo(n.Seq, g.positions, func(Partition) int64 { return -1 })
	// What every cluster has deleted need not be known.
	least := n.Seq
	for _, c := range g.all.rules.Load().Clusters {
		if c == g.all.Home(g.name) {
			continue
		}
		if to := g.given[c]; to != nil {
			least = min(least, to.seq)
		} else {
			least = 0
		}
	}
	maps.DeleteFunc(g.positions, func(_ Partition, own *kept) bool { return own.gone && own.seq <= least })
}

// Lost notes that a cluster may have other positions than it was given.
func (g *Group) Lost(cluster string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.given, cluster)
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
