package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/upstream"
)

// doubts are the warnings about a file and the chains that were built of it, in the order of the
// file.
func doubts(snap *config.Snapshot, runtimes map[string]*runtime) config.Errors {
	all := slices.Clone(snap.Warnings)
	for i := range snap.VirtualClusters {
		vc := &snap.VirtualClusters[i]
		rt := runtimes[vc.Name]
		if rt == nil {
			continue
		}
		for _, m := range rt.chain.All() {
			if d, ok := m.Interceptor.(plugin.Doubtful); ok {
				all = append(all, d.Warnings()...)
			}
		}
		if p := rt.chain.Placement(); p != nil {
			all = append(all, rt.unseen(vc, p)...)
		} else if len(rt.clusters) > 1 {
			first := rt.clusters[0].InFile()
			all = append(all, snap.Warnf([]string{"virtual_clusters", vc.Name, "chain"}, "the chain has no `routing`, so that everything goes to cluster %q and nothing to %s: add it, or name the one cluster, `clusters: [%s]`", first, others(rt.clusters), first))
		}
	}
	all.Sort()
	return all
}

// others are the names of all clusters but the first.
func others(clusters []config.Cluster) string {
	var names []string
	for _, c := range clusters[1:] {
		names = append(names, fmt.Sprintf("%q", c.InFile()))
	}
	return strings.Join(names, ", ")
}

// unseen warns of rules for topics that are hidden.
func (rt *runtime) unseen(vc *config.VirtualCluster, p plugin.Placement) (all config.Errors) {
	var section config.Section
	for _, m := range rt.chain.All() {
		at := slices.IndexFunc(vc.Chain, func(e config.ChainEntry) bool { return e.Type == m.Name })
		if any(m.Interceptor) == any(p) && at >= 0 {
			section = vc.Chain[at].Section
		}
	}
	for _, name := range p.Topics() {
		hidden := true
		for _, filled := range []string{"", "\x00", "\x00\x00"} { // what a glob stands for, of characters that no other has
			hidden = hidden && rt.hides(strings.NewReplacer("*", filled, "?", "\x00").Replace(name))
		}
		if hidden {
			all = append(all, section.Warnf([]string{"topics", name}, "this rule says where to find what `hide` of the chain's `topics` hides: no client sees it"))
		}
	}
	return all
}

// twins refuses an edit by which two names stand for one cluster: their brokers say the same id. At
// start, and when it comes out later, it is told as broken.
func twins(snap *config.Snapshot, clusters map[string]*upstream.Cluster) (errs config.Errors) {
	first := map[string]string{}
	for _, cfg := range snap.Clusters {
		c := clusters[cfg.Name]
		if c == nil || !c.Reachable() { // what is stored of one that does not answer may not be true any more
			continue
		}
		id := c.Topology().ClusterID
		if other, ok := first[id]; ok && id != "" {
			errs = append(errs, snap.Errorf([]string{"clusters", cfg.InFile(), "bootstrap"}, "cluster %q is also cluster %q: the brokers of both say the cluster id %s. Moves between them would move nothing; name the brokers of another cluster, or give one the other name as an alias", cfg.InFile(), other, id)...)
			continue
		}
		first[id] = cfg.InFile()
	}
	return errs
}
