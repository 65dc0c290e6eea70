package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/standing"
)

// Plans is what the moves of several topics would do now. What needs somebody's attention comes
// first.
type Plans struct {
	// Summary says the numbers in words.
	Summary   string `json:"summary"`
	Ready     int    `json:"ready"` // topics, as the next two
	Blocked   int    `json:"blocked"`
	Unplanned int    `json:"unplanned"`
	Lost      int64  `json:"lost"` // records, at most
	// Groups are the consumer groups that would not read on where they are if the homes of the
	// topics, and their own, died this moment, or have died; planned moves do nothing to them.
	// Problem says of which groups that is not known.
	Groups  []standing.Damage `json:"groups"`
	Problem string            `json:"problem,omitempty"`
	// Shares are the share groups of the topics, which get some records again.
	Shares []Share `json:"shares"`
	Topics []Plan  `json:"topics"` // blocked ones first, then unplanned ones, by name
	// Fenced says that a hook, which a plan does not ask, fences old homes before the commit.
	Fenced bool `json:"fenced,omitempty"`
	// Carried are the moves of groups: those that were asked for, and those that go with the
	// topics.
	Carried []GroupPlan `json:"carried"`
}

// What is to be planned.
type What struct {
	Topics []string
	Groups []string
	To     string
	// Unplanned plans as if the homes that don't answer were gone for good.
	Unplanned bool
}

// LostTail is how many records copies have that were lost when their cluster died as the home.
func (p Plans) LostTail() (n int64) {
	for _, t := range p.Topics {
		n += t.LostTail()
	}
	return n
}

const (
	// plansAtOnce is how many topics are looked at side by side: what they ask brokers for is asked
	// together, and lag is waited for once.
	plansAtOnce = 1000
	// mostTopics is how many topics a Share names.
	mostTopics = 20
)

// Of plans moves to a cluster, without holding anybody.
func Of(ctx context.Context, moves *failover.Runner, watch *standing.Watch, env failover.Env, what What) (Plans, error) {
	topics, to := what.Topics, what.To
	out := Plans{Groups: []standing.Damage{}, Topics: make([]Plan, len(topics)), Fenced: env.Fence != nil}
	f := moves.Foresee(ctx, env, topics, what.Unplanned)
	err := guard.Parallel(len(topics), plansAtOnce, func(i int) error {
		out.Topics[i] = foretell(ctx, f, watch, topics[i], to)
		return ctx.Err()
	})
	if err != nil {
		return Plans{}, err
	}
	out.damage(f.Env, what) // before groups that move give the new home their positions
	if out.Carried, err = carried(ctx, f, what); err != nil {
		return Plans{}, err
	}
	if out.Shares, err = shares(f.Env, what); err != nil {
		return Plans{}, err
	}
	out.count()
	return out, nil
}

// count adds up and sorts the plans.
func (p *Plans) count() {
	rank := map[State]int{StateBlocked: 0, StateUnplanned: 1, StateReady: 2}
	slices.SortStableFunc(p.Topics, func(a, b Plan) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), strings.Compare(a.Topic, b.Topic))
	})
	for _, t := range p.Topics {
		switch t.State {
		case StateReady:
			p.Ready++
		case StateBlocked:
			p.Blocked++
		case StateUnplanned:
			p.Unplanned++
		}
		p.Lost += t.Lost
	}
	records := "records"
	if p.Lost == 1 {
		records = "record"
	}
	p.Summary = fmt.Sprintf("%d ready, %d blocked, %d unplanned, %d %s would be lost", p.Ready, p.Blocked, p.Unplanned, p.Lost, records)
	if n, blocked := len(p.Carried), p.BlockedGroups(); n > 0 {
		p.Summary += fmt.Sprintf("; %s would move", countGroups(n-blocked))
		if blocked > 0 {
			p.Summary += fmt.Sprintf(", %s blocked", countGroups(blocked))
		}
	}
}

// BlockedGroups is how many groups could not move.
func (p *Plans) BlockedGroups() (n int) {
	for _, g := range p.Carried {
		if g.State == StateBlocked {
			n++
		}
	}
	return n
}

func countGroups(n int) string {
	if n == 1 {
		return "1 group"
	}
	return fmt.Sprintf("%d groups", n)
}
