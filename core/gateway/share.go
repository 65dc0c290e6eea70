package gateway

import (
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/core/config"
)

// shared refuses virtual clusters that could show the same topic, group or transactional id of a
// cluster: one of them would move it, and the other go on where it was. An empty chain is an
// explicit view of a cluster as it is.
func shared(snap *config.Snapshot, built map[string]*runtime) (errs config.Errors) {
	for i := range snap.VirtualClusters {
		b := &snap.VirtualClusters[i]
		for j := range i {
			a := &snap.VirtualClusters[j]
			x, y := built[a.Name], built[b.Name]
			if x == nil || y == nil || len(a.Chain) == 0 || len(b.Chain) == 0 || (x.chain.Placement() == nil && y.chain.Placement() == nil) {
				continue
			}
			at := slices.IndexFunc(x.clusters, func(c config.Cluster) bool {
				return slices.ContainsFunc(y.clusters, func(o config.Cluster) bool { return o.Name == c.Name })
			})
			p, q := x.prefix(), y.prefix()
			if at >= 0 && (strings.HasPrefix(p, q) || strings.HasPrefix(q, p)) {
				errs = append(errs, b.Chain[0].Section.Errorf(nil, "virtual clusters %q and %q share cluster %q, where both may show the same topics and groups (prefixes %q and %q): give their `topics` prefixes of which none begins with the other",
					a.Name, b.Name, x.clusters[at].Name, p, q))
			}
		}
	}
	return errs
}

// prefix is what all names of the virtual cluster begin with on its clusters.
func (rt *runtime) prefix() string {
	if n := rt.chain.Namer(); n != nil {
		return n.PhysicalName("")
	}
	return ""
}
