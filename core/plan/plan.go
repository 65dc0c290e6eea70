// Package plan says what moves would do now, and what they would cost groups, without holding
// anybody.
package plan

import (
	"context"
	"errors"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/copies"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/standing"
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
	Topic      string      `json:"topic"`
	From       string      `json:"from"`
	To         string      `json:"to"`
	State      State       `json:"state"`
	Planned    bool        `json:"planned"`
	Lost       int64       `json:"lost"` // records, at most
	Partitions []Partition `json:"partitions"`
	Blocked    string      `json:"blocked,omitempty"`
	BlockedBy  block.Kind  `json:"blocked_by,omitempty"`

	copied []standing.Copied // by partition; nil if the new home can't be asked
}

// Partition shows a partition's ends and how many records the copy lacks.
type Partition struct {
	Partition int32 `json:"partition"`
	FromEnd   int64 `json:"from_end"` // -1: unknown
	ToEnd     int64 `json:"to_end"`   // -1: unknown
	Lag       int64 `json:"lag"`      // -1: unknown, since the copy can't be compared
	// LostTail is how many records the copy has that were lost when its cluster died as the home.
	// They stay hidden there.
	LostTail int64 `json:"lost_tail,omitempty"`
	standing.Aligned
}

// Differs reports a partition whose copy lacks records, or does not stand at one distance.
func (p Partition) Differs() bool { return p.Lag != 0 || p.Aligned.Differs() }

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

// LostTail is how many records the copy has that were lost when its cluster died as the home.
func (p Plan) LostTail() (n int64) {
	for _, x := range p.Partitions {
		n += x.LostTail
	}
	return n
}

// Aligned sums up how the partitions of the copy stand: unaligned is how many offsets in front of
// what was aligned were not looked at, and seconds the lag of the one that lags longest.
func (p Plan) Aligned() (runs int, unaligned int64, seconds float64) {
	for _, x := range p.Partitions {
		runs, unaligned, seconds = runs+x.Runs, unaligned+x.Unaligned(), max(seconds, x.LagSeconds)
	}
	return runs, unaligned, seconds
}

func (p *Plan) block(err error) {
	p.Blocked, p.BlockedBy, p.State = err.Error(), block.Of(err), StateBlocked
}

// foretell says what the move of a topic would do.
func foretell(ctx context.Context, f *failover.Foresight, watch *standing.Watch, topic, to string) Plan {
	p := Plan{Topic: topic, To: to, State: StateReady, Planned: true}
	t := f.Env.Catalog.Topic(topic)
	if t == nil {
		p.block(errors.New("the virtual cluster does not know this topic"))
		return p
	}
	p.From = t.Home
	if t.Home == to {
		p.block(errors.New("it lives there already"))
		return p
	}
	from, target := f.Env.Cluster(t.Home), f.Env.Cluster(to)
	if from == nil || target == nil {
		p.block(errors.New("not a cluster of this virtual cluster"))
		return p
	}
	seen := f.Of(ctx, topic, from, target)
	p.Planned = seen.Planned
	switch {
	case seen.Err != nil:
		p.block(seen.Err)
	case !seen.Planned:
		p.State = StateUnplanned
	}
	p.ends(ctx, f.Env.VirtualCluster, watch, t, from, target, seen)
	if p.State == StateUnplanned {
		p.loses(t, seen)
	}
	return p
}

// ends adds where both sides end, the lag where the distance of the copy is known, and how that
// stands.
func (p *Plan) ends(ctx context.Context, vc string, watch *standing.Watch, t *catalog.Topic, from, to plugin.Cluster, seen failover.Foreseen) {
	var at copies.Extent
	if s, err := copies.NewSide(from, t.Physical(from.Name())); err == nil && from.Reachable() {
		at.Home.Ends, _ = s.Ends(ctx)
	}
	if s, err := copies.NewSide(to, t.Physical(to.Name())); err == nil && to.Reachable() {
		at.IDs[1] = s.Topic.ID
		at.Copy.Ends, _ = s.Ends(ctx)
		at.Copy.Starts, _ = s.Starts(ctx)
	}
	if to.Reachable() {
		p.copied = watch.Copied(vc, t, to.Name(), at)
	}
	for i := range t.Partitions {
		x := Partition{Partition: int32(i), FromEnd: copies.At(at.Home.Ends, i), ToEnd: copies.At(at.Copy.Ends, i), Lag: -1}
		x.Aligned = watch.Aligned(vc, t, to.Name(), i)
		if delta, _, ok := seen.Distance(i); ok && x.FromEnd >= 0 && x.ToEnd >= 0 {
			x.Lag = max(x.FromEnd+delta-x.ToEnd, 0)
		}
		x.LostTail = max(seen.LostTail(i), t.Partitions[i].Copies[to.Name()].Lost)
		p.Partitions = append(p.Partitions, x)
	}
}
