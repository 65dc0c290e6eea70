package failover

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Plan is what a move would do now: the ends on both sides and what blocks it.
type Plan struct {
	Topic      string          `json:"topic"`
	From       string          `json:"from"`
	To         string          `json:"to"`
	Planned    bool            `json:"planned"`
	Partitions []PlanPartition `json:"partitions"`
	Blocked    string          `json:"blocked,omitempty"`
}

// PlanPartition shows a partition's ends and how many records the copy lacks.
type PlanPartition struct {
	Partition int32 `json:"partition"`
	FromEnd   int64 `json:"from_end"` // -1: unknown
	ToEnd     int64 `json:"to_end"`   // -1: unknown
	Lag       int64 `json:"lag"`      // -1: unknown, since the copy can't be compared
}

// plansAtOnce is how many topics are looked at side by side: a cluster that has just begun not to answer is waited for
// once, not once per topic.
const plansAtOnce = 16

// Plans is Plan for several topics, in their order.
func (r *Runner) Plans(ctx context.Context, env Env, topics []string, to string) ([]Plan, error) {
	plans := make([]Plan, len(topics))
	g := r.goals(ctx, env, topics)
	err := parallel(len(topics), plansAtOnce, func(i int) error {
		plans[i] = r.plan(ctx, env, topics[i], to, g)
		return ctx.Err()
	})
	return plans, err
}

// goals is what copies have to get to, and until when, not to lag. It is the same time for all: topics that lag wait together.
type goals struct {
	until time.Time
	ends  map[string][]int64 // where homes ended when the time began
}

func (r *Runner) goals(ctx context.Context, env Env, topics []string) *goals {
	g := &goals{until: time.Now().Add(r.timing().MaxDrain), ends: map[string][]int64{}}
	byHome := map[string][]*catalog.Topic{}
	for _, name := range topics {
		if t := env.Catalog.Topic(name); t != nil {
			byHome[t.Home] = append(byHome[t.Home], t)
		}
	}
	for home, list := range byHome {
		c := env.cluster(home)
		if c == nil || !c.Reachable() {
			continue
		}
		var names []string
		for _, t := range list {
			names = append(names, t.Physical(home))
		}
		ends := allOffsets(ctx, c, names, -1)
		for _, t := range list {
			g.ends[t.Name] = ends[t.Physical(home)]
		}
	}
	return g
}

// Plan checks a move without holding anybody.
func (r *Runner) Plan(ctx context.Context, env Env, topic, to string) Plan {
	return r.plan(ctx, env, topic, to, r.goals(ctx, env, []string{topic}))
}

func (r *Runner) plan(ctx context.Context, env Env, topic, to string, g *goals) Plan {
	p := Plan{Topic: topic, To: to, Planned: true}
	t := env.Catalog.Topic(topic)
	if t == nil {
		p.Blocked = "the virtual cluster does not know this topic"
		return p
	}
	p.From = t.Home
	if t.Home == to {
		p.Blocked = "it lives there already"
		return p
	}
	from, target := env.cluster(t.Home), env.cluster(to)
	if from == nil || target == nil {
		p.Blocked = "not a cluster of this virtual cluster"
		return p
	}
	k := &task{runner: r, env: env, goals: g, move: &move{report: Report{Topic: topic, From: t.Home, To: to}}}
	var c *checked
	err := k.signs(from)
	p.Planned = from.Reachable() || err != nil
	switch {
	case err != nil:
	case !target.Reachable(): // it would be asked, and waited for, in vain
		err = fmt.Errorf("%s: %w", to, plugin.ErrUnreachable)
	case p.Planned:
		c, err = k.check(ctx)
	case k.policy() == "never":
		err = fmt.Errorf("%s is unreachable and the topic says `unplanned: never`", from.Name())
	default:
		c, err = k.checkGone(ctx)
	}
	if err != nil {
		p.Blocked = err.Error()
	}
	var ends [2][]int64
	if from.Reachable() {
		if s, serr := newSide(from, t.Physical(from.Name())); serr == nil {
			ends[0], _ = s.offsets(ctx, -1)
		}
	}
	if target.Reachable() {
		if s, serr := newSide(target, t.Physical(to)); serr == nil {
			ends[1], _ = s.offsets(ctx, -1)
		}
	}
	for i := range t.Partitions {
		pp := PlanPartition{Partition: int32(i), FromEnd: -1, ToEnd: -1, Lag: -1}
		if i < len(ends[0]) {
			pp.FromEnd = ends[0][i]
		}
		if i < len(ends[1]) {
			pp.ToEnd = ends[1][i]
		}
		if pp.FromEnd >= 0 && pp.ToEnd >= 0 && c != nil && i < len(c.deltas) {
			pp.Lag = max(pp.FromEnd+c.deltas[i]-pp.ToEnd, 0)
		}
		p.Partitions = append(p.Partitions, pp)
	}
	return p
}
