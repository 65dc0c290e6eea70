// Package standing tells how topics stand on their clusters: what their homes have, what copies
// have of it, how far behind groups are, and whether a topic could move now. It compares copies all
// the time and stores at which distance they stand, which is all that an unplanned move can go by.
// It knows nothing of moves that are on their way.
package standing

import (
	"context"
	"log/slog"
	"maps"
	"sync"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Env is what a virtual cluster consists of, as far as its topics stand on clusters; it changes
// with the configuration.
type Env struct {
	VirtualCluster string
	Catalog        *catalog.Virtual
	Clusters       []plugin.Cluster
	Placement      plugin.Placement
	// Groups are the consumer groups; nil: they live where the rules say.
	Groups *groups.Groups
}

// groupLives reports that a group, by its physical name, has its home on a cluster: what others
// have of it is mirrored.
func (e Env) groupLives(cluster, physical string) bool {
	if e.Groups != nil && e.Groups.Several() {
		name, ok := e.Groups.Virtual(physical)
		return ok && e.Groups.Home(name) == cluster
	}
	return e.Placement == nil || e.Placement.GroupHome(physical) == cluster
}

func (e Env) cluster(name string) plugin.Cluster {
	for _, c := range e.Clusters {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// source is what tells where copies of a topic have its records.
func (e Env) source(topic string) string {
	if e.Placement == nil {
		return ""
	}
	return e.Placement.Home(topic).Copy
}

// Watch compares the copies of all virtual clusters from time to time, and keeps what was found.
type Watch struct {
	log      *slog.Logger
	clusters *joint.Clusters
	ctx      context.Context
	stop     context.CancelFunc
	wg       guard.Group

	distances joint.Rounds[*catalog.Virtual, distance, struct{}]
	readings  readings
	rounds    copyRounds
	compared  comparisons
	ready     readiness
	fronts    fronts
	lagging   lagging

	// pace is of all that is read of copies that have drifted. The newest records don't wait for
	// the others.
	pace, newest copies.Pace

	mu   sync.Mutex
	cfg  config.Failover
	envs map[string]Env
}

// New begins to watch; there is nothing to see before Apply.
func New(clusters *joint.Clusters, log *slog.Logger) *Watch {
	ctx, stop := context.WithCancel(context.Background())
	w := &Watch{log: log, clusters: clusters, ctx: ctx, stop: stop, envs: map[string]Env{}}
	w.newest.Of = &w.pace
	w.wg.Go(func() { guard.Keep(w.ctx, w.watchCopies) })
	return w
}

// Apply makes what a virtual cluster consists of current.
func (w *Watch) Apply(env Env, cfg config.Failover) {
	env.Clusters = w.clusters.Over(env.Clusters)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cfg, w.envs[env.VirtualCluster] = cfg, env
	w.pace.Set(cfg.Align.Rate)
	w.newest.Set(cfg.Align.Rate)
}

// Close ends it, and stores a last time which partitions hold records that clients know.
func (w *Watch) Close() error {
	w.stop()
	w.wg.Wait()
	return nil
}

func (w *Watch) timing() config.Failover {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cfg
}

func (w *Watch) environments() map[string]Env {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.envs)
}
