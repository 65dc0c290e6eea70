package gateway

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/mirror"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// settleEvery is how often groups are looked at that may need another home.
const settleEvery = time.Second

// groupRules is implemented by routing.
type groupRules interface {
	GroupRules() (home func(group string) string, takeover time.Duration)
}

// ruleGroups makes the rules of a runtime those of its virtual cluster's groups.
func (rt *runtime) ruleGroups(limit time.Duration) {
	rules := groups.Rules{Prefix: rt.prefix(), Limit: limit, Home: func(string) string { return rt.env.Clusters[0].Name() }}
	if p, ok := rt.chain.Placement().(groupRules); ok {
		rules.Home, _ = p.GroupRules()
		for _, c := range rt.env.Clusters {
			rules.Clusters = append(rules.Clusters, c.Name())
		}
	}
	rt.env.Groups.SetRules(rules)
}

func (rt *runtime) mirrorEnv() mirror.Env {
	stubs, _ := rt.chain.Placement().(plugin.Stubber)
	return mirror.Env{VirtualCluster: rt.env.VirtualCluster, Groups: rt.env.Groups, Catalog: rt.env.Catalog, Clusters: rt.env.Clusters, Stubs: stubs}
}

// standGroup adds how a group stands on the clusters that may become its home.
func (rt *runtime) standGroup(k *admin.Group) {
	k.Mirrored, k.Wanted = map[string]int64{}, k.Home
	known := rt.env.Catalog.Group(k.Name)
	if known == nil {
		return
	}
	if p := rt.chain.Placement(); p != nil {
		k.Wanted = p.GroupHome(k.Name)
	}
	k.Generation = known.Generation
	for _, c := range rt.env.Clusters {
		if c.Name() == known.Home {
			continue
		}
		k.Mirrored[c.Name()] = -1
		if known.MirroredOn(c.Name()) {
			k.Mirrored[c.Name()] = rt.env.Groups.Group(k.Name).Behind(c.Name()).Milliseconds()
		}
	}
}

// mirrored says where groups live, and how far their positions are on other clusters.
func (c *collector) mirrored(v *virtual) {
	rt := v.runtime()
	if !rt.env.Groups.Several() {
		return
	}
	homes, missing, behind := map[string]int{}, map[string]int{}, map[string]time.Duration{}
	for _, known := range rt.env.Catalog.Groups() {
		homes[known.Home]++
		own := rt.env.Groups.Group(known.Name)
		for _, k := range rt.env.Clusters {
			if k.Name() == known.Home {
				continue
			}
			if !known.MirroredOn(k.Name()) {
				missing[k.Name()]++
			}
			behind[k.Name()] = max(behind[k.Name()], own.Behind(k.Name()))
		}
	}
	for _, k := range rt.env.Clusters {
		c.add(&c.table.groupHomes, float64(homes[k.Name()]), v.name, k.Name())
		c.add(&c.table.groupsBehind, behind[k.Name()].Seconds(), v.name, k.Name())
		c.add(&c.table.groupsUnmirrored, float64(missing[k.Name()]), v.name, k.Name())
	}
}

// settle lets groups go, from time to time, where they can be served, and writers in again where
// topics live.
func (g *Gateway) settle(ctx context.Context) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-g.runner.Settles():
		}
		for _, v := range g.virtuals() {
			rt := v.runtime()
			g.runner.Lift(g.failoverEnv(rt))
			p, ok := rt.chain.Placement().(groupRules)
			if !ok {
				continue
			}
			_, takeover := p.GroupRules()
			if err := g.runner.Settle(ctx, g.failoverEnv(rt), takeover); err != nil && ctx.Err() == nil {
				g.log.Warn("groups not looked at", "virtual_cluster", v.name, "error", err)
			}
		}
	}
}
