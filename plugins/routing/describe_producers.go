package routing

import (
	"context"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// describeProducers asks the homes of the topics.
func (r *Routing) describeProducers(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return r.byHome(ctx, req, next)
}
