package failover

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// goals are what copies have to get to, and until when, not to lag. It is the same time for all:
// topics that lag wait together.
type goals struct {
	until     time.Time
	ends      map[string][]int64 // where homes ended when the time began
	reads     *slots             // of topics that read records
	unplanned bool               // homes that don't answer are gone for good
}

func (r *Runner) goals(ctx context.Context, env Env, topics []string, unplanned bool) *goals {
	g := &goals{until: time.Now().Add(r.timing().MaxDrain), ends: map[string][]int64{}, reads: newSlots(checksAtOnce), unplanned: unplanned}
	byHome := map[string][]*catalog.Topic{}
	for _, name := range topics {
		if t := env.Catalog.Topic(name); t != nil {
			byHome[t.Home] = append(byHome[t.Home], t)
		}
	}
	for home, list := range byHome {
		c := env.Cluster(home)
		if c == nil || !c.Reachable() {
			continue
		}
		var names []string
		for _, t := range list {
			names = append(names, t.Physical(home))
		}
		ends := copies.AllEnds(ctx, c, names)
		for _, t := range list {
			g.ends[t.Name] = ends[t.Physical(home)]
		}
	}
	return g
}

// foresee makes the pre-check of a move as it would be made now. It reports whether the move would
// be a planned one.
func (t *task) foresee(ctx context.Context, from, to plugin.Cluster) (planned bool, err error) {
	if err := t.signs(from); err != nil {
		return true, err
	}
	planned = from.Reachable()
	switch {
	case !to.Reachable(): // it would be asked, and waited for, in vain
		return planned, fmt.Errorf("%s: %w", to.Name(), plugin.ErrUnreachable)
	case planned:
		err = t.part.check(ctx, false)
	case t.policy() == "never":
		err = block.Never(from)
	default:
		err = t.part.check(ctx, true)
	}
	return planned, err
}

// Foresight makes pre-checks of moves as they would be made now, and holds nobody.
type Foresight struct {
	// Env is what the moves would work on. Its clusters join what they are asked at once.
	Env Env

	runner *Runner
	goals  *goals
}

// Foresee begins to look at the moves of topics, all of which have the same time for their lag.
// unplanned takes the homes that don't answer to be gone for good.
func (r *Runner) Foresee(ctx context.Context, env Env, topics []string, unplanned bool) *Foresight {
	env.Clusters = r.clusters.Over(env.Clusters)
	return &Foresight{Env: env, runner: r, goals: r.goals(ctx, env, topics, unplanned)}
}

// Foreseen is what a move would do now.
type Foreseen struct {
	// Err is what would refuse it; nil if nothing would.
	Err error
	// Planned says that it would be exact, or refused; otherwise the home is gone.
	Planned bool
	// Copy is where the topic would move to; nil unless the pre-check has got as far.
	Copy *copies.Side

	found *checked
}

// Of looks at the move of a topic that lives on from.
func (f *Foresight) Of(ctx context.Context, topic string, from, to plugin.Cluster) (out Foreseen) {
	m := &move{report: Report{Kind: Topic, Topic: topic, From: from.Name(), To: to.Name()}, order: order{Unplanned: f.goals.unplanned}}
	k := f.runner.newTask(f.Env, m, f.goals.reads)
	k.goals = f.goals
	out.Planned, out.Err = k.foresee(ctx, from, to)
	if out.found = k.part.(*topicMove).found; out.found != nil {
		out.Copy = out.found.Copy
	}
	return out
}

// OfGroup looks at the move of a consumer group that lives on from. It reports whether it would be
// a planned one, and what would refuse it.
func (f *Foresight) OfGroup(ctx context.Context, group string, from, to plugin.Cluster) (planned bool, err error) {
	m := &move{report: Report{Kind: Group, Topic: group, From: from.Name(), To: to.Name()}, order: order{Unplanned: f.goals.unplanned}}
	k := f.runner.newTask(f.Env, m, f.goals.reads)
	k.goals = f.goals
	return k.foresee(ctx, from, to)
}

// Distance is how far the offsets of a partition of the copy are from those at home; ok is false
// if there is none to go by. Where the home is gone it may be a guess.
func (f Foreseen) Distance(partition int) (delta int64, guess, ok bool) {
	if f.found == nil || partition >= len(f.found.deltas) {
		return 0, false, false
	}
	return f.found.deltas[partition], !f.Planned && f.found.unknown[partition], true
}

// LostTail is how many records a partition of the copy has that were lost when its cluster died as
// the home, and that are hidden there.
func (f Foreseen) LostTail(partition int) int64 {
	if f.found == nil {
		return 0
	}
	switch d := f.found.drift(partition); {
	case d == nil:
		return 0
	case d.died != nil:
		return d.died.Lost
	default:
		return d.lost
	}
}

// Missing is the range of virtual offsets that an unplanned move may lose, to a copy that ends at a
// physical offset.
func (f Foreseen) Missing(t *catalog.Topic, partition int, copyEnd int64) copies.Stretch {
	return f.found.missing(t, partition, copyEnd)
}
