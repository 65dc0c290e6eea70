package gateway

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/standing"
)

// spread is the time over which sessions are closed when the versions that they may use shrink.
const spread = 30 * time.Second

// apply makes a snapshot live: everything new is built and opened first, then it takes the place of
// what was in force, then the catalog is moved towards it. On an error nothing has changed. A nil
// snapshot is the one in force. No error shows a secret.
func (g *Gateway) apply(ctx context.Context, snap *config.Snapshot, o failover.Options) (err error) {
	g.applying.Lock()
	defer g.applying.Unlock()
	old := g.now()
	if snap == nil {
		snap = old.snap
	}
	defer func() { err = snap.Hide(err) }()
	if err := g.check(old, snap); err != nil {
		return err
	}
	if err := g.learnLast(ctx, old); err != nil {
		return err
	}
	next, err := g.build(ctx, old, snap)
	if err != nil {
		return err
	}
	g.swap(next)
	g.tellSwaps(ctx, old, next)
	inForce(ctx, old, next)
	if next.admin != nil {
		next.admin.value.pages.Start()
	}
	if old.snap == nil || old.snap.Revision != snap.Revision {
		for _, w := range next.warnings {
			g.logs.Logger("config").Warn("the file says what is probably not meant", "warning", w)
		}
	}
	old.release()
	return g.move(ctx, next, old, o)
}

// check refuses what can be refused before anything is opened.
func (g *Gateway) check(old *live, snap *config.Snapshot) error {
	if g.ends() {
		return errors.New("the gateway ends")
	}
	if err := snap.CheckTypes(g.types()); err != nil {
		return err
	}
	if old.snap != nil && old.snap.State.Dir != snap.State.Dir {
		return snap.Errorf([]string{"state", "dir"}, "state.dir is %s while the gateway runs: restart it to use %s", old.snap.State.Dir, snap.State.Dir)
	}
	return nil
}

// move makes the catalog follow the rules.
func (g *Gateway) move(ctx context.Context, next, old *live, o failover.Options) error {
	for _, c := range next.clusters {
		c.InForce(ctx)
	}
	if err := g.keepNames(ctx, next); err != nil {
		return err
	}
	for _, vc := range next.snap.VirtualClusters {
		rt, was := next.runtimes[vc.Name], old.runtimes[vc.Name]
		for _, m := range rt.chain.All() {
			if k, ok := m.Interceptor.(plugin.Keeper); ok {
				if err := k.Keep(ctx); err != nil {
					return err
				}
			}
		}
		p := rt.chain.Placement()
		if p == nil {
			continue
		}
		if err := g.learn(ctx, rt); err != nil {
			return err
		}
		mine := o
		mine.By = audit.Of(ctx).User
		if o.Edited == nil {
			mine.Edited = func(m failover.Movable) bool {
				if was == nil || was.chain.Placement() == nil {
					return false
				}
				if m.Kind == failover.Group {
					return was.chain.Placement().GroupHome(m.Name) != p.GroupHome(m.Name)
				}
				return was.chain.Placement().Home(m.Name).Cluster != p.Home(m.Name).Cluster
			}
		}
		g.mirror.Apply(rt.mirrorEnv())
		g.cancelDeletes(func(v, topic string) bool { // the file has decided on them
			return v == vc.Name && mine.Edited(failover.Movable{Kind: failover.Topic, Name: topic})
		})
		g.standing.Apply(standingEnv(rt), next.snap.Failover)
		if _, err := g.runner.Apply(ctx, g.failoverEnv(rt), next.snap.Failover, mine); err != nil {
			return err
		}
	}
	if err := g.catalog.SetValue(ctx, catalog.KindConfig, "revision", next.snap.Revision); err != nil {
		return err
	}
	g.logs.Logger("config").Info("configuration in force", "revision", next.snap.Revision, "file", next.snap.Path)
	return nil
}

func (g *Gateway) failoverEnv(rt *runtime) failover.Env {
	return failover.Env{
		VirtualCluster: rt.env.VirtualCluster, Catalog: rt.env.Catalog, Gates: rt.env.Gates, Groups: rt.env.Groups,
		Clusters: rt.env.Clusters, Placement: rt.chain.Placement(), Fence: g.now().fencer(), Tracer: rt.server.Tracer, Notify: g.moved,
	}
}

func standingEnv(rt *runtime) standing.Env {
	return standing.Env{VirtualCluster: rt.env.VirtualCluster, Catalog: rt.env.Catalog, Clusters: rt.env.Clusters, Placement: rt.chain.Placement(), Groups: rt.env.Groups}
}

// refreshVersions follows what the clusters support. If it shrinks, sessions are closed: clients
// ask for versions only when they connect.
func (g *Gateway) refreshVersions(ctx context.Context) {
	for _, v := range g.virtuals() {
		rt := v.runtime()
		old, now := rt.server.Versions.Load(), rt.versions(v.name)
		if reflect.DeepEqual(old.Ranges(), now.Ranges()) {
			continue
		}
		v.setVersions(now)
		if now.Narrower(old) {
			g.log.Warn("the clusters support less than before: sessions are closed so that clients ask again", "virtual_cluster", v.name)
			guard.Go(func() { v.server.CloseSessions(ctx, spread) })
		}
	}
}

// sweep makes and deletes copies of topics on clusters that were unreachable when their topic was
// made or deleted.
func (g *Gateway) sweep(ctx context.Context) {
	for _, v := range g.virtuals() {
		rt := v.runtime()
		for _, t := range rt.env.Catalog.Unfinished() {
			if s, ok := rt.chain.Placement().(plugin.Sweeper); ok {
				s.Sweep(ctx, t)
			}
		}
	}
}
