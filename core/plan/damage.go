package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/standing"
)

// loses adds what an unplanned move would lose.
func (p *Plan) loses(t *catalog.Topic, seen failover.Foreseen) {
	for i, x := range p.Partitions {
		if x.ToEnd < 0 {
			p.block(fmt.Errorf("where partition %d ends on %s is not known", i, p.To))
			return
		}
		gap := seen.Missing(t, i, x.ToEnd)
		p.Lost += t.Partition(int32(i)).Records(gap.From, gap.To)
	}
}

// damage says what becomes of groups if the homes of the topics, and of the groups that move, die
// this moment, or have died. Planned moves do nothing of it.
func (p *Plans) damage(env failover.Env, what What) {
	if env.Groups == nil || !env.Groups.Several() {
		return
	}
	of, dying := map[string][]standing.Copied{}, map[string]bool{}
	for _, t := range p.Topics {
		if t.copied != nil {
			of[t.Topic], dying[t.From] = t.copied, true
		}
	}
	if to := env.Cluster(what.To); to == nil || !to.Reachable() {
		return // nobody can say what it has
	}
	leaves := func(g *catalog.Group) bool {
		return slices.Contains(what.Groups, g.Name) || dying[g.Home] && slices.ContainsFunc(env.Groups.Topics(g.Name), func(t string) bool { return of[t] != nil })
	}
	sees := standing.Env{VirtualCluster: env.VirtualCluster, Catalog: env.Catalog, Clusters: env.Clusters, Placement: env.Placement, Groups: env.Groups}
	damages, unread := standing.Damages(sees, what.To, of, leaves)
	p.Groups = append(p.Groups, damages...)
	p.doubts(env, dying, unread)
}

// doubts says what is not known of groups.
func (p *Plans) doubts(env failover.Env, dying map[string]bool, unread []*catalog.Group) {
	var why []string
	missing, silent, past := map[string][]string{}, map[string]bool{}, map[string]bool{}
	for _, g := range unread {
		missing[g.Home] = append(missing[g.Home], g.Name)
	}
	for _, c := range env.Clusters {
		silent[c.Name()] = !c.Reachable()
	}
	for _, g := range env.Catalog.Groups() {
		past[g.Home] = past[g.Home] || env.Groups.Group(g.Name).Inherited()
	}
	for _, c := range env.Clusters {
		switch list := missing[c.Name()]; {
		case len(list) > 0 && silent[c.Name()]:
			why = append(why, fmt.Sprintf("where %s of %s, such as %q, would read on is not known: it has been unreachable since the gateway started, and no other cluster had all their positions", countGroups(len(list)), c.Name(), list[0]))
		case len(list) > 0:
			why = append(why, fmt.Sprintf("where %s of %s, such as %q, would read on is not known yet: %s is being asked", countGroups(len(list)), c.Name(), list[0], c.Name()))
		}
		if past[c.Name()] && dying[c.Name()] {
			why = append(why, fmt.Sprintf("%s has been unreachable since the gateway started: its groups read on where the other clusters have them, and records may come again that they committed in the second before", c.Name()))
		}
	}
	p.Problem = strings.Join(why, "; ")
}
