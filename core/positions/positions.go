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

// Every visits what the groups of a cluster have committed: physical offsets, by physical names. A
// group without positions is visited once, with no topic. An error says that some may be missing.
func Every(ctx context.Context, c plugin.Cluster, visit func(g kmsg.ListGroupsResponseGroup, topic string, partition int32, offset int64)) error {
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
			if err := positions(ctx, c, n.ID, some, visit); err != nil {
				return err
			}
		}
	}
	return gaveUp(ctx, c, silent)
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
func positions(ctx context.Context, c plugin.Cluster, node int32, groups []kmsg.ListGroupsResponseGroup, visit func(g kmsg.ListGroupsResponseGroup, topic string, partition int32, offset int64)) error {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.Topics = groups[0].Group, nil
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
				gt.Partitions = append(gt.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{Partition: p.Partition, Offset: p.Offset})
			}
			one.Topics = append(one.Topics, gt)
		}
		r.Groups = []kmsg.OffsetFetchResponseGroup{one}
	}
	for _, rg := range r.Groups {
		if unready(rg.ErrorCode) {
			return fmt.Errorf("offsets of group %q on %s: error %d", rg.Group, c.Name(), rg.ErrorCode)
		}
		at := slices.IndexFunc(groups, func(g kmsg.ListGroupsResponseGroup) bool { return g.Group == rg.Group })
		if at < 0 {
			continue
		}
		visit(groups[at], "", -1, -1)
		for _, t := range rg.Topics {
			for _, p := range t.Partitions {
				if p.Offset >= 0 {
					visit(groups[at], t.Topic, p.Partition, p.Offset)
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
	*kmsg.OffsetFetchRequest
	highest int16
}

// MaxVersion is the limit.
func (a *atMost) MaxVersion() int16 { return a.highest }
