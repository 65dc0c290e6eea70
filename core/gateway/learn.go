package gateway

import (
	"context"
	"maps"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// lookLimit is how long an edit waits for the clusters to say which topics they have.
const lookLimit = time.Second

// onClusters are the topics that clusters have and whose home is there by the rules, whether
// clients have asked for them or not.
func (rt *runtime) onClusters() (seen []catalog.Seen) {
	namer := rt.chain.Namer()
	at := func(virtual, cluster, physical string, t *plugin.Topic) {
		if home, names, ok := rt.place(virtual); ok && home == cluster && names[home] == physical {
			seen = append(seen, catalog.Seen{Name: virtual, Cluster: cluster, ID: t.ID, Partitions: len(t.Partitions)})
		}
	}
	for _, c := range rt.env.Clusters {
		for physical, t := range c.Topology().Topics {
			virtual, ok := physical, true
			if namer != nil {
				virtual, ok = namer.VirtualName(physical)
			}
			if known := rt.env.Catalog.ByPhysical(c.Name(), physical); known == nil && ok {
				at(virtual, c.Name(), physical, t)
			}
		}
	}
	if p := rt.chain.Placement(); p != nil {
		for _, name := range p.Topics() { // with names of their own on their homes
			home, names, ok := rt.place(name)
			if c := rt.env.Cluster(home); ok && c != nil && c.Topology().Topics[names[home]] != nil {
				at(name, home, names[home], c.Topology().Topics[names[home]])
			}
		}
	}
	return seen
}

// learn makes the catalog know the topics that the homes have, so that a later edit of their rules
// is a move, also if no client has asked for them yet. Names on clusters that are not their home
// follow the rules.
func (g *Gateway) learn(ctx context.Context, rt *runtime) error {
	if err := rt.env.Catalog.Ensure(ctx, rt.onClusters()...); err != nil {
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

// learnLast makes the catalog know what the clusters have by the rules that are about to go: what
// an edit finds unknown follows it without a move. Clusters that don't say in time are taken as
// they were.
func (g *Gateway) learnLast(ctx context.Context, old *live) error {
	looking, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	var wg guard.Group
	for _, c := range old.clusters {
		if c.Reachable() {
			wg.Go(func() { _, _ = c.Refresh(looking) })
		}
	}
	wg.Wait()
	for _, rt := range old.runtimes {
		if rt.chain.Placement() == nil {
			continue
		}
		if err := rt.env.Catalog.Ensure(ctx, rt.onClusters()...); err != nil {
			return err
		}
	}
	return nil
}

// views are what was learnt from: the rules, and how the clusters looked.
type views struct {
	rt         *runtime
	topologies []*plugin.Topology
}

// learnNews makes the catalog know topics that have appeared on the clusters since the last call.
func (g *Gateway) learnNews(ctx context.Context, last map[string]views) {
	for _, v := range g.virtuals() {
		rt := v.runtime()
		if rt.chain.Placement() == nil {
			continue
		}
		now, was := views{rt: rt}, last[v.name]
		same := was.rt == rt
		for i, c := range rt.env.Clusters {
			now.topologies = append(now.topologies, c.Topology())
			same = same && i < len(was.topologies) && was.topologies[i] == now.topologies[i]
		}
		if same {
			continue
		}
		if err := rt.env.Catalog.Ensure(ctx, rt.onClusters()...); err != nil {
			g.log.Warn("topics not noted", "virtual_cluster", v.name, "error", err)
			continue
		}
		last[v.name] = now
	}
}
