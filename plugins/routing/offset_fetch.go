package routing

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// offsetFetch asks the homes of the groups.
func (r *Routing) offsetFetch(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	if !kafka.Has(req.Key, req.Version, kafka.Batched) {
		return r.group(ctx, req, next)
	}
	return forkItems(ctx, r, req, next,
		func(m *kmsg.OffsetFetchRequest) *[]kmsg.OffsetFetchRequestGroup { return &m.Groups },
		func(g *kmsg.OffsetFetchRequestGroup) string { return r.rules.group(g.Group) }, nil)
}
