package positions

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Members are those that a coordinator has of a group.
type Members struct {
	classic  []kmsg.LeaveGroupRequestMember
	consumer []string // KIP-848
}

// Count is their number.
func (m Members) Count() int { return len(m.classic) + len(m.consumer) }

// MembersOf asks a cluster for the members of a group; one that it does not know has none.
func MembersOf(ctx context.Context, c plugin.Cluster, group string) (m Members, err error) {
	node, err := c.Coordinator(ctx, kafka.GroupCoordinator, group)
	if err != nil {
		return m, err
	}
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	resp, err := c.Do(ctx, node, req)
	if err != nil {
		return m, err
	}
	for _, g := range resp.(*kmsg.DescribeGroupsResponse).Groups {
		if code := kafka.Code(g.ErrorCode); code != 0 && code != kafka.GroupIDNotFound {
			return m, fmt.Errorf("members of group %q: error %d (%s)", group, g.ErrorCode, code.Name())
		}
		for _, x := range g.Members {
			l := kmsg.NewLeaveGroupRequestMember()
			l.MemberID, l.InstanceID = x.MemberID, x.InstanceID
			l.Reason = kmsg.StringPtr("the group has moved to another cluster")
			m.classic = append(m.classic, l)
		}
	}
	if len(m.classic) > 0 || !offers(c, kmsg.ConsumerGroupDescribe) {
		return m, nil
	}
	next := kmsg.NewPtrConsumerGroupDescribeRequest()
	next.Groups = []string{group}
	resp, err = c.Do(ctx, node, next)
	if err != nil {
		return m, err
	}
	for _, g := range resp.(*kmsg.ConsumerGroupDescribeResponse).Groups {
		if g.ErrorCode != 0 {
			continue // not one of KIP-848
		}
		for _, x := range g.Members {
			m.consumer = append(m.consumer, x.MemberID)
		}
	}
	return m, nil
}

// offers reports that a cluster has an API.
func offers(c plugin.Cluster, key kmsg.Key) bool {
	if v := c.Topology().Versions; v != nil {
		for _, k := range v.ApiKeys {
			if k.ApiKey == key.Int16() {
				return true
			}
		}
	}
	return false
}

// Dismiss lets the members of a group leave a cluster, as an administrator can, and returns how
// many there were.
func Dismiss(ctx context.Context, c plugin.Cluster, group string) (n int, err error) {
	m, err := MembersOf(ctx, c, group)
	if err != nil || m.Count() == 0 {
		return 0, err
	}
	node, err := c.Coordinator(ctx, kafka.GroupCoordinator, group)
	if err != nil {
		return 0, err
	}
	if len(m.classic) > 0 {
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group, req.Members = group, m.classic
		if _, err := c.Do(ctx, node, req); err != nil {
			return 0, err
		}
	}
	for _, id := range m.consumer {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = group, id, -1
		if _, err := c.Do(ctx, node, req); err != nil {
			return 0, err
		}
	}
	return m.Count(), nil
}
