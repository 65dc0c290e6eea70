package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/upstream"
)

// keptNames is where the catalog has the names under which clusters got known, by those that the
// file has for them now.
const keptNames = "cluster_names"

// adopt gives clusters that the file has renamed the names under which topics live on them. A
// cluster is renamed if the old name is one of its aliases, or if its brokers say that they are the
// same cluster.
func (g *Gateway) adopt(ctx context.Context, snap *config.Snapshot) (*config.Snapshot, map[string]string, error) {
	kept := map[string]string{}
	if _, err := g.catalog.Value(catalog.KindConfig, keptNames, &kept); err != nil {
		return nil, nil, err
	}
	names := map[string]string{}
	for _, c := range snap.Clusters {
		if was := kept[c.Name]; was != "" {
			if named(snap, was) {
				return nil, nil, snap.Errorf([]string{"clusters", was}, "%q is what cluster %q was called when topics got their home there: give this one another name", was, c.Name)
			}
			names[c.Name] = was
		}
	}
	all, err := g.homeless(snap.Renamed(names))
	if err != nil {
		return nil, nil, err
	}
	for _, lost := range all {
		switch c, err := g.successor(ctx, snap, lost, names, kept); {
		case err != nil:
			return nil, nil, err
		case c != nil:
			names[c.Name] = lost
		}
	}
	snap = snap.Renamed(names)
	var errs config.Errors
	for _, c := range snap.Clusters {
		slot, _, ok, err := upstream.Known(g.catalog, c.Name)
		if err != nil {
			return nil, nil, err
		}
		if ok && slot != c.Slot {
			errs = append(errs, snap.Errorf([]string{"clusters", c.InFile(), "slot"}, "cluster %q has slot %d in the store and %d in the file: clients would take its nodes for other ones; set `slot: %d`", c.Name, slot, c.Slot, slot)...)
		}
	}
	if len(errs) > 0 {
		return nil, nil, errs
	}
	return snap, names, nil
}

// homeless lists the clusters on which topics, or groups without a rule, live and which the
// snapshot does not name.
func (g *Gateway) homeless(snap *config.Snapshot) (lost []string, err error) {
	var homes []string
	for _, vc := range snap.VirtualClusters {
		v := g.catalog.Virtual(vc.Name)
		groups, _, err := v.Kept("group_home")
		if err != nil {
			return nil, err
		}
		homes = append(homes, groups)
		for _, t := range v.Topics() {
			homes = append(homes, t.Home, t.View().Home)
		}
		for _, g := range v.Groups() {
			homes = append(homes, g.Home)
		}
	}
	for _, home := range homes {
		if home != "" && !named(snap, home) && !slices.Contains(lost, home) {
			lost = append(lost, home)
		}
	}
	return lost, nil
}

// named reports a cluster of that name, not alias.
func named(snap *config.Snapshot, name string) bool {
	return slices.ContainsFunc(snap.Clusters, func(c config.Cluster) bool { return c.Name == name })
}

// successor finds the cluster of the file that is the lost one under another name; nil if there is
// none.
func (g *Gateway) successor(ctx context.Context, snap *config.Snapshot, lost string, names, kept map[string]string) (*config.Cluster, error) {
	_, id, _, err := upstream.Known(g.catalog, lost)
	if err != nil {
		return nil, err
	}
	for i := range snap.Clusters {
		c := &snap.Clusters[i]
		if names[c.Name] != "" {
			continue
		}
		_, its, known, err := upstream.Known(g.catalog, c.Name)
		if err != nil {
			return nil, err
		}
		known = known || g.now().clusters[c.Name] != nil
		alias := slices.ContainsFunc(c.Aliases, func(a string) bool { return a == lost || kept[a] == lost })
		switch {
		case alias && known && (its != id || id == ""):
			return nil, snap.Errorf([]string{"clusters", c.Name, "aliases"}, "%q is another cluster, on which topics live: %q, which has been in force beside it, can't take its name. Move them first: gateway failover run --from %s --to %s", lost, c.Name, lost, c.Name)
		case alias, known && id != "" && its == id:
			return c, nil
		case !known && id != "" && g.clusterID(ctx, *c, snap.Limits.FrameBytes) == id:
			return c, nil
		}
	}
	return nil, nil
}

// clusterID asks a cluster who it is; "" if it does not answer soon. A gateway that only checks a
// file asks nobody.
func (g *Gateway) clusterID(ctx context.Context, cfg config.Cluster, frameBytes int) string {
	if g.store == nil {
		return ""
	}
	none, err := catalog.New(nowhere{}, nil)
	if err != nil {
		return ""
	}
	c, err := upstream.NewCluster(cfg, none, slog.New(slog.DiscardHandler), g.pool, frameBytes, g.self())
	if err != nil {
		return ""
	}
	defer func() { _ = c.Close() }()
	await(ctx, []*upstream.Cluster{c})
	return c.Topology().ClusterID
}

// stranded refuses a snapshot without a cluster that topics or groups live on: topics would wait
// for it for ever.
func stranded(snap *config.Snapshot, runtimes map[string]*runtime) (errs config.Errors) {
	for _, vc := range snap.VirtualClusters {
		rt := runtimes[vc.Name]
		if rt == nil {
			continue
		}
		left := map[string][]string{}
		for _, t := range rt.env.Catalog.Topics() {
			_, _, shown := rt.place(t.Name)
			for _, home := range slices.Compact([]string{t.Home, t.View().Home}) { // two while clients are not told of a move
				if shown && home != "" && rt.env.Cluster(home) == nil {
					left[home] = append(left[home], t.Name)
				}
			}
		}
		for _, home := range slices.Sorted(maps.Keys(left)) {
			at, fix := []string{"clusters"}, fmt.Sprintf("If it has another name now, keep the old one as an alias, `aliases: [%s]`, with the same slot.", home)
			if named(snap, home) {
				at, fix = []string{"virtual_clusters", vc.Name, "clusters"}, "List it."
			}
			errs = append(errs, snap.Errorf(at, "cluster %q is gone, but topics of virtual cluster %q live on it: %s. %s If it is to go, put it back and move them first: gateway failover run --from %s --to another cluster", home, vc.Name, some(left[home]), fix, home)...)
		}
		for _, m := range rt.chain.All() {
			if k, ok := m.Interceptor.(plugin.Keeper); ok {
				errs = append(errs, positioned(vc.Chain[0].Section, k.Lost())...)
			}
		}
	}
	return errs
}

// some are the first of a list, and how many more there are.
func some(list []string) string {
	const shown = 5
	slices.Sort(list)
	if len(list) <= shown {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:shown], ", "), len(list)-shown)
}

// keepNames stores the names that clusters got known by, now that they are in force.
func (g *Gateway) keepNames(ctx context.Context, l *live) error {
	kept := map[string]string{}
	if _, err := g.catalog.Value(catalog.KindConfig, keptNames, &kept); err != nil || maps.Equal(kept, l.names) {
		return err
	}
	for name, was := range l.names {
		if kept[name] != was {
			g.log.Info("a cluster has another name in the file; it is shown by the one that its topics know", "cluster", was, "file", name)
		}
	}
	return g.catalog.SetValue(ctx, catalog.KindConfig, keptNames, l.names)
}
