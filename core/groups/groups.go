// Package groups knows the consumer groups of a virtual cluster as its requests show them: where
// each lives, who its members are, what they have committed, and which requests wait for its move.
package groups

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// Rules are what the configuration says of groups.
type Rules struct {
	// Home is where a group lives that nobody has seen.
	Home func(group string) string
	// Prefix is what the names of groups begin with on the clusters.
	Prefix string
	// Clusters are the clusters of the virtual cluster, in file order.
	Clusters []string
	// Limit is for how long a request may wait, from its arrival.
	Limit time.Duration
}

// Groups are the groups of one virtual cluster. They outlive a runtime.
type Groups struct {
	catalog *catalog.Virtual
	rules   atomic.Pointer[Rules]
	quiet   quiet
	began   time.Time
	before  map[string]bool // groups that an earlier run of the gateway knew

	mu        sync.RWMutex
	of        map[string]*Group
	published published
}

// New returns the groups of a virtual cluster, of which SetRules says where they live.
func New(v *catalog.Virtual) *Groups {
	g := &Groups{catalog: v, of: map[string]*Group{}, began: time.Now(), before: map[string]bool{}}
	for _, known := range v.Groups() {
		g.before[known.Name] = true
	}
	g.rules.Store(&Rules{Home: func(string) string { return "" }})
	return g
}

// SetRules makes rules current.
func (g *Groups) SetRules(r Rules) { g.rules.Store(&r) }

// Several reports that there is more than one cluster: else nothing can move, and nothing is kept.
func (g *Groups) Several() bool { return len(g.rules.Load().Clusters) > 1 }

// Physical is the name of a group on the clusters.
func (g *Groups) Physical(group string) string { return g.rules.Load().Prefix + group }

// Virtual inverts Physical; false for a group of another virtual cluster.
func (g *Groups) Virtual(physical string) (group string, ok bool) {
	return strings.CutPrefix(physical, g.rules.Load().Prefix)
}

// Home is the cluster where a group lives.
func (g *Groups) Home(group string) string {
	if known := g.catalog.Group(group); known != nil {
		return known.Home
	}
	return g.rules.Load().Home(group)
}

// See makes the catalog know groups that a request names, with the homes that the rules give those
// that are new. Of a new group all positions are known, if there can't be any that nobody has seen.
func (g *Groups) See(ctx context.Context, groups ...string) error {
	return g.SeeAt(ctx, g.rules.Load().Home, groups...)
}

// SeeAt is See for groups whose homes are known.
func (g *Groups) SeeAt(ctx context.Context, home func(group string) string, groups ...string) error {
	if !g.Several() {
		return nil
	}
	var fresh []string
	for _, name := range groups {
		if g.catalog.Group(name) == nil {
			fresh = append(fresh, name)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	rules := g.rules.Load()
	return g.catalog.UpdateGroups(ctx, fresh, func(name string, known *catalog.Group) *catalog.Group {
		if known != nil {
			return known
		}
		n := &catalog.Group{Home: home(name)}
		if n.Home == "" {
			return nil
		}
		if g.catalog.KnowsGroups(n.Home) {
			for _, c := range rules.Clusters {
				if c != n.Home {
					n.Mirrored = append(n.Mirrored, c)
				}
			}
			g.Group(name).isNew(n.Mirrored)
		}
		return n
	})
}

// Group is what is known of a group, made on first use.
func (g *Groups) Group(name string) *Group {
	g.mu.RLock()
	own := g.of[name]
	g.mu.RUnlock()
	if own != nil {
		return own
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if own = g.of[name]; own == nil {
		own = &Group{name: name, all: g, flying: map[*Pass]struct{}{}, members: map[string]*member{}, asks: map[string]int{}, seeks: map[client]int{}, positions: map[Partition]*kept{}, given: map[string]*given{}}
		g.of[name] = own
	}
	return own
}

// isNew notes that there are no positions but those that are seen from now on, and none on other
// clusters.
func (g *Group) isNew(others []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.whole = true
	for _, c := range others {
		g.to(c).upTo(0, g.positions, func(Partition) int64 { return -1 })
	}
}

// known lists the groups of which something is known.
func (g *Groups) known() []*Group {
	g.mu.RLock()
	defer g.mu.RUnlock()
	out := make([]*Group, 0, len(g.of))
	for _, x := range g.of {
		out = append(out, x)
	}
	return out
}

// Forget drops what is known of groups that are gone.
func (g *Groups) Forget(ctx context.Context, groups ...string) error {
	g.mu.Lock()
	for _, name := range groups {
		delete(g.of, name)
	}
	g.mu.Unlock()
	return g.catalog.UpdateGroups(ctx, groups, func(string, *catalog.Group) *catalog.Group { return nil })
}

// Group is one consumer group.
type Group struct {
	name string
	all  *Groups

	mu sync.Mutex
	// held is closed when the move ends that holds the group; nil without one.
	held   chan struct{}
	why    string
	flying map[*Pass]struct{}
	// queue are the requests that write and wait, by their places, and alone is the last one of
	// them that went on and is not answered yet.
	queue   []*place
	alone   *place
	tickets uint64
	giving  int // positions to clusters
	idle    []idler
	seen    time.Time // when a request last named it

	members map[string]*member
	asks    map[string]int // requests that wait for their answers, by ids of members
	seeks   map[client]int // those for the coordinator
	over    *turnover

	subscribed map[string]struct{} // topics that members have named
	positions  map[Partition]*kept
	whole      bool // positions are all that the home has
	inherited  bool // positions are those that other clusters had
	seq        uint64
	given      map[string]*given // by cluster, where it is known what that has
	// inTransactions is the home of the transactions that its positions are committed in; "" for a
	// group that commits by itself.
	inTransactions string
	committedIn    time.Time
}
