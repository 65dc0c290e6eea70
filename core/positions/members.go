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
	err = coordinated(ctx, c, group, func(node int32) error {
		m, err = membersAt(ctx, c, node, group)
		return err
	})
	return m, err
}

// membersAt asks the coordinator of a group for its members.
func membersAt(ctx context.Context, c plugin.Cluster, node int32, group string) (m Members, err error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	resp, err := c.Do(ctx, node, req)
	if err != nil {
		return m, err
	}
	for _, g := range resp.(*kmsg.DescribeGroupsResponse).Groups {
		if code := kafka.Code(g.ErrorCode); code != 0 && code != kafka.GroupIDNotFound {
			return m, &refused{code, fmt.Sprintf("members of group %q", group)}
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
	err = coordinated(ctx, c, group, func(node int32) error {
		m, err := membersAt(ctx, c, node, group)
		if n = m.Count(); err != nil || n == 0 {
			return err
		}
		return m.leave(ctx, c, node, group)
	})
	return n, err
}

// leave lets members leave their group.
func (m Members) leave(ctx context.Context, c plugin.Cluster, node int32, group string) error {
	if len(m.classic) > 0 {
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group, req.Members = group, m.classic
		if _, err := c.Do(ctx, node, req); err != nil {
			return err
		}
	}
	for _, id := range m.consumer {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = group, id, -1
		if _, err := c.Do(ctx, node, req); err != nil {
			return err
		}
	}
	return nil
}
