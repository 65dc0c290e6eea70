package plan

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/guard"
)

// GroupPlan is what the move of a consumer group would do now. It takes all positions along, so
// that nothing is repeated or skipped; what records that are lost with a topic mean to the group is
// its Damage.
type GroupPlan struct {
	Group   string `json:"group"`
	From    string `json:"from"`
	To      string `json:"to"`
	State   State  `json:"state"`
	Planned bool   `json:"planned"`
	// Follows says that nobody has named it: it goes with its topics.
	Follows   bool `json:"follows"`
	Positions int  `json:"positions"`
	// Behind is for how many milliseconds positions that it has committed have not been on the new
	// home: what it would go back by, if the old home and the gateway died this moment.
	Behind    int64      `json:"behind_ms"`
	Blocked   string     `json:"blocked,omitempty"`
	BlockedBy block.Kind `json:"blocked_by,omitempty"`
}

// carried plans the moves of groups that were asked for, and of those that go with the topics.
func carried(ctx context.Context, f *failover.Foresight, what What) ([]GroupPlan, error) {
	out := []GroupPlan{}
	if f.Env.Groups == nil || !f.Env.Groups.Several() {
		return out, nil
	}
	for _, name := range what.Groups {
		out = append(out, GroupPlan{Group: name, To: what.To})
	}
	for _, name := range Following(f.Env, what) {
		out = append(out, GroupPlan{Group: name, To: what.To, Follows: true})
	}
	return out, guard.Parallel(len(out), plansAtOnce, func(i int) error {
		foretellGroup(ctx, f, &out[i])
		return ctx.Err()
	})
}

// Following lists the groups that nobody has named, and that go with topics once those have moved.
func Following(env failover.Env, what What) []string {
	out := []string{}
	if env.Groups == nil || !env.Groups.Several() {
		return out
	}
	for _, g := range env.Catalog.Groups() {
		if g.Home != what.To && !slices.Contains(what.Groups, g.Name) && env.Placement.Follows(g.Name) && goesAlong(env, g.Name, what) {
			out = append(out, g.Name)
		}
	}
	return out
}

// goesAlong reports that all topics of a group live on the new home once those of a plan do, and
// some of them are among those.
func goesAlong(env failover.Env, group string, what What) (some bool) {
	for _, topic := range env.Groups.Topics(group) {
		t := env.Catalog.Topic(topic)
		switch {
		case t == nil:
		case slices.Contains(what.Topics, topic):
			some = true
		case t.Home != what.To:
			return false
		}
	}
	return some
}

func foretellGroup(ctx context.Context, f *failover.Foresight, p *GroupPlan) {
	refuse := func(err error) { p.State, p.Blocked, p.BlockedBy = StateBlocked, err.Error(), block.Of(err) }
	p.State, p.Planned = StateReady, true
	known := f.Env.Catalog.Group(p.Group)
	if known == nil {
		refuse(errors.New("the virtual cluster does not know this group"))
		return
	}
	p.From = known.Home
	own := f.Env.Groups.Group(p.Group)
	p.Positions, p.Behind = len(own.Positions()), own.Behind(p.To).Milliseconds()
	from, to := f.Env.Cluster(known.Home), f.Env.Cluster(p.To)
	switch {
	case known.Home == p.To:
		refuse(errors.New("it lives there already"))
		return
	case from == nil || to == nil:
		refuse(errors.New("not a cluster of this virtual cluster"))
		return
	}
	planned, err := f.OfGroup(ctx, p.Group, from, to)
	switch p.Planned = planned; {
	case err != nil:
		refuse(err)
	case !planned:
		p.State = StateUnplanned
	}
}
