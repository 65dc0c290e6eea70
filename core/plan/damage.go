package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/standing"
)

// copied is what a copy has of a partition whose home is gone, in virtual offsets.
type copied struct {
	part    *catalog.Partition
	has     copies.Stretch
	known   int64 // below which the home may have acknowledged records
	begins  int64 // where the virtual log begins
	unknown bool  // the distance is a guess: what the copy has may be of any place
}

// loses adds what an unplanned move would lose.
func (p *Plan) loses(ctx context.Context, t *catalog.Topic, seen failover.Foreseen) {
	starts, err := seen.Copy.Starts(ctx)
	if err != nil {
		p.block(err)
		return
	}
	for i, x := range p.Partitions {
		if x.ToEnd < 0 {
			p.block(fmt.Errorf("where partition %d ends on %s is not known", i, p.To))
			return
		}
		part, gap := t.Partition(int32(i)), seen.Missing(t, i, x.ToEnd)
		p.Lost += part.Records(gap.From, gap.To)
		d, guess, _ := seen.Distance(i)
		p.copied = append(p.copied, copied{
			part: part, has: copies.Stretch{From: part.ToVirtual(starts[i] - d), To: part.ToVirtual(x.ToEnd - d)}, known: gap.To, begins: part.LogStart, unknown: guess,
		})
	}
}

// skipped is how many records a reader at a virtual offset would never get.
func (c copied) skipped(at int64) int64 {
	at = max(at, c.begins)
	if c.has.From >= c.has.To {
		return c.part.Records(at, c.known)
	}
	return c.part.Records(at, min(c.has.From, c.known)) + c.part.Records(max(at, c.has.To), c.known)
}

// damage says what unplanned moves would do to groups, as far as the clusters that live can tell
// where those are.
func (p *Plans) damage(ctx context.Context, env failover.Env) {
	plans := map[string]*Plan{}
	for i := range p.Topics {
		if t := &p.Topics[i]; t.State == StateUnplanned {
			plans[t.Topic] = t
		}
	}
	groups, err := standing.Groups(ctx, standing.Env{VirtualCluster: env.VirtualCluster, Catalog: env.Catalog, Clusters: env.Clusters, Placement: env.Placement, Groups: env.Groups})
	if err != nil {
		p.Problem = err.Error()
	}
	for _, c := range env.Clusters {
		if !c.Reachable() {
			groups = append(groups, p.remembered(env, c.Name())...)
		}
	}
	for _, g := range groups {
		d := Damage{Group: g.Name, Home: g.Cluster, Topics: []string{}}
		for _, at := range g.Positions {
			t := plans[at.Topic.Name]
			if t == nil || int(at.Partition) >= len(t.copied) || at.Offset < 0 {
				continue
			}
			d.add(t, t.copied[at.Partition], at.Offset)
		}
		if len(d.Topics) > 0 {
			p.Groups = append(p.Groups, d)
		}
	}
	slices.SortStableFunc(p.Groups, func(a, b Damage) int { return cmp.Compare(uint64(b.Skipped), uint64(a.Skipped)) }) // unknown is the most
}

// remembered are the groups of a cluster that can't be reached, as they were when the gateway last
// heard of them.
func (p *Plans) remembered(env failover.Env, cluster string) (out []standing.Group) {
	if env.Groups == nil || !env.Groups.Several() {
		p.Problem = fmt.Sprintf("the groups of %s are not known, since it is unreachable", cluster)
		return nil
	}
	for _, known := range env.Catalog.Groups() {
		if known.Home != cluster {
			continue
		}
		own := env.Groups.Group(known.Name)
		if !own.Whole() {
			p.Problem = fmt.Sprintf("where groups of %s stand is not known, such as %q: it has been unreachable since the gateway started", cluster, known.Name)
			continue
		}
		g := standing.Group{Name: env.Groups.Physical(known.Name), Cluster: cluster}
		for at, x := range own.Positions() {
			if t := env.Catalog.Topic(at.Topic); t != nil && int(at.Partition) < len(t.Partitions) {
				g.Positions = append(g.Positions, standing.Position{Topic: t, Partition: at.Partition, Offset: t.Settle(at.Partition, x.Offset)})
			}
		}
		out = append(out, g)
	}
	return out
}

func (d *Damage) add(t *Plan, c copied, at int64) {
	n := c.skipped(at)
	switch {
	case c.unknown:
		d.Skipped, d.Repeated = -1, -1
	case n == 0:
		return
	case d.Skipped >= 0:
		d.Skipped += n
	}
	if len(d.Topics) < mostTopics && !slices.Contains(d.Topics, t.Topic) {
		d.Topics = append(d.Topics, t.Topic)
	}
}
