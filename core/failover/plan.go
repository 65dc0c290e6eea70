package failover

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// State says what would become of a move that is planned now.
type State string

// The states of plans. A blocked move waits, a ready one is exact, an unplanned one goes by what is
// stored of the copy.
const (
	StateReady     State = "ready"
	StateBlocked   State = "blocked"
	StateUnplanned State = "unplanned"
)

// Plan is what a move would do now: the ends on both sides, what blocks it, and what it would lose.
type Plan struct {
	Topic      string          `json:"topic"`
	From       string          `json:"from"`
	To         string          `json:"to"`
	State      State           `json:"state"`
	Planned    bool            `json:"planned"`
	Lost       int64           `json:"lost"` // records, at most
	Partitions []PlanPartition `json:"partitions"`
	Blocked    string          `json:"blocked,omitempty"`
	BlockedBy  Block           `json:"blocked_by,omitempty"`

	copied []copied // by partition, of an unplanned move
}

// PlanPartition shows a partition's ends and how many records the copy lacks.
type PlanPartition struct {
	Partition int32 `json:"partition"`
	FromEnd   int64 `json:"from_end"` // -1: unknown
	ToEnd     int64 `json:"to_end"`   // -1: unknown
	Lag       int64 `json:"lag"`      // -1: unknown, since the copy can't be compared
}

// Lag is how many records the copy lacks, -1 if that is not known of a partition.
func (p Plan) Lag() (n int64) {
	for _, x := range p.Partitions {
		if x.Lag < 0 {
			return -1
		}
		n += x.Lag
	}
	return n
}

func (p *Plan) block(err error) {
	p.Blocked, p.BlockedBy, p.State = err.Error(), blockOf(err), StateBlocked
}

// Plan checks a move without holding anybody.
func (r *Runner) Plan(ctx context.Context, env Env, topic, to string) Plan {
	env.Clusters = r.bulk.over(env.Clusters)
	return r.plan(ctx, env, topic, to, r.goals(ctx, env, []string{topic}, false))
}

func (r *Runner) plan(ctx context.Context, env Env, topic, to string, g *goals) Plan {
	p := Plan{Topic: topic, To: to, State: StateReady, Planned: true}
	t := env.Catalog.Topic(topic)
	if t == nil {
		p.block(errors.New("the virtual cluster does not know this topic"))
		return p
	}
	p.From = t.Home
	if t.Home == to {
		p.block(errors.New("it lives there already"))
		return p
	}
	from, target := env.cluster(t.Home), env.cluster(to)
	if from == nil || target == nil {
		p.block(errors.New("not a cluster of this virtual cluster"))
		return p
	}
	k := &task{runner: r, env: env, goals: g, reads: g.reads, move: &move{report: Report{Topic: topic, From: t.Home, To: to}, force: g.unplanned}}
	c, planned, err := k.foresee(ctx, from, target)
	p.Planned = planned
	switch {
	case err != nil:
		p.block(err)
	case !planned:
		p.State = StateUnplanned
	}
	p.ends(ctx, t, from, target, c)
	if p.State == StateUnplanned {
		p.loses(ctx, t, c)
	}
	return p
}

// foresee makes the pre-check of a move as it would be made now. It reports whether the move would
// be a planned one.
func (t *task) foresee(ctx context.Context, from, to plugin.Cluster) (c *checked, planned bool, err error) {
	if err := t.signs(from); err != nil {
		return nil, true, err
	}
	planned = from.Reachable()
	switch {
	case !to.Reachable(): // it would be asked, and waited for, in vain
		return nil, planned, fmt.Errorf("%s: %w", to.Name(), plugin.ErrUnreachable)
	case planned:
		c, err = t.check(ctx)
	case t.policy() == "never":
		err = because(ByPolicy, fmt.Errorf("%s is unreachable and the topic says `unplanned: never`", from.Name()))
	default:
		c, err = t.checkGone(ctx)
	}
	return c, planned, err
}

// ends adds where both sides end, and the lag where the distance of the copy is known.
func (p *Plan) ends(ctx context.Context, t *catalog.Topic, from, to plugin.Cluster, c *checked) {
	var ends [2][]int64
	for i, cluster := range []plugin.Cluster{from, to} {
		if !cluster.Reachable() {
			continue
		}
		if s, err := newSide(cluster, t.Physical(cluster.Name())); err == nil {
			ends[i], _ = s.offsets(ctx, -1)
		}
	}
	for i := range t.Partitions {
		x := PlanPartition{Partition: int32(i), FromEnd: -1, ToEnd: -1, Lag: -1}
		if i < len(ends[0]) {
			x.FromEnd = ends[0][i]
		}
		if i < len(ends[1]) {
			x.ToEnd = ends[1][i]
		}
		if x.FromEnd >= 0 && x.ToEnd >= 0 && c != nil && i < len(c.deltas) {
			x.Lag = max(x.FromEnd+c.deltas[i]-x.ToEnd, 0)
		}
		p.Partitions = append(p.Partitions, x)
	}
}
