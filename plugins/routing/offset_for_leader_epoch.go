package routing

import (
	"context"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// offsetForLeaderEpoch asks the homes; epochs of earlier generations are answered further down, by
// the lineage.
func (r *Routing) offsetForLeaderEpoch(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	if err := r.awaitReads(ctx, req); err != nil {
		return nil, err
	}
	return r.byHome(ctx, req, next)
}
