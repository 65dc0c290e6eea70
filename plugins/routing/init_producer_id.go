package routing

import (
	"context"
	"github.com/sluice-gateway/sluice/core/kafka"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// initProducerID hands out the gateway's own id to an idempotent producer, which is the same on
// every cluster; a broker ignores the id that such a producer had, and so do we. A transactional
// producer gets its id from its home.
func (r *Routing) initProducerID(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.InitProducerIDRequest)
	if (m.ProducerID < 0) != (m.ProducerEpoch < 0) {
		return plugin.Fail(req, kafka.InvalidRequest, "")
	}
	if m.TransactionalID != nil {
		home := r.rules.transaction(*m.TransactionalID)
		resp, err := r.to(ctx, req, next, home)
		if err == nil {
			r.stands(ctx, *m.TransactionalID, home, resp)
		}
		return resp, err
	}
	id, err := r.env.ProducerIDs.Next(ctx)
	if err != nil {
		return nil, err
	}
	resp := m.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.SetVersion(req.Version)
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return plugin.Respond(resp), nil
}
