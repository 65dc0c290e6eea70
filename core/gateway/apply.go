package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/server"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/upstream"
)

// spread is the time over which sessions are closed when the versions that they may use shrink.
const spread = 30 * time.Second

// apply makes a snapshot live: everything new is built and opened first, then the runtimes are
// swapped, then the catalog is moved towards it. On an error nothing has changed.
func (g *Gateway) apply(ctx context.Context, snap *config.Snapshot, o failover.Options) error {
	g.applying.Lock()
	defer g.applying.Unlock()
	if g.draining.Load() {
		return errors.New("the gateway ends")
	}
	var types []string
	for _, s := range g.opts.Specs {
		types = append(types, s.Type)
	}
	if err := snap.CheckTypes(types); err != nil {
		return err
	}
	if old := g.Snapshot(); old != nil && old.State.Dir != snap.State.Dir {
		return fmt.Errorf("state.dir is %s while the gateway runs: restart it to use %s", old.State.Dir, snap.State.Dir)
	}
	clusters, opened, err := g.openClusters(snap)
	if err != nil {
		return err
	}
	tracer, exporter, record := g.tracer, g.exporter, g.audit.Load()
	built := map[string]*runtime{}
	undo := func(err error) error {
		g.closeTraces(tracer)
		if exporter != g.exporter {
			g.closing.Go(func() { g.closeExport(exporter) })
		}
		g.closeAudit(record)
		for _, rt := range built {
			rt.close()
		}
		for _, c := range opened {
			_ = c.Close()
		}
		return err
	}
	if tracer, err = g.openTraces(ctx, snap); err != nil {
		return undo(err)
	}
	if exporter, err = g.openExport(ctx, snap); err != nil {
		return undo(err)
	}
	if record, err = g.openAudit(snap); err != nil {
		return undo(err)
	}
	// Clusters that answer at once tell their versions before clients ask for them.
	await(ctx, opened)
	gates := map[string]*plugin.Gates{}
	var errs config.Errors
	for i := range snap.VirtualClusters {
		vc := &snap.VirtualClusters[i]
		gates[vc.Name] = plugin.NewGates(snap.Failover.Request)
		gates[vc.Name].Log = g.log.With("virtual_cluster", vc.Name)
		if v := g.virtual[vc.Name]; v != nil {
			gates[vc.Name] = v.gates
		}
		rt, err := g.build(ctx, snap, vc, clusters, gates[vc.Name], tracer)
		var positioned config.Errors
		switch {
		case errors.As(err, &positioned):
			errs = append(errs, positioned...)
		case err != nil:
			return undo(err)
		default:
			built[vc.Name] = rt
		}
	}
	if errs = append(errs, shared(snap, built)...); len(errs) > 0 {
		return undo(errs)
	}
	if err := loadCertificates(snap, built); err != nil {
		return undo(err)
	}
	admin, err := g.openAdmin(snap)
	if err != nil {
		return undo(err)
	}
	if err := g.listen(snap, built, gates); err != nil {
		g.closeAdmin(admin)
		return undo(err)
	}
	g.closeAdmin(g.useAdmin(admin))
	g.memory.SetLimit(memoryLimit(snap))
	last := g.Snapshot()
	before := g.swap(snap, clusters, built)
	g.useLog(last, snap)
	g.inForce(ctx, record)
	g.mu.Lock()
	old := g.tracer
	g.tracer = tracer
	g.mu.Unlock()
	if old != tracer {
		g.closing.Go(func() { g.closeTraces(old) })
	}
	g.useExport(exporter)
	select {
	case g.topicsEdited <- struct{}{}:
	default:
	}
	return g.move(ctx, snap, before, o)
}

// loadCertificates gives runtimes what their listeners accept connections with.
func loadCertificates(snap *config.Snapshot, built map[string]*runtime) (err error) {
	for name, rt := range built {
		if rt.certificate, err = loadCertificate(snap.Path, rt.listen.TLS); err != nil {
			return fmt.Errorf("virtual cluster %q: %w", name, err)
		}
		rt.tls = rt.certificate.config()
	}
	return nil
}

// openTraces reuses the tracer while its settings are the same.
func (g *Gateway) openTraces(ctx context.Context, snap *config.Snapshot) (*telemetry.Tracer, error) {
	if old := g.Snapshot(); old != nil && old.Telemetry.Traces == snap.Telemetry.Traces {
		return g.tracer, nil
	}
	t := snap.Telemetry.Traces
	return telemetry.Open(ctx, telemetry.Config{
		Receiver:    telemetry.Receiver{Endpoint: t.Endpoint, Protocol: t.Protocol, Insecure: t.Insecure},
		SampleRatio: t.SampleRatio, Errors: t.Errors, Slower: t.Slower,
	}, g.log)
}

// closeTraces sends what is left, unless the tracer is the one in force.
func (g *Gateway) closeTraces(t *telemetry.Tracer) {
	g.mu.Lock()
	current := t == g.tracer
	g.mu.Unlock()
	if current {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tracesWait)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		g.log.Warn("the last traces were not sent", "error", err)
	}
}

// openClusters reuses the clusters whose configuration is the same.
func (g *Gateway) openClusters(snap *config.Snapshot) (all map[string]*upstream.Cluster, opened []*upstream.Cluster, err error) {
	all = map[string]*upstream.Cluster{}
	old := g.Snapshot()
	same := old == nil || old.Limits.FrameBytes == snap.Limits.FrameBytes
	for _, cfg := range snap.Clusters {
		if c := g.clusters[cfg.Name]; c != nil && same {
			old := c.Config()
			old.Aliases, cfg.Aliases = nil, nil
			if reflect.DeepEqual(old, cfg) {
				all[cfg.Name] = c
				continue
			}
		}
		full, _ := snap.Cluster(cfg.Name)
		c, err := upstream.NewCluster(*full, g.catalog, g.logs.Logger("upstream"), g.pool, snap.Limits.FrameBytes, &upstream.Self{ID: g.id, Listens: g.listens})
		if err != nil {
			for _, o := range opened {
				_ = o.Close()
			}
			return nil, nil, err
		}
		all[cfg.Name] = c
		opened = append(opened, c)
	}
	return all, opened, nil
}

// await gives new clusters a moment to answer.
func await(ctx context.Context, clusters []*upstream.Cluster) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for _, c := range clusters {
		for !c.Settled() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// listen opens what the snapshot needs before anything is swapped.
func (g *Gateway) listen(snap *config.Snapshot, built map[string]*runtime, gates map[string]*plugin.Gates) error {
	for i := range snap.VirtualClusters {
		vc := &snap.VirtualClusters[i]
		rt := built[vc.Name]
		v := g.virtual[vc.Name]
		fresh := v == nil
		if fresh {
			rt.refs = 1
			v = &virtual{name: vc.Name, gates: gates[vc.Name], current: rt}
			v.server = server.New(v, server.Options{
				Pool: g.pool, Memory: g.memory, Descriptors: g.files, Log: g.logs.Logger("server"), TLS: func() *tls.Config { return v.runtime().tls },
				Route: func(name string) (string, int32, bool) {
					now := v.runtime()
					return now.listen.Route(now.clusters, name)
				},
			})
		}
		if err := v.server.Listen(addresses(rt)); err != nil {
			if fresh {
				_ = v.server.Close()
			}
			return fmt.Errorf("virtual cluster %q: %w", vc.Name, err)
		}
		if fresh {
			g.log.Info("listening", "virtual_cluster", vc.Name, "bootstrap", vc.Listen.Bootstrap)
		}
		g.mu.Lock()
		g.virtual[vc.Name] = v
		g.mu.Unlock()
	}
	return nil
}

// addresses lists the bootstrap address and one for every node that the clusters may have, also
// dead and unknown ones: a client whose every known node is gone would rebalance in a loop.
func addresses(rt *runtime) []server.Address {
	out := []server.Address{{Listen: rt.listen.Bootstrap, Node: plugin.AnyNode}}
	for _, c := range rt.clusters {
		for n := c.Nodes.First; n <= c.Nodes.Last; n++ {
			if a := rt.listen.Bind(rt.clusters, c.Name, n); a != "" {
				out = append(out, server.Address{Listen: a, Cluster: c.Name, Node: n})
			}
		}
	}
	return out
}

// swap makes the built runtimes current and returns where the old rules put topics.
func (g *Gateway) swap(snap *config.Snapshot, clusters map[string]*upstream.Cluster, built map[string]*runtime) map[string]*runtime {
	before := map[string]*runtime{}
	g.mu.Lock()
	gone := maps.Clone(g.clusters)
	for name, c := range clusters {
		if gone[name] == c {
			delete(gone, name)
		}
	}
	var removed []*virtual
	for name, v := range g.virtual {
		if built[name] == nil {
			removed = append(removed, v)
			delete(g.virtual, name)
		}
	}
	for name, rt := range built {
		v := g.virtual[name]
		before[name] = v.runtime()
		rt.env.Catalog.SetPlace(rt.place)
		rt.env.Catalog.SetHidden(rt.hides)
		v.gates.SetLimit(snap.Failover.Request)
		v.swap(rt)
	}
	g.noteChange(g.snapshot, snap)
	g.clusters, g.snapshot = clusters, snap
	g.mu.Unlock()
	for _, v := range removed {
		v.server.StopListening() // another one may have its addresses from now on
		g.leaving.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), snap.Limits.Drain)
			defer cancel()
			v.server.Drain(ctx)
			_ = v.server.Close()
			v.retire()
		})
	}
	for _, c := range gone {
		_ = c.Close()
	}
	return before
}

// move makes the catalog follow the rules.
func (g *Gateway) move(ctx context.Context, snap *config.Snapshot, before map[string]*runtime, o failover.Options) error {
	for _, vc := range snap.VirtualClusters {
		v := g.virtual[vc.Name]
		rt := v.runtime()
		p := rt.chain.Placement()
		if p == nil {
			continue
		}
		if err := g.learn(ctx, rt, p); err != nil {
			return err
		}
		mine := o
		mine.By = audit.Of(ctx).User
		if o.Edited == nil {
			old := before[vc.Name]
			mine.Edited = func(topic string) bool {
				return old != nil && old.chain.Placement() != nil && old.chain.Placement().Home(topic).Cluster != p.Home(topic).Cluster
			}
		}
		g.cancelDeletes(vc.Name, mine.Edited)
		if _, err := g.runner.Apply(ctx, g.failoverEnv(rt), snap.Failover, mine); err != nil {
			return err
		}
	}
	if err := g.catalog.SetValue(ctx, catalog.KindConfig, "revision", snap.Revision); err != nil {
		return err
	}
	g.logs.Logger("config").Info("configuration in force", "revision", snap.Revision, "file", snap.Path)
	return nil
}

func (g *Gateway) failoverEnv(rt *runtime) failover.Env {
	return failover.Env{
		VirtualCluster: rt.env.VirtualCluster, Catalog: rt.env.Catalog, Gates: rt.env.Gates,
		Clusters: rt.env.Clusters, Placement: rt.chain.Placement(), Tracer: rt.server.Tracer, Notify: g.moved,
	}
}

// learn makes the catalog know the topics that the rules name and their homes have, so that a later
// edit of their rule is a move, also if no client has asked for them yet. Names on clusters that
// are not their home follow the rules.
func (g *Gateway) learn(ctx context.Context, rt *runtime, p plugin.Placement) error {
	var seen []catalog.Seen
	for _, name := range p.Topics() {
		home, names, ok := rt.place(name)
		c := rt.env.Cluster(home)
		if !ok || c == nil {
			continue
		}
		if t := c.Topology().Topics[names[home]]; t != nil {
			seen = append(seen, catalog.Seen{Name: name, Cluster: home, ID: t.ID, Partitions: len(t.Partitions)})
		}
	}
	if err := rt.env.Catalog.Ensure(ctx, seen...); err != nil {
		return err
	}
	for _, t := range rt.env.Catalog.Topics() {
		_, names, ok := rt.place(t.Name)
		if !ok {
			continue
		}
		names[t.Home] = t.Physical(t.Home)
		if t.Before != nil || maps.Equal(names, t.Names) {
			continue
		}
		if err := rt.env.Catalog.Update(ctx, t.Name, func(n *catalog.Topic) error {
			n.Names = names
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// refreshVersions follows what the clusters support. If it shrinks, sessions are closed: clients
// ask for versions only when they connect.
func (g *Gateway) refreshVersions(ctx context.Context) {
	g.mu.Lock()
	all := slices.Collect(maps.Values(g.virtual))
	g.mu.Unlock()
	for _, v := range all {
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

// sweep makes and deletes copies of topics on clusters that were unreachable when their topic was made or
// deleted.
func (g *Gateway) sweep(ctx context.Context) {
	g.mu.Lock()
	all := slices.Collect(maps.Values(g.virtual))
	g.mu.Unlock()
	for _, v := range all {
		rt := v.runtime()
		for _, t := range rt.env.Catalog.Unfinished() {
			if s, ok := rt.chain.Placement().(interface {
				Sweep(ctx context.Context, t *catalog.Topic)
			}); ok {
				s.Sweep(ctx, t)
			}
		}
	}
}
