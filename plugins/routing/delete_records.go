package routing

import (
	"context"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// deleteRecords deletes at the homes. Replicators don't copy deletes, so copies keep the records
// until their own retention.
func (r *Routing) deleteRecords(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	if err := r.awaitReads(ctx, req); err != nil {
		return nil, err
	}
	return r.byHome(ctx, req, next)
}
