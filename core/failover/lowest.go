package failover

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/positions"
)

// readFor is how long ago a consumer has fetched that is still taken for one.
const readFor = 5 * time.Minute

// position is the lowest virtual offset of a partition that somebody may still read, and who.
type position struct {
	offset int64
	who    string
}

// lowest is, per partition, the lowest offset that a group has committed, as far as the clusters
// that live can tell, that a share group starts at, or that a consumer reads from.
func (t *topicMove) lowest(ctx context.Context, topic *catalog.Topic) (map[int32]position, error) {
	out := map[int32]position{}
	for p, o := range t.env.Gates.Readers.Lowest(topic.Name, time.Now().Add(-readFor)) {
		out[p] = position{o, "a consumer"}
	}
	for _, c := range t.env.Clusters {
		if !c.Reachable() {
			continue
		}
		all, err := t.runner.committed(ctx, c, topic.Physical(c.Name()))
		if err != nil {
			return nil, err
		}
		for _, g := range all {
			if !t.env.groupLives(c.Name(), g.group) {
				continue // a mirrored copy
			}
			if o, ok := out[g.partition]; !ok || g.offset < o.offset {
				out[g.partition] = position{g.offset, fmt.Sprintf("group %q", g.group)}
			}
		}
	}
	return out, t.lowestShares(topic, out)
}

// lowestShares has lowest count where share groups start, as the topic's home said last.
func (t *topicMove) lowestShares(topic *catalog.Topic, out map[int32]position) error {
	for _, key := range t.env.Catalog.Shares() {
		if key.Topic != topic.Name {
			continue
		}
		s, ok, err := t.env.Catalog.Share(key)
		if err != nil {
			return err
		}
		if !ok || s.Topic != topic.ID {
			continue
		}
		for p, at := range s.Starts {
			if o, known := out[int32(p)]; at >= 0 && (!known || at < o.offset) {
				out[int32(p)] = position{at, fmt.Sprintf("share group %q", key.Group)}
			}
		}
	}
	return nil
}

// commitment is what a group has committed for a partition.
type commitment struct {
	group     string
	partition int32
	offset    int64
}

// committed lists what groups have committed for a topic; the groups are asked once for all moves
// that ask at the same time.
func (r *Runner) committed(ctx context.Context, c plugin.Cluster, topic string) ([]commitment, error) {
	return r.groups.Do(ctx, c, topic, func(round []*joint.Ask[string, []commitment]) {
		of := map[string][]commitment{}
		err := positions.Every(context.WithoutCancel(ctx), c, func(g kmsg.ListGroupsResponseGroup, at positions.Position) {
			of[at.Topic] = append(of[at.Topic], commitment{g.Group, at.Partition, at.Offset})
		})
		for _, a := range round {
			a.Answer, a.Err = of[a.Question], err
		}
	})
}
