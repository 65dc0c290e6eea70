package routing

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// A share group (KIP-932) lives in two places. Its members are known to its coordinator, at the
// group's home. What they have acquired and acknowledged of a topic is known to the leaders of the
// topic's partitions, and to them alone: it is at the topic's home, whichever cluster coordinates
// the group. So records come from the topic's home (share_fetch.go), and when the topic moves,
// where the group is in it moves behind it (share_carry.go).

// shareGroupHeartbeat goes to the group's home, whose coordinator assigns partitions: it must know
// the topics that members subscribe to, as stubs where they live elsewhere.
func (r *Routing) shareGroupHeartbeat(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.ShareGroupHeartbeatRequest)
	r.subscribes(ctx, req.Session, &kmsg.ConsumerGroupHeartbeatRequest{Group: m.GroupID, MemberID: m.MemberID, MemberEpoch: m.MemberEpoch, SubscribedTopicNames: m.SubscribedTopicNames})
	return r.to(ctx, req, next, r.groupHome(m.GroupID))
}

// shareGroupDescribe asks the homes of the groups.
func (r *Routing) shareGroupDescribe(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return forkItems(ctx, r, req, next,
		func(m *kmsg.ShareGroupDescribeRequest) *[]string { return &m.GroupIDs },
		func(g *string) string { return r.groupHome(*g) }, nil)
}

// forgetShares forgets the share groups that were deleted at their homes, with what other clusters
// know of them.
func (r *Routing) forgetShares(ctx context.Context, resp *plugin.Response) error {
	msg, err := resp.Body.Peek()
	if err != nil {
		return err
	}
	deleted := map[string]bool{}
	for _, g := range msg.(*kmsg.DeleteGroupsResponse).Groups {
		deleted[g.Group] = g.ErrorCode == 0
	}
	forgotten := map[string]bool{}
	for _, key := range r.env.Catalog.Shares() {
		if deleted[key.Group] {
			forgotten[key.Group] = true
			if err := r.shares.forget(ctx, key); err != nil {
				return err
			}
		}
	}
	for _, group := range sortedKeys(forgotten) {
		for _, c := range r.env.Clusters {
			if c.Name() == r.groupHome(group) || !c.Reachable() {
				continue
			}
			m := kmsg.NewPtrDeleteGroupsRequest()
			m.Groups = []string{group}
			if _, err := r.shares.ask(ctx, c.Name(), plugin.AnyNode, m); err != nil {
				r.log.WarnContext(ctx, "what a cluster knows of a share group was not deleted with it", "group", group, "cluster", c.Name(), "error", err)
			}
		}
	}
	return nil
}

// shareVerdict is what becomes of a topic that a share session on a cluster names.
func (r *Routing) shareVerdict(cluster string, t *catalog.Topic) verdictKind {
	if t == nil {
		return unknown
	}
	home, shown := r.homeOfKnown(t)
	switch {
	case !shown:
		return unknown
	case t.Before != nil:
		return quiet
	case home != cluster:
		return elsewhere
	}
	return serve
}

// shareRefused is the code of a partition that is not served.
func shareRefused(v verdictKind) kafka.Code {
	if v == unknown {
		return kafka.UnknownTopicID
	}
	return kafka.NotLeaderOrFollower
}

// failShare refuses a ShareFetch or ShareAcknowledge as a whole, naming no partition.
func failShare(req *plugin.Request, code kafka.Code) *plugin.Response {
	if req.Key == kmsg.ShareAcknowledge {
		m := kmsg.NewPtrShareAcknowledgeResponse()
		m.Version, m.ErrorCode = req.Version, int16(code)
		return plugin.Respond(m)
	}
	m := kmsg.NewPtrShareFetchResponse()
	m.Version, m.ErrorCode = req.Version, int16(code)
	return plugin.Respond(m)
}
