package routing

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// offsetCommit stores virtual offsets at the group's home. A broker refuses commits for topics it
// doesn't know, so the home gets a hidden stub of a topic that lives elsewhere only.
func (r *Routing) offsetCommit(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.OffsetCommitRequest)
	return r.atHome(ctx, req, m.Group, true, func(ctx context.Context, home string) (*plugin.Response, error) {
		if r.env.Groups == nil || !r.env.Groups.Several() {
			return r.commit(ctx, req, next, home)
		}
		if m.MemberID == "" {
			if err := r.membersFirst(ctx, req, m.Group); err != nil {
				return nil, err
			}
		}
		g := r.env.Groups.Group(m.Group)
		own, stale := g.Stale(m.MemberID)
		resp, a, err := r.commitAs(ctx, req, next, home, stale)
		if err != nil || a == nil {
			return resp, err
		}
		if !stale && m.MemberID != "" && strangers(a) && g.Returns(member(req, m.MemberID, m.InstanceID, false)) {
			stale = true
			own, _ = g.Stale(m.MemberID)
			if resp, a, err = r.commitAs(ctx, req, next, home, stale); err != nil || a == nil {
				return resp, err
			}
		}
		switch {
		case stale:
			late(a, own)
		case r.hasMoved(m.Group):
			unknownMember(a)
		}
		g.Committed(r.taken(m, a))
		return resp, nil
	})
}

// commitAs sends a commit, of a member of before the last move as that of nobody.
func (r *Routing) commitAs(ctx context.Context, req *plugin.Request, next plugin.Handler, home string, stale bool) (*plugin.Response, *kmsg.OffsetCommitResponse, error) {
	if stale {
		f, edited, err := plugin.Edit[*kmsg.OffsetCommitRequest](req)
		if err != nil {
			return nil, nil, err
		}
		req = f
		edited.Generation, edited.MemberID, edited.InstanceID = -1, "", nil
	}
	resp, err := r.commit(ctx, req, next, home)
	if err != nil || resp == nil {
		return resp, nil, err
	}
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, nil, err
	}
	return resp, out.(*kmsg.OffsetCommitResponse), nil
}

// strangers reports that all of a commit was refused because the home does not know the member, or
// the group.
func strangers(a *kmsg.OffsetCommitResponse) bool {
	n := 0
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			if code := kafka.Code(p.ErrorCode); !strange(code) && code != kafka.IllegalGeneration {
				return false
			}
			n++
		}
	}
	return n > 0
}

// commit sends a commit, or parts of it, to a cluster.
func (r *Routing) commit(ctx context.Context, req *plugin.Request, next plugin.Handler, home string) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	if len(msg.(*kmsg.OffsetCommitRequest).Topics) == 0 {
		return r.to(ctx, req, next, home)
	}
	return forkItems(ctx, r, req, next,
		func(m *kmsg.OffsetCommitRequest) *[]kmsg.OffsetCommitRequestTopic { return &m.Topics },
		func(t *kmsg.OffsetCommitRequestTopic) string { return r.commitsAt(ctx, home, t.Topic, t.TopicID) }, nil)
}

// late tells a member of before a move, whose commits were sent as those of nobody, that the group
// has members already: it is to join first, which is no error to clients that commit again.
func late(a *kmsg.OffsetCommitResponse, own groups.Member) {
	code := kafka.RebalanceInProgress
	if own.Consumer {
		code = kafka.StaleMemberEpoch
	}
	recode(a, func(c kafka.Code) kafka.Code {
		if c == kafka.UnknownMemberID || c == kafka.IllegalGeneration {
			return code
		}
		return c
	})
}

// unknownMember says to a member that its group does not know it, where the home does not know the
// group: clients take that for the end of it.
func unknownMember(a *kmsg.OffsetCommitResponse) {
	recode(a, func(c kafka.Code) kafka.Code {
		if c == kafka.GroupIDNotFound {
			return kafka.UnknownMemberID
		}
		return c
	})
}

func recode(a *kmsg.OffsetCommitResponse, to func(kafka.Code) kafka.Code) {
	for i := range a.Topics {
		for j := range a.Topics[i].Partitions {
			p := &a.Topics[i].Partitions[j]
			p.ErrorCode = int16(to(kafka.Code(p.ErrorCode)))
		}
	}
}

// taken are the positions of a commit that the home has taken.
func (r *Routing) taken(m *kmsg.OffsetCommitRequest, a *kmsg.OffsetCommitResponse) map[groups.Partition]groups.Position {
	ok := map[groups.Partition]bool{}
	for _, t := range a.Topics {
		topic := r.topic(t.Topic, t.TopicID)
		if topic == nil {
			continue
		}
		for _, p := range t.Partitions {
			ok[groups.Partition{Topic: topic.Name, Partition: p.Partition}] = p.ErrorCode == 0
		}
	}
	out := map[groups.Partition]groups.Position{}
	for _, t := range m.Topics {
		topic := r.topic(t.Topic, t.TopicID)
		if topic == nil {
			continue
		}
		for _, p := range t.Partitions {
			if at := (groups.Partition{Topic: topic.Name, Partition: p.Partition}); ok[at] {
				out[at] = groups.Position{Offset: p.Offset, Epoch: p.LeaderEpoch, Metadata: p.Metadata}
			}
		}
	}
	return out
}

// commitsAt makes sure that a group's home takes commits for a topic, and returns the home, or ""
// if clients may not see the topic.
func (r *Routing) commitsAt(ctx context.Context, home, topic string, id [16]byte) string {
	if _, shown := r.homeOf(topic, id); !shown {
		return ""
	}
	if known := r.topic(topic, id); known != nil {
		r.stubs.ensure(ctx, home, known)
	}
	return home
}
