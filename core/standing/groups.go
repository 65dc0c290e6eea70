package standing

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/positions"
)

// Group is a consumer group at its home.
type Group struct {
	Name      string // physical
	Cluster   string
	State     string
	Positions []Position // by topic and partition
}

// Position is what a group has committed, as clients are told: the next virtual offset that it
// would read.
type Position struct {
	Topic     *catalog.Topic
	Partition int32
	Offset    int64
	home      int64 // the physical offset at the topic's home
}

// Held says what a copy has of what the group would read from here.
func (p Position) Held(c CopyPartition) (holds, ok bool) { return c.Holds(p.home) }

// Groups lists the groups of the clusters that live. Clusters that fail are in the error; the
// others are listed.
func Groups(ctx context.Context, env Env) ([]Group, error) {
	var out []Group
	var errs []error
	for _, c := range env.Clusters {
		if !c.Reachable() {
			continue
		}
		seen := map[string]int{}
		errs = append(errs, positions.Every(ctx, c, func(g kmsg.ListGroupsResponseGroup, at positions.Position) {
			topic, p, offset := at.Topic, at.Partition, at.Offset
			if !env.groupLives(c.Name(), g.Group) {
				return // a mirrored copy
			}
			i, ok := seen[g.Group]
			if !ok {
				i = len(out)
				seen[g.Group] = i
				out = append(out, Group{Name: g.Group, Cluster: c.Name(), State: g.GroupState})
			}
			t := env.Catalog.ByPhysical(c.Name(), topic)
			if t == nil || p < 0 || int(p) >= len(t.Partitions) {
				return
			}
			out[i].Positions = append(out[i].Positions, Position{t, p, t.Settle(p, offset), t.Partitions[p].ToPhysical(offset)})
		}))
	}
	slices.SortFunc(out, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	for _, g := range out {
		slices.SortFunc(g.Positions, func(a, b Position) int {
			if d := strings.Compare(a.Topic.Name, b.Topic.Name); d != 0 {
				return d
			}
			return int(a.Partition - b.Partition)
		})
	}
	return out, errors.Join(errs...)
}
