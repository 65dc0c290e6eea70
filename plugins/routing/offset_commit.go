package routing

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

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
	home := r.rules.group(m.Group)
	if len(m.Topics) == 0 {
		return r.to(ctx, req, next, home)
	}
	return forkItems(ctx, r, req, next,
		func(m *kmsg.OffsetCommitRequest) *[]kmsg.OffsetCommitRequestTopic { return &m.Topics },
		func(t *kmsg.OffsetCommitRequestTopic) string { return r.commitsAt(ctx, home, t.Topic, t.TopicID) }, nil)
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
