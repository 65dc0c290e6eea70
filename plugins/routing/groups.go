package routing

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// group sends a request of one group to the group's home.
func (r *Routing) group(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	_, group, _ := kafka.CoordinatorKey(req.Body)
	return r.to(ctx, req, next, r.rules.group(group))
}

// findCoordinator asks the home of each group or transactional id.
func (r *Routing) findCoordinator(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.FindCoordinatorRequest)
	home := r.rules.group
	if m.CoordinatorType == kafka.TransactionCoordinator {
		home = r.rules.transaction
	}
	if !kafka.Has(req.Key, req.Version, kafka.Batched) {
		return r.to(ctx, req, next, home(m.CoordinatorKey))
	}
	return forkItems(ctx, r, req, next,
		func(m *kmsg.FindCoordinatorRequest) *[]string { return &m.CoordinatorKeys },
		func(k *string) string { return home(*k) }, nil)
}

// listGroups asks every cluster and shows of each the groups that have their home there: mirrored
// copies of others are hidden.
func (r *Routing) listGroups(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return r.each(ctx, req, next, func(cluster string, resp *plugin.Response) error {
		msg, err := resp.Body.Edit()
		if err != nil {
			return err
		}
		m := msg.(*kmsg.ListGroupsResponse)
		kept := m.Groups[:0]
		for _, g := range m.Groups {
			if r.rules.group(g.Group) == cluster {
				kept = append(kept, g)
			}
		}
		m.Groups = kept
		return nil
	})
}

// describeGroups asks the homes of the groups.
func (r *Routing) describeGroups(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return forkItems(ctx, r, req, next,
		func(m *kmsg.DescribeGroupsRequest) *[]string { return &m.Groups },
		func(g *string) string { return r.rules.group(*g) }, nil)
}

// deleteGroups asks the homes of the groups.
func (r *Routing) deleteGroups(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	resp, err := forkItems(ctx, r, req, next,
		func(m *kmsg.DeleteGroupsRequest) *[]string { return &m.Groups },
		func(g *string) string { return r.rules.group(*g) }, nil)
	if err != nil || resp == nil {
		return resp, err
	}
	return resp, r.forgetShares(ctx, resp)
}

// consumerGroupDescribe asks the homes of KIP-848 groups.
func (r *Routing) consumerGroupDescribe(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return forkItems(ctx, r, req, next,
		func(m *kmsg.ConsumerGroupDescribeRequest) *[]string { return &m.Groups },
		func(g *string) string { return r.rules.group(*g) }, nil)
}
