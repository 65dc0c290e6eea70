package failover

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// steadyFor is for how long a cluster must have answered before groups go back to it by themselves.
const steadyFor = 30 * time.Second

// Settle moves the groups of a virtual cluster that need it without an edit: away from a home that
// has been gone for a time, 0 for never, also if a move waits that was asked for while it lived;
// and to where the rules put them once that cluster is there again.
func (r *Runner) Settle(ctx context.Context, env Env, takeover time.Duration) error {
	env.Clusters = r.clusters.Over(env.Clusters)
	if env.Groups == nil || !env.Groups.Several() {
		return nil
	}
	gone, steady := r.states(env.Clusters)
	for _, g := range env.Catalog.Groups() {
		waits := r.find(env.VirtualCluster, Movable{Group, g.Name})
		if waits != nil && (waits.taken || waits.Report().Phase != Pending) {
			continue
		}
		x := groupOf{env: env, name: g.Name}
		to, by, taken := x.wanted(), ByFollow, false
		switch since := gone[g.Home]; {
		case since > 0 && to != "" && to != g.Home: // its topics have left already
			if since < r.timing().Unreachable || !r.inherits(env, g, to) {
				continue
			}
			taken = true
		case since > 0:
			if takeover == 0 || since < takeover || env.Groups.Group(g.Name).InTransactions() != "" {
				continue
			}
			if to, by, taken = r.heir(env, g), ByTakeover, true; to == "" {
				continue
			}
		case waits != nil || to == "" || to == g.Home || steady[to] == 0 || g.Taken && steady[to] < steadyFor:
			continue
		}
		if waits != nil { // for a home that has died meanwhile: it can't be asked any more
			waits.drop(by)
		}
		x.to = to
		m, run := r.start(env, x, newTogether(), Options{By: by})
		if run == nil {
			continue
		}
		m.taken = taken
		r.waves.expect(env.VirtualCluster, m)
		r.wg.Go(run)
	}
	return ctx.Err()
}

// Settles is signalled when groups may have to follow topics: Settle does it.
func (r *Runner) Settles() <-chan struct{} { return r.settles }

// Who asks for the moves that Settle begins.
const (
	ByTakeover = "groups.takeover" // the home is gone
	ByFollow   = "groups.follow"   // the topics live elsewhere
)

// states are for how long clusters have been gone, or there.
func (r *Runner) states(clusters []plugin.Cluster) (gone, steady map[string]time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone, steady = map[string]time.Duration{}, map[string]time.Duration{}
	now := time.Now()
	for _, c := range clusters {
		s, known := r.lives[c.Name()]
		if there := c.Reachable(); !known || s.there != there {
			s = since{there, now}
			r.lives[c.Name()] = s
		}
		if s.there {
			steady[c.Name()] = now.Sub(s.at) + 1
		} else {
			gone[c.Name()] = now.Sub(s.at) + 1
		}
	}
	return gone, steady
}

// since is whether a cluster is there, and since when.
type since struct {
	there bool
	at    time.Time
}

// inherits reports a cluster that can become the home of a group without the old one.
func (r *Runner) inherits(env Env, g *catalog.Group, cluster string) bool {
	c := env.Cluster(cluster)
	return c != nil && c.Reachable() && cluster != g.Home && g.MirroredOn(cluster)
}

// heir is the cluster that takes over a group: the one that the rules name, that most of its topics
// live on, or the first of the file, of those that have its positions.
func (r *Runner) heir(env Env, g *catalog.Group) string {
	if to := env.Placement.GroupHome(g.Name); r.inherits(env, g, to) {
		return to
	}
	best, most := "", -1
	for _, c := range env.Clusters {
		n := 0
		for _, topic := range env.Groups.Topics(g.Name) {
			if t := env.Catalog.Topic(topic); t != nil && t.Home == c.Name() {
				n++
			}
		}
		if r.inherits(env, g, c.Name()) && n > most {
			best, most = c.Name(), n
		}
	}
	return best
}
