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
	for _, t := range m.Topics {
		if known := r.topic(t.Topic, t.TopicID); known != nil {
			r.stubs.ensure(ctx, home, known)
		}
	}
	return r.to(ctx, req, next, home)
}
