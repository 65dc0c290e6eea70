package routing

import (
	"context"
	"errors"
	"net"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// sendHome sends a request, or a part of it, to the homes of groups.
type sendHome func(ctx context.Context, home func(group string) string) (*plugin.Response, error)

// atHomes waits while moves hold the groups that a request names, and sends it to their homes. If
// one of them gets another home before it is answered, it is sent again. writes says that it
// changes positions.
func (r *Routing) atHomes(ctx context.Context, req *plugin.Request, names []string, writes bool, send sendHome) (*plugin.Response, error) {
	resp, err := r.atKnown(ctx, req, names, writes, send)
	if err == nil && resp != nil && r.env.Groups != nil {
		r.see(ctx, names...) // now that its home has taken it
	}
	return resp, err
}

// atKnown is atHomes for a request that makes no group. One whose home can't be reached is noted
// all the same: else it would not get another home.
func (r *Routing) atKnown(ctx context.Context, req *plugin.Request, names []string, writes bool, send sendHome) (*plugin.Response, error) {
	if r.env.Groups == nil || !r.env.Groups.Several() {
		return send(ctx, r.groupHome)
	}
	for _, name := range names {
		if r.silent(r.groupHome(name)) {
			r.see(ctx, name)
		}
	}
	var back map[string]*groups.Pass
	for {
		in, passes, err := r.enter(ctx, req, names, writes, back)
		if err != nil {
			return nil, err
		}
		resp, err := send(in, func(group string) string {
			if p := passes[group]; p != nil {
				return p.Home
			}
			return r.groupHome(group)
		})
		if err == nil || !errors.Is(context.Cause(in), groups.ErrMoved) {
			leaveAll(passes)
			return resp, err
		}
		back = passes
	}
}

// see makes the catalog know groups that are used, or that have to have a home that answers.
func (r *Routing) see(ctx context.Context, names ...string) {
	if err := r.env.Groups.See(ctx, names...); err != nil {
		r.log.WarnContext(ctx, "groups not noted", "error", err)
	}
}

// enter takes a pass of each group; back are those that the request has had before it was to be
// sent again.
func (r *Routing) enter(ctx context.Context, req *plugin.Request, names []string, writes bool, back map[string]*groups.Pass) (context.Context, map[string]*groups.Pass, error) {
	passes := make(map[string]*groups.Pass, len(names))
	for _, name := range names {
		if passes[name] != nil {
			continue
		}
		before := back[name]
		delete(back, name)
		in, p, err := r.env.Groups.Group(name).Enter(ctx, req.AtGate(), writes, before)
		if err != nil {
			leaveAll(passes)
			leaveAll(back)
			return ctx, nil, err
		}
		ctx, passes[name] = in, p
	}
	return ctx, passes, nil
}

func leaveAll(passes map[string]*groups.Pass) {
	for _, p := range passes {
		p.Leave()
	}
}

// toHome sends a request to the home of its group. What the home answers once the group has another
// one is no answer.
func (r *Routing) toHome(ctx context.Context, req *plugin.Request, next plugin.Handler, home string) (*plugin.Response, error) {
	resp, err := r.to(ctx, req, next, home)
	if errors.Is(context.Cause(ctx), groups.ErrMoved) {
		return nil, groups.ErrMoved
	}
	return resp, err
}

// atHome is atHomes for a request of one group.
func (r *Routing) atHome(ctx context.Context, req *plugin.Request, group string, writes bool, send func(ctx context.Context, home string) (*plugin.Response, error)) (*plugin.Response, error) {
	return r.atHomes(ctx, req, []string{group}, writes, func(ctx context.Context, home func(string) string) (*plugin.Response, error) {
		return send(ctx, home(group))
	})
}

// member is the sender of a request as a member; instance is nil of one that is not static.
func member(req *plugin.Request, id string, instance *string, consumer bool) groups.Member {
	m := groups.Member{ID: id, Client: req.ClientID, Host: hostOf(req.Session), Consumer: consumer}
	if instance != nil {
		m.Instance = *instance
	}
	return m
}

// hostOf is where a client connects from.
func hostOf(s *plugin.Session) string {
	if s.Remote == nil {
		return ""
	}
	host, _, _ := net.SplitHostPort(s.Remote.String())
	return host
}

// misses reports that a client has missed a move of its group: it is connected to a node of another
// cluster than the one where the group lives now.
func (r *Routing) misses(req *plugin.Request, group, home string) bool {
	if req.Session.Node == plugin.AnyNode || req.Session.Cluster == home || r.env.Groups == nil {
		return false
	}
	known := r.env.Catalog.Group(group)
	return known != nil && known.Generation > 0
}

// silent reports that the home of a group can't be reached: what its members say is answered here,
// so that they go on until there is another one.
func (r *Routing) silent(home string) bool {
	c := r.env.Cluster(home)
	return len(r.env.Clusters) > 1 && c != nil && !c.Reachable()
}

// findCoordinator asks the home of each group or transactional id.
func (r *Routing) findCoordinator(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.FindCoordinatorRequest)
	keys := m.CoordinatorKeys
	if !kafka.Has(req.Key, req.Version, kafka.Batched) {
		keys = []string{m.CoordinatorKey}
	}
	find := func(ctx context.Context, home func(string) string) (*plugin.Response, error) {
		if !kafka.Has(req.Key, req.Version, kafka.Batched) {
			return r.to(ctx, req, next, home(m.CoordinatorKey))
		}
		return forkItems(ctx, r, req, next,
			func(m *kmsg.FindCoordinatorRequest) *[]string { return &m.CoordinatorKeys },
			func(k *string) string { return home(*k) }, nil)
	}
	if m.CoordinatorType == kafka.TransactionCoordinator {
		return find(ctx, r.rules.transaction)
	}
	if m.CoordinatorType != kafka.GroupCoordinator {
		return find(ctx, r.groupHome)
	}
	if r.env.Groups != nil && r.env.Groups.Several() {
		for _, group := range keys {
			defer r.env.Groups.Group(group).Seeks(req.ClientID, hostOf(req.Session))()
		}
	}
	return r.atKnown(ctx, req, keys, false, find)
}

// listGroups asks every cluster and shows of each the groups that have their home there: mirrored
// copies of others are hidden. Those whose home can't be reached are listed as far as they are
// known.
func (r *Routing) listGroups(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	resp, err := r.each(ctx, req, next, func(cluster string, resp *plugin.Response) error {
		msg, err := resp.Body.Edit()
		if err != nil {
			return err
		}
		m := msg.(*kmsg.ListGroupsResponse)
		kept := m.Groups[:0]
		for _, g := range m.Groups {
			if r.groupHome(g.Group) == cluster {
				kept = append(kept, g)
			}
		}
		m.Groups = kept
		return nil
	})
	if err != nil || r.env.Groups == nil || !r.env.Groups.Several() {
		return resp, err
	}
	asked, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	if a := asked.(*kmsg.ListGroupsRequest); len(a.StatesFilter)+len(a.TypesFilter) > 0 {
		return resp, nil
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.ListGroupsResponse)
	for _, g := range r.env.Catalog.Groups() {
		if r.silent(g.Home) {
			x := kmsg.NewListGroupsResponseGroup()
			x.Group, x.ProtocolType, x.GroupState = g.Name, "consumer", "Unknown"
			m.Groups = append(m.Groups, x)
		}
	}
	return resp, nil
}

// describeGroups asks the homes of the groups.
func (r *Routing) describeGroups(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return ofGroups(ctx, r, req, next, false, func(m *kmsg.DescribeGroupsRequest) *[]string { return &m.Groups }, func(g *string) string { return *g })
}

// consumerGroupDescribe asks the homes of KIP-848 groups.
func (r *Routing) consumerGroupDescribe(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return ofGroups(ctx, r, req, next, false, func(m *kmsg.ConsumerGroupDescribeRequest) *[]string { return &m.Groups }, func(g *string) string { return *g })
}

// offsetFetch asks the homes of the groups.
func (r *Routing) offsetFetch(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	if !kafka.Has(req.Key, req.Version, kafka.Batched) {
		_, group, _ := kafka.CoordinatorKey(req.Body)
		return r.atHome(ctx, req, group, false, func(ctx context.Context, home string) (*plugin.Response, error) {
			return r.toHome(ctx, req, next, home)
		})
	}
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, g := range msg.(*kmsg.OffsetFetchRequest).Groups {
		names = append(names, g.Group)
	}
	return r.atKnown(ctx, req, names, false, func(ctx context.Context, home func(string) string) (*plugin.Response, error) {
		sent, err := r.fetchedByNobody(req)
		if err != nil {
			return nil, err
		}
		return forkItems(ctx, r, sent, next,
			func(m *kmsg.OffsetFetchRequest) *[]kmsg.OffsetFetchRequestGroup { return &m.Groups },
			func(g *kmsg.OffsetFetchRequestGroup) string { return home(g.Group) }, nil)
	})
}

// fetchedByNobody leaves out the names of KIP-848 members of before a move, who ask for the
// positions of partitions that they have just got, and will give up again: that their group's home
// does not know them is an error that their clients show.
func (r *Routing) fetchedByNobody(req *plugin.Request) (*plugin.Request, error) {
	msg, err := req.Body.Peek()
	if err != nil || r.env.Groups == nil || !r.env.Groups.Several() {
		return req, err
	}
	stale := func(g kmsg.OffsetFetchRequestGroup) bool {
		if g.MemberID == nil {
			return false
		}
		_, stale := r.env.Groups.Group(g.Group).Stale(*g.MemberID)
		return stale
	}
	if !slices.ContainsFunc(msg.(*kmsg.OffsetFetchRequest).Groups, stale) {
		return req, nil
	}
	sent, m, err := plugin.Edit[*kmsg.OffsetFetchRequest](req)
	if err != nil {
		return nil, err
	}
	for i := range m.Groups {
		if g := &m.Groups[i]; stale(*g) {
			g.MemberID, g.MemberEpoch = nil, -1
		}
	}
	return sent, nil
}

// deleteGroups asks the homes of the groups. What they have deleted is deleted where it was
// mirrored.
func (r *Routing) deleteGroups(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	resp, err := ofGroups(ctx, r, req, next, true, func(m *kmsg.DeleteGroupsRequest) *[]string { return &m.Groups }, func(g *string) string { return *g })
	if err != nil || resp == nil {
		return resp, err
	}
	if err := r.forgetShares(ctx, resp); err != nil || r.env.Groups == nil {
		return resp, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	for _, g := range msg.(*kmsg.DeleteGroupsResponse).Groups {
		if g.ErrorCode == 0 && r.env.Catalog.Group(g.Group) != nil {
			own := r.env.Groups.Group(g.Group)
			var all []groups.Partition
			for p := range own.Positions() {
				all = append(all, p)
			}
			own.Deleted(all)
		}
	}
	return resp, nil
}

// membersFirst lets a request of somebody who is no member of groups wait until those that were
// members before a move have joined at the new home, which takes the groups for empty until then.
func (r *Routing) membersFirst(ctx context.Context, req *plugin.Request, names ...string) error {
	if r.env.Groups == nil || !r.env.Groups.Several() {
		return nil
	}
	for _, name := range names {
		if err := r.env.Groups.Group(name).AwaitJoined(ctx, req.AtGate()); err != nil {
			return err
		}
	}
	return nil
}

// ofGroups forks a request that lists groups by their homes.
func ofGroups[M any, PM interface {
	*M
	kmsg.Request
}, T any](ctx context.Context, r *Routing, req *plugin.Request, next plugin.Handler, writes bool, list func(PM) *[]T, name func(*T) string) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	items := *list(msg.(PM))
	names := make([]string, len(items))
	for i := range items {
		names[i] = name(&items[i])
	}
	return r.atKnown(ctx, req, names, writes, func(ctx context.Context, home func(string) string) (*plugin.Response, error) {
		if err := r.membersFirst(ctx, req, names...); err != nil {
			return nil, err
		}
		return forkItems(ctx, r, req, next, list, func(x *T) string { return home(name(x)) }, nil)
	})
}
