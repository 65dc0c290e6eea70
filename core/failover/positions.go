package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// readFor is how long ago a consumer has fetched that is still taken for one.
const readFor = 5 * time.Minute

// position is the lowest virtual offset of a partition that somebody may still read, and who.
type position struct {
	offset int64
	who    string
}

// lowest is, per partition, the lowest offset that a group has committed, as far as the clusters that
// live can tell, or that a consumer reads from.
func (t *task) lowest(ctx context.Context, topic *catalog.Topic) (map[int32]position, error) {
	out := map[int32]position{}
	for p, o := range t.env.Gates.Readers.Lowest(topic.Name, time.Now().Add(-readFor)) {
		out[p] = position{o, "a consumer"}
	}
	for _, c := range t.env.Clusters {
		if !c.Reachable() {
			continue
		}
		err := committed(ctx, c, topic.Physical(c.Name()), func(group string, p int32, offset int64) {
			if t.env.Placement.GroupHome(group) != c.Name() {
				return // a mirrored copy
			}
			if o, ok := out[p]; !ok || offset < o.offset {
				out[p] = position{offset, fmt.Sprintf("group %q", group)}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// committed lists what groups have committed for a topic.
func committed(ctx context.Context, c plugin.Cluster, topic string, visit func(group string, partition int32, offset int64)) error {
	nodes := c.Topology().Brokers
	seen := map[string]bool{}
	for _, n := range nodes {
		resp, err := c.Do(ctx, n.ID, kmsg.NewPtrListGroupsRequest())
		if errors.Is(err, plugin.ErrUnreachable) {
			continue // a broker that is down; its groups have moved
		}
		if err != nil {
			return err
		}
		list := resp.(*kmsg.ListGroupsResponse)
		if unready(list.ErrorCode) {
			return fmt.Errorf("groups on node %d of %s: error %d", n.ID, c.Name(), list.ErrorCode)
		}
		for _, g := range list.Groups {
			if seen[g.Group] {
				continue
			}
			seen[g.Group] = true
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Group = g.Group
			og := kmsg.NewOffsetFetchRequestGroup()
			og.Group, og.MemberEpoch = g.Group, -1
			req.Groups = []kmsg.OffsetFetchRequestGroup{og}
			req.Topics = nil
			v9 := &atMost{req, 9}
			resp, err := c.Do(ctx, n.ID, v9)
			if err != nil {
				return err
			}
			r := resp.(*kmsg.OffsetFetchResponse)
			for _, rg := range r.Groups {
				r.ErrorCode = max(r.ErrorCode, rg.ErrorCode)
			}
			if unready(r.ErrorCode) {
				return fmt.Errorf("offsets of group %q on %s: error %d", g.Group, c.Name(), r.ErrorCode)
			}
			for _, rt := range r.Topics {
				for _, p := range rt.Partitions {
					if rt.Topic == topic && p.Offset >= 0 {
						visit(g.Group, p.Partition, p.Offset)
					}
				}
			}
			for _, rg := range r.Groups {
				for _, rt := range rg.Topics {
					for _, p := range rt.Partitions {
						if rt.Topic == topic && p.Offset >= 0 {
							visit(g.Group, p.Partition, p.Offset)
						}
					}
				}
			}
		}
	}
	return nil
}

// unready reports a coordinator that is loading, not there, or somewhere else now: it would look as if
// nobody had committed anything.
func unready(code int16) bool { return code == 14 || code == 15 || code == 16 }

// atMost limits the version of a request that Sluice makes itself: later ones name topics by id.
type atMost struct {
	*kmsg.OffsetFetchRequest
	highest int16
}

// MaxVersion is the limit.
func (a *atMost) MaxVersion() int16 { return a.highest }
