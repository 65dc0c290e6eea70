package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Group is a consumer group of a virtual cluster. It is immutable.
type Group struct {
	Name string `json:"-"`
	// Home is the cluster that coordinates it and has its positions, in virtual offsets.
	Home string `json:"home"`
	// Generation is the number of its moves.
	Generation int32 `json:"generation"`
	// Since is when it came to its home; zero for the first.
	Since time.Time `json:"since,omitzero"`
	// Before are the homes that it has had before, oldest first; the last ones are kept.
	Before []Stay `json:"before,omitempty"`
	// Mirrored names the clusters that have been given all its positions at least once, and all
	// that came since, a second later at most: those that may become its home without the old one.
	Mirrored []string `json:"mirrored,omitempty"`
	// Taken says that it came to its home because the one before was gone, not because a rule says
	// so.
	Taken bool `json:"taken,omitempty"`
}

// Stay is a home that a group has had.
type Stay struct {
	Home  string    `json:"home"`
	Until time.Time `json:"until"`
}

// mostStays is how many homes of a group are remembered.
const mostStays = 20

// Moved is the group at another home.
func (g *Group) Moved(to string, at time.Time, taken bool) *Group {
	n := *g
	n.Before = append(slices.Clone(g.Before), Stay{g.Home, at})
	if over := len(n.Before) - mostStays; over > 0 {
		n.Before = n.Before[over:]
	}
	n.Home, n.Generation, n.Since, n.Taken = to, g.Generation+1, at, taken
	n.Mirrored = slices.DeleteFunc(slices.Clone(g.Mirrored), func(c string) bool { return c == to })
	if !taken { // the old home has all that it had
		n.Mirrored = append(n.Mirrored, g.Home)
	}
	return &n
}

// MirroredOn reports that a cluster has the group's positions.
func (g *Group) MirroredOn(cluster string) bool { return slices.Contains(g.Mirrored, cluster) }

// WithMirror is the group with a cluster that has its positions.
func (g *Group) WithMirror(cluster string) *Group {
	if g.MirroredOn(cluster) {
		return g
	}
	n := *g
	n.Mirrored = append(slices.Clone(g.Mirrored), cluster)
	return &n
}

func (v *Virtual) groupKey(name string) string { return v.name + "\x00" + name }

// GroupEntry is what stores a group with other entries of one write; see UpdateAll.
func (v *Virtual) GroupEntry(g *Group) (Entry, error) {
	b, err := json.Marshal(g)
	return Entry{Kind: KindGroup, Key: v.groupKey(g.Name), Value: b}, err
}

// noteGroup makes an entry of a group visible.
func (c *Catalog) noteGroup(e Entry) error {
	vc, name, _ := strings.Cut(e.Key, "\x00")
	v := c.Virtual(vc)
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.Value == nil {
		delete(v.groups, name)
		return nil
	}
	g := &Group{Name: name}
	if err := json.Unmarshal(e.Value, g); err != nil {
		return fmt.Errorf("state: group %q: %w", name, err)
	}
	v.groups[name] = g
	return nil
}

// Group returns a group by its name, or nil for one that nobody has seen.
func (v *Virtual) Group(name string) *Group {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.groups[name]
}

// Groups lists the groups by name.
func (v *Virtual) Groups() []*Group {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.SortedFunc(maps.Values(v.groups), func(a, b *Group) int { return strings.Compare(a.Name, b.Name) })
}

// UpdateGroups changes groups in one write: change gets what is known of a group, nil for one that
// nobody has seen, and returns what it is to be, nil for one that is to be forgotten.
func (v *Virtual) UpdateGroups(ctx context.Context, names []string, change func(name string, g *Group) *Group) error {
	v.write.Lock()
	defer v.write.Unlock()
	var entries []Entry
	for _, name := range names {
		old := v.Group(name)
		now := change(name, old)
		switch now {
		case old:
		case nil:
			entries = append(entries, Entry{Kind: KindGroup, Key: v.groupKey(name)})
		default:
			n := *now
			n.Name = name
			e, err := v.GroupEntry(&n)
			if err != nil {
				return err
			}
			entries = append(entries, e)
		}
	}
	return v.persist(ctx, nil, entries)
}

// groupsKnown is the key of the clusters whose groups have been listed.
const groupsKnown = "groups_known"

// KnowsGroups reports that all groups of a cluster have been listed once: one that nobody has seen
// is new.
func (v *Virtual) KnowsGroups(cluster string) bool {
	var all []string
	ok, err := v.catalog.Value(KindConfig, v.name+"\x00"+groupsKnown, &all)
	return ok && err == nil && slices.Contains(all, cluster)
}

// NoteGroupsKnown stores that all groups of a cluster have been listed.
func (v *Virtual) NoteGroupsKnown(ctx context.Context, cluster string) error {
	if v.KnowsGroups(cluster) {
		return nil
	}
	var all []string
	if _, err := v.catalog.Value(KindConfig, v.name+"\x00"+groupsKnown, &all); err != nil {
		return err
	}
	return v.catalog.SetValue(ctx, KindConfig, v.name+"\x00"+groupsKnown, append(all, cluster))
}
