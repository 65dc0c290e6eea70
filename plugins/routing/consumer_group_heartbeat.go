package routing

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// movedInterval is how long a KIP-848 member waits for its next heartbeat, while it gives up what
// it has, and while partitions are handed out at the new home: each step takes one.
const movedInterval = 500 // ms

// overNext answers the heartbeat of a KIP-848 member that has not joined since its group has moved:
// first it gives up its partitions, and commits, then it joins anew.
func overNext(g *groups.Group, m *kmsg.ConsumerGroupHeartbeatRequest, own groups.Member) kmsg.Response {
	resp := m.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	if m.Topics != nil {
		g.Owns(own.ID, len(m.Topics) > 0)
	}
	if g.Bare(own.ID) {
		g.Came(own.ID, "")
	}
	if !g.Gathers() { // it may come back by another id
		g.Left(own.ID)
		resp.ErrorCode = int16(kafka.UnknownMemberID)
		return resp
	}
	resp.MemberID, resp.MemberEpoch, resp.HeartbeatIntervalMillis = &own.ID, m.MemberEpoch, movedInterval
	a := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
	resp.Assignment = &a
	return resp
}

// goOver answers with overNext, once the member can commit all that it has processed.
func (r *Routing) goOver(ctx context.Context, req *plugin.Request, g *groups.Group, m *kmsg.ConsumerGroupHeartbeatRequest, own groups.Member) (*plugin.Response, error) {
	if err := r.steady(ctx, req, m.Group); err != nil {
		return nil, err
	}
	return plugin.Respond(overNext(g, m, own)), nil
}

// quietNext answers the heartbeat of a KIP-848 member while the group's home can't be reached.
func quietNext(m *kmsg.ConsumerGroupHeartbeatRequest) kmsg.Response {
	resp := m.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	resp.MemberID, resp.MemberEpoch, resp.HeartbeatIntervalMillis = &m.MemberID, m.MemberEpoch, 1000
	return resp
}

// consumerGroupHeartbeat goes to the group's home, whose coordinator assigns partitions (KIP-848).
// To join waits for a move, to stay does not.
func (r *Routing) consumerGroupHeartbeat(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.ConsumerGroupHeartbeatRequest)
	if r.env.Groups == nil || !r.env.Groups.Several() {
		return r.to(ctx, req, next, r.groupHome(m.Group))
	}
	g := r.env.Groups.Group(m.Group)
	own := member(req, m.MemberID, m.InstanceID, true)
	topics := subscribed(req.Session, m)
	g.Subscribes(topics.names)
	if m.MemberEpoch <= 0 {
		return r.atHome(ctx, req, m.Group, false, func(ctx context.Context, home string) (*plugin.Response, error) {
			if m.MemberEpoch < 0 {
				g.Left(m.MemberID)
				return r.to(ctx, req, next, home)
			}
			if m.InstanceID != nil {
				g.Replaces(*m.InstanceID, m.MemberID)
			}
			g.Came(own.ID, "")
			if r.misses(req, m.Group, home) {
				return plugin.Fail(req, kafka.NotCoordinator, "")
			}
			if err := g.AwaitMembers(ctx, req.AtGate()); err != nil {
				return nil, err
			}
			r.bring(ctx, m, topics, home)
			resp, err := r.toHome(ctx, req, next, home)
			if err == nil && resp != nil {
				err = r.heardNext(req, g, m, resp)
			}
			return resp, err
		})
	}
	if _, stale := g.Stale(m.MemberID); stale {
		return r.goOver(ctx, req, g, m, own)
	}
	ctx, pass := g.Pass(ctx)
	defer pass.Leave()
	if r.misses(req, m.Group, pass.Home) {
		return plugin.Fail(req, kafka.NotCoordinator, "")
	}
	if r.silent(pass.Home) && g.Claims(own) {
		return plugin.Respond(quietNext(m)), nil
	}
	r.bring(ctx, m, topics, pass.Home)
	resp, err := r.to(ctx, req, next, pass.Home)
	if _, stale := g.Stale(m.MemberID); stale { // it has moved meanwhile
		return r.goOver(context.WithoutCancel(ctx), req, g, m, own)
	}
	if err == nil && resp != nil {
		err = r.heardNext(req, g, m, resp)
	}
	if _, stale := g.Stale(m.MemberID); stale { // it turned out to be of before
		return r.goOver(ctx, req, g, m, own)
	}
	return resp, err
}

// heardNext notes what the coordinator has said to a KIP-848 member. At a home that never saw the
// group it says that there is none, which ends consumers for good: there the member is unknown.
func (r *Routing) heardNext(req *plugin.Request, g *groups.Group, m *kmsg.ConsumerGroupHeartbeatRequest, resp *plugin.Response) error {
	out, err := resp.Body.Peek()
	if err != nil {
		return err
	}
	a := out.(*kmsg.ConsumerGroupHeartbeatResponse)
	switch code := kafka.Code(a.ErrorCode); {
	case code == 0 && a.MemberEpoch > 0 && a.MemberID != nil:
		own := member(req, *a.MemberID, m.InstanceID, true)
		if m.MemberEpoch == 0 {
			g.Joined(own)
		} else {
			g.Alive(own)
		}
		if m.Topics != nil { // else they are those of before
			g.Owns(own.ID, len(m.Topics) > 0)
		}
		if a.Assignment != nil && len(a.Assignment.Topics) > 0 {
			g.Owns(own.ID, true)
		}
		if g.Settles() && a.HeartbeatIntervalMillis > movedInterval {
			edited, err := resp.Body.Edit()
			if err != nil {
				return err
			}
			edited.(*kmsg.ConsumerGroupHeartbeatResponse).HeartbeatIntervalMillis = movedInterval
		}
	case code == 0 && m.MemberEpoch > 0:
		g.Alive(member(req, m.MemberID, m.InstanceID, true))
	case strange(code) && m.MemberEpoch > 0 && g.Returns(member(req, m.MemberID, m.InstanceID, true)):
	case code == kafka.GroupIDNotFound && m.MemberEpoch > 0 && r.hasMoved(m.Group):
		edited, err := resp.Body.Edit()
		if err != nil {
			return err
		}
		a = edited.(*kmsg.ConsumerGroupHeartbeatResponse)
		a.ErrorCode, a.ErrorMessage = int16(kafka.UnknownMemberID), nil
		fallthrough
	case code == kafka.UnknownMemberID, code == kafka.FencedMemberEpoch:
		g.Left(m.MemberID)
	}
	return nil
}

// hasMoved reports a group that has had another home.
func (r *Routing) hasMoved(group string) bool {
	known := r.env.Catalog.Group(group)
	return known != nil && known.Generation > 0
}
