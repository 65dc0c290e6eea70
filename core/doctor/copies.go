package doctor

import (
	"context"
	"maps"
	"slices"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/copies"
)

// copies compares every topic of a virtual cluster with its copies, as the check before a move does
// for its tail.
func (d *doctor) copies(ctx context.Context, vc *config.VirtualCluster, chain *chain.Chain) {
	spans := d.snap.Spans(vc)
	rules := chain.Placement()
	if rules == nil || len(spans) < 2 {
		return
	}
	subject := "virtual cluster " + vc.Name
	good := 0
	seen := map[string]bool{}
	for _, home := range spans {
		at := d.clusters[home.Name]
		if at == nil {
			continue
		}
		for _, physical := range slices.Sorted(maps.Keys(at.Topology().Topics)) {
			topic, ok := physical, !at.Topology().Topics[physical].Internal && !d.snap.Failover.Own(physical)
			if n := chain.Namer(); n != nil && ok {
				topic, ok = n.VirtualName(physical)
				ok = ok && !n.Hides(topic)
			}
			if !ok || seen[topic] {
				continue
			}
			h := rules.Home(topic)
			name := func(cluster string) string {
				if n := h.Names[cluster]; n != "" {
					return n
				}
				return physical
			}
			if h.Cluster != home.Name || !h.Shown || name(home.Name) != physical {
				continue
			}
			seen[topic] = true
			for _, other := range spans {
				to := d.clusters[other.Name]
				if other.Name == home.Name || to == nil {
					continue
				}
				err := copies.CompareTails(ctx, at, to, physical, name(other.Name), d.snap.Failover.IgnoreHeaders)
				if err == nil {
					good++
					continue
				}
				fix := "make the replicator copy it, record by record: partition, order, key, value, headers, timestamp"
				if renamed := home.Name + "." + physical; to.Topology().Topics[name(other.Name)] == nil && to.Topology().Topics[renamed] != nil {
					fix = "the replicator calls it " + renamed + ": give MirrorMaker 2 the IdentityReplicationPolicy, or name it in `names:` of the topic's rule"
				}
				d.say(Fail, subject, "copy of "+topic+" on "+other.Name, fix, "a move there would be refused: %v", err)
			}
		}
	}
	if good > 0 {
		d.say(OK, subject, "copies", "", "%d match at their ends", good)
	}
}
