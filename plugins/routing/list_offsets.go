package routing

import (
	"context"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// listOffsets asks the homes. While a move holds a topic the request waits: the old home's answer
// would be out of date when the client uses it.
func (r *Routing) listOffsets(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	if err := r.awaitReads(ctx, req); err != nil {
		return nil, err
	}
	return r.byHome(ctx, req, next)
}
