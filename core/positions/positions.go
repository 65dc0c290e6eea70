// Package positions reads what consumer groups have committed on a cluster.
package positions

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// groupsAtOnce is how many groups one request asks for, where it may ask for several.
const groupsAtOnce = 200

// Position is what a group has committed of a partition on a cluster: a virtual offset and epoch,
// under the physical name of the topic.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
	Epoch     int32
	Metadata  *string
}

// none is the position of a group that is visited as such.
var none = Position{Partition: -1, Offset: -1, Epoch: -1}

// Every visits what the groups of a cluster have committed. Each group is visited once with no
// topic before its positions. An error says that some may be missing.
func Every(ctx context.Context, c plugin.Cluster, visit func(g kmsg.ListGroupsResponseGroup, at Position)) error {
	seen := map[string]bool{}
	var silent []int32
	for _, n := range c.Topology().Brokers {
		resp, err := c.Do(ctx, n.ID, kmsg.NewPtrListGroupsRequest())
		if errors.Is(err, plugin.ErrUnreachable) {
			silent = append(silent, n.ID)
			continue
		}
		if err != nil {
			return err
		}
		list := resp.(*kmsg.ListGroupsResponse)
		if unready(list.ErrorCode) {
			return fmt.Errorf("groups on node %d of %s: error %d", n.ID, c.Name(), list.ErrorCode)
		}
		groups := slices.DeleteFunc(list.Groups, func(g kmsg.ListGroupsResponseGroup) bool {
			known := seen[g.Group]
			seen[g.Group] = true
			return known
		})
		for some := range slices.Chunk(groups, atOnce(c)) {
			if err := positions(ctx, c, n.ID, some, false, visit); err != nil {
				return err
			}
		}
	}
	return gaveUp(ctx, c, silent)
}

// Of are the positions of a group. What transactions have committed that are still open is an
// error, which matches ErrUnstable.
func Of(ctx context.Context, c plugin.Cluster, group string) (out []Position, err error) {
	err = coordinated(ctx, c, group, func(node int32) error {
		out = nil
		return positions(ctx, c, node, []kmsg.ListGroupsResponseGroup{{Group: group}}, true, func(_ kmsg.ListGroupsResponseGroup, at Position) {
			if at.Topic != "" {
				out = append(out, at)
			}
		})
	})
	return out, err
}

// gaveUp makes sure that a cluster does not list brokers that do not answer: until then they may be
// coordinators.
func gaveUp(ctx context.Context, c plugin.Cluster, silent []int32) error {
	if len(silent) == 0 {
		return nil
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return err
	}
	for _, b := range resp.(*kmsg.MetadataResponse).Brokers {
		if slices.Contains(silent, b.NodeID) {
			return fmt.Errorf("groups on node %d of %s: %w", b.NodeID, c.Name(), plugin.ErrUnreachable)
		}
	}
	return nil
}

// atOnce is how many groups a cluster can be asked for in one request (KIP-709).
func atOnce(c plugin.Cluster) int {
	if v := c.Topology().Versions; v != nil {
		for _, k := range v.ApiKeys {
			if k.ApiKey == int16(kmsg.OffsetFetch) && kafka.Has(kmsg.OffsetFetch, k.MaxVersion, kafka.Batched) {
				return groupsAtOnce
			}
		}
	}
	return 1
}

// positions visits what groups have committed, of which a node is the coordinator.
func positions(ctx context.Context, c plugin.Cluster, node int32, groups []kmsg.ListGroupsResponseGroup, stable bool, visit func(g kmsg.ListGroupsResponseGroup, at Position)) error {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.Topics, req.RequireStable = groups[0].Group, nil, stable
	for _, g := range groups {
		og := kmsg.NewOffsetFetchRequestGroup()
		og.Group, og.MemberEpoch = g.Group, -1
		req.Groups = append(req.Groups, og)
	}
	resp, err := c.Do(ctx, node, &atMost{req, 9})
	if err != nil {
		return err
	}
	r := resp.(*kmsg.OffsetFetchResponse)
	if len(r.Groups) == 0 { // a version that answers for one group
		one := kmsg.OffsetFetchResponseGroup{Group: req.Group, ErrorCode: r.ErrorCode}
		for _, t := range r.Topics {
			gt := kmsg.OffsetFetchResponseGroupTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				gt.Partitions = append(gt.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode})
			}
			one.Topics = append(one.Topics, gt)
		}
		r.Groups = []kmsg.OffsetFetchResponseGroup{one}
	}
	for _, rg := range r.Groups {
		if unready(rg.ErrorCode) {
			return &refused{kafka.Code(rg.ErrorCode), fmt.Sprintf("offsets of group %q on %s", rg.Group, c.Name())}
		}
		at := slices.IndexFunc(groups, func(g kmsg.ListGroupsResponseGroup) bool { return g.Group == rg.Group })
		if at < 0 {
			continue
		}
		visit(groups[at], none)
		for _, t := range rg.Topics {
			for _, p := range t.Partitions {
				if kafka.Code(p.ErrorCode) == kafka.UnstableOffsetCommit {
					return fmt.Errorf("group %q on %s, %s/%d: %w", rg.Group, c.Name(), t.Topic, p.Partition, ErrUnstable)
				}
				if p.Offset >= 0 {
					visit(groups[at], Position{t.Topic, p.Partition, p.Offset, p.LeaderEpoch, p.Metadata})
				}
			}
		}
	}
	return nil
}

// unready reports a coordinator that is loading, not there, or somewhere else now: it would look as
// if nobody had committed anything.
func unready(code int16) bool {
	switch kafka.Code(code) {
	case kafka.CoordinatorLoadInProgress, kafka.CoordinatorNotAvailable, kafka.NotCoordinator:
		return true
	}
	return false
}

// atMost limits the version of a request that Sluice makes itself: later ones name topics by id.
type atMost struct {
	kmsg.Request
	highest int16
}

// MaxVersion is the limit.
func (a *atMost) MaxVersion() int16 { return a.highest }
