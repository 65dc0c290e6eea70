package routing

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// A group that has got another home has no members there. To those that it had the move is an
// ordinary rebalance: their next heartbeat says so, they commit what they have processed, which is
// taken, and join; the first to join wait for the others. Until a member has joined again, its
// fetches bring no records: it could not commit them before another member reads them.

// ofMember keeps a member alive as long as a request of it waits: it sends nothing else meanwhile.
func (r *Routing) ofMember(answer row) row {
	return func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
		if r.env.Groups == nil || !r.env.Groups.Several() {
			return answer(ctx, req, next)
		}
		msg, err := req.Body.Peek()
		if err != nil {
			return nil, err
		}
		if group, id := sender(msg); id != "" {
			defer r.env.Groups.Group(group).Asks(id)()
		}
		return answer(ctx, req, next)
	}
}

// sender is the group and the id of the member that sends a request, "" of one that has none.
func sender(msg kmsg.Request) (group, id string) {
	switch m := msg.(type) {
	case *kmsg.JoinGroupRequest:
		return m.Group, m.MemberID
	case *kmsg.SyncGroupRequest:
		return m.Group, m.MemberID
	case *kmsg.HeartbeatRequest:
		return m.Group, m.MemberID
	case *kmsg.ConsumerGroupHeartbeatRequest:
		return m.Group, m.MemberID
	case *kmsg.OffsetCommitRequest:
		return m.Group, m.MemberID
	case *kmsg.TxnOffsetCommitRequest:
		return m.Group, m.MemberID
	}
	return "", ""
}

// joinGroup lets a client join at the group's home.
func (r *Routing) joinGroup(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.JoinGroupRequest)
	if r.env.Groups == nil || !r.env.Groups.Several() {
		return r.atHome(ctx, req, m.Group, false, func(ctx context.Context, home string) (*plugin.Response, error) {
			return r.to(ctx, req, next, home)
		})
	}
	g, own := r.env.Groups.Group(m.Group), member(req, m.MemberID, m.InstanceID, false)
	if m.MemberID != "" {
		g.Claims(own) // it may wait for long, and for another home than that which it is sent to first
	}
	return r.atHome(ctx, req, m.Group, false, func(ctx context.Context, home string) (*plugin.Response, error) {
		if r.misses(req, m.Group, home) {
			return plugin.Fail(req, kafka.NotCoordinator, "")
		}
		if m.InstanceID != nil {
			g.Replaces(*m.InstanceID, m.MemberID)
		}
		resp, a, err := r.join(ctx, req, next, home, g, m)
		if err != nil || a == nil {
			return resp, err
		}
		if strange(kafka.Code(a.ErrorCode)) {
			if !g.Returns(own) {
				g.Left(m.MemberID)
				return resp, nil
			}
			if resp, a, err = r.join(ctx, req, next, home, g, m); err != nil || a == nil {
				return resp, err
			}
		}
		if a.ErrorCode == 0 {
			g.Joins(m.MemberID, member(req, a.MemberID, m.InstanceID, false))
			g.Subscribes(subscribedTo(m))
		}
		return resp, nil
	})
}

// join lets a member join at the group's home when the others have committed what they have
// processed; one of before joins as a new one. The answer is nil where the home gave none.
func (r *Routing) join(ctx context.Context, req *plugin.Request, next plugin.Handler, home string, g *groups.Group, m *kmsg.JoinGroupRequest) (*plugin.Response, *kmsg.JoinGroupResponse, error) {
	sent := req
	if _, stale := g.Stale(m.MemberID); stale {
		id, refused, err := r.introduced(ctx, req, next, home, g, m)
		if err != nil || refused != nil {
			return refused, nil, err
		}
		if !g.Came(m.MemberID, id) && id != "" { // it has left meanwhile
			r.unintroduced(ctx, m.Group, home, id)
			refused, err = plugin.Fail(req, kafka.UnknownMemberID, "")
			return refused, nil, err
		}
		if sent, err = joinAs(req, id); err != nil {
			return nil, nil, err
		}
	}
	if err := g.AwaitMembers(ctx, req.AtGate()); err != nil {
		return nil, nil, err
	}
	resp, err := r.toHome(ctx, sent, next, home)
	if err != nil || resp == nil {
		return resp, nil, err
	}
	out, err := resp.Body.Peek()
	if err != nil {
		return nil, nil, err
	}
	return resp, out.(*kmsg.JoinGroupResponse), nil
}

// joinAs is a request to join by another id.
func joinAs(req *plugin.Request, id string) (*plugin.Request, error) {
	f, m, err := plugin.Edit[*kmsg.JoinGroupRequest](req)
	if err != nil {
		return nil, err
	}
	m.MemberID = id
	return f, nil
}

// introduced is the id of a member of before at the new home, which waits for whom it has given an
// id (KIP-394) before it hands out partitions: so all come in one generation. It is "" where
// clients join without one; then refused is nil, or what the home answers instead.
func (r *Routing) introduced(ctx context.Context, req *plugin.Request, next plugin.Handler, home string, g *groups.Group, m *kmsg.JoinGroupRequest) (id string, refused *plugin.Response, err error) {
	if id = g.Next(m.MemberID); id != "" || m.InstanceID != nil || !kafka.Has(req.Key, req.Version, kafka.MemberIDs) {
		return id, nil, nil
	}
	f, err := joinAs(req, "")
	if err != nil {
		return "", nil, err
	}
	resp, err := r.toHome(ctx, f, next, home)
	if err != nil || resp == nil {
		return "", resp, err
	}
	out, err := resp.Body.Peek()
	if err != nil {
		return "", nil, err
	}
	a := out.(*kmsg.JoinGroupResponse)
	if kafka.Code(a.ErrorCode) != kafka.MemberIDRequired {
		return "", resp, nil
	}
	return a.MemberID, nil, nil
}

// unintroduced tells the new home that a member which it has given an id does not come: it would
// wait for it as long as for one that has died.
func (r *Routing) unintroduced(ctx context.Context, group, home, id string) {
	c := r.env.Cluster(home)
	if c == nil {
		return
	}
	physical := r.env.Groups.Physical(group)
	node, err := c.Coordinator(ctx, kafka.GroupCoordinator, physical)
	if err == nil {
		m := kmsg.NewPtrLeaveGroupRequest()
		x := kmsg.NewLeaveGroupRequestMember()
		m.Group, m.MemberID, x.MemberID = physical, id, id
		m.Members = append(m.Members, x)
		_, err = c.Do(ctx, node, m)
	}
	if err != nil {
		r.log.DebugContext(ctx, "the home of a group waits for a member that has left", "group", group, "cluster", home, "error", err)
	}
}

// subscribedTo are the topics that a member of a group of consumers names when it joins.
func subscribedTo(m *kmsg.JoinGroupRequest) (topics []string) {
	if m.ProtocolType != "consumer" {
		return nil
	}
	for _, p := range m.Protocols {
		topics = append(topics, kafka.SubscribedTopics(p.Metadata)...)
	}
	return topics
}

// syncGroup is answered once the member has its partitions.
func (r *Routing) syncGroup(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.SyncGroupRequest)
	return r.atHome(ctx, req, m.Group, false, func(ctx context.Context, home string) (*plugin.Response, error) {
		if r.misses(req, m.Group, home) {
			return plugin.Fail(req, kafka.NotCoordinator, "")
		}
		several := r.env.Groups != nil && r.env.Groups.Several()
		if several {
			// That the new home does not know it would make it forget its id, and the others wait.
			g := r.env.Groups.Group(m.Group)
			if _, stale := g.Stale(m.MemberID); stale && g.Next(m.MemberID) != m.MemberID {
				return plugin.Fail(req, kafka.RebalanceInProgress, "")
			}
		}
		resp, err := r.toHome(ctx, req, next, home)
		if err != nil || resp == nil || !several {
			return resp, err
		}
		out, err := resp.Body.Peek()
		if err != nil {
			return nil, err
		}
		own := member(req, m.MemberID, m.InstanceID, false)
		switch code := kafka.Code(out.(*kmsg.SyncGroupResponse).ErrorCode); {
		case code == 0:
			r.env.Groups.Group(m.Group).Joined(own)
		case strange(code) && r.env.Groups.Group(m.Group).Returns(own):
			return plugin.Fail(req, kafka.RebalanceInProgress, "")
		}
		return resp, nil
	})
}

// heartbeat is not held by a move.
func (r *Routing) heartbeat(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.HeartbeatRequest)
	if r.env.Groups == nil || !r.env.Groups.Several() {
		return r.to(ctx, req, next, r.groupHome(m.Group))
	}
	g := r.env.Groups.Group(m.Group)
	own := member(req, m.MemberID, m.InstanceID, false)
	if _, stale := g.Stale(m.MemberID); stale {
		return r.rebalance(ctx, req, m.Group)
	}
	ctx, pass := g.Pass(ctx)
	defer pass.Leave()
	if r.misses(req, m.Group, pass.Home) {
		return plugin.Fail(req, kafka.NotCoordinator, "")
	}
	if r.silent(pass.Home) && g.Claims(own) {
		return plugin.Fail(req, 0, "")
	}
	resp, err := r.to(ctx, req, next, pass.Home)
	if _, stale := g.Stale(m.MemberID); stale { // it has moved meanwhile
		return r.rebalance(context.WithoutCancel(ctx), req, m.Group)
	}
	if err != nil || resp == nil {
		return resp, err
	}
	out, err := resp.Body.Peek()
	if err != nil {
		return nil, err
	}
	switch code := kafka.Code(out.(*kmsg.HeartbeatResponse).ErrorCode); {
	case code == 0 || code == kafka.RebalanceInProgress:
		g.Alive(own)
	case strange(code) && g.Returns(own):
		return r.rebalance(ctx, req, m.Group)
	case code == kafka.UnknownMemberID || code == kafka.IllegalGeneration || code == kafka.FencedInstanceID:
		g.Left(m.MemberID)
	}
	return resp, nil
}

// rebalance tells a member of a group to rebalance, once it can commit all that it has processed.
func (r *Routing) rebalance(ctx context.Context, req *plugin.Request, group string) (*plugin.Response, error) {
	if err := r.steady(ctx, req, group); err != nil {
		return nil, err
	}
	return plugin.Fail(req, kafka.RebalanceInProgress, "")
}

// movesFor is for how long what makes a member rebalance waits for the moves of topics.
const movesFor = 1500 * time.Millisecond

// steady waits while topics of a group are on their way to another home, or have just come there:
// members that rebalance meanwhile commit nothing of them.
func (r *Routing) steady(ctx context.Context, req *plugin.Request, group string) error {
	moves := func(topic string) bool {
		t := r.env.Catalog.Topic(topic)
		return t != nil && (t.Before != nil || r.env.Gates.Gate(topic).Held())
	}
	topics := r.env.Groups.Topics(group)
	if slices.ContainsFunc(topics, moves) {
		resume := req.Pause("a topic of the group is being moved", trace.SpanContext{})
		for until := time.Now().Add(movesFor); slices.ContainsFunc(topics, moves) && time.Now().Before(until); {
			if !guard.Sleep(ctx, 20*time.Millisecond) {
				break
			}
		}
		resume()
	}
	return r.env.Groups.Group(group).AwaitPositions(ctx, req.AtGate())
}

// strange is the answer of a coordinator that has never seen a member.
func strange(code kafka.Code) bool {
	return code == kafka.UnknownMemberID || code == kafka.GroupIDNotFound
}

// leaveGroup forgets members that leave. One of before a move leaves by the id that the new home
// has given it, if it has one; else it is not there.
func (r *Routing) leaveGroup(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.LeaveGroupRequest)
	return r.atHome(ctx, req, m.Group, false, func(ctx context.Context, home string) (*plugin.Response, error) {
		if r.env.Groups == nil || !r.env.Groups.Several() {
			return r.to(ctx, req, next, home)
		}
		g := r.env.Groups.Group(m.Group)
		before := map[string]string{} // ids of stale members, by those that are sent
		f, edited, err := plugin.Edit[*kmsg.LeaveGroupRequest](req)
		if err != nil {
			return nil, err
		}
		as := func(id string) string {
			sent := id
			if _, stale := g.Stale(id); stale {
				sent = cmp.Or(g.Next(id), id)
				before[sent] = id
			}
			g.Left(id)
			return sent
		}
		edited.MemberID = as(m.MemberID)
		for i := range edited.Members {
			edited.Members[i].MemberID = as(edited.Members[i].MemberID)
		}
		if len(before) == 0 {
			return r.to(ctx, req, next, home)
		}
		resp, err := r.to(ctx, f, next, home)
		if err != nil || resp == nil {
			return resp, err
		}
		return resp, leftBefore(resp, edited.MemberID, before)
	})
}

// leftBefore makes the answer to members of before a move one by their own ids: that the new home
// does not know them is no error.
func leftBefore(resp *plugin.Response, member string, before map[string]string) error {
	out, err := resp.Body.Edit()
	if err != nil {
		return err
	}
	gone := func(id string, code *int16) string {
		own, stale := before[id]
		if !stale {
			return id
		}
		if kafka.Code(*code) == kafka.UnknownMemberID {
			*code = 0
		}
		return own
	}
	a := out.(*kmsg.LeaveGroupResponse)
	gone(member, &a.ErrorCode)
	for i := range a.Members {
		x := &a.Members[i]
		x.MemberID = gone(x.MemberID, &x.ErrorCode)
	}
	return nil
}
