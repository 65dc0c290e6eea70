package routing

import (
	"context"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// byHome forks a request that lists partitions by the homes of their topics. What clients may not
// see is answered as unknown, without asking anybody.
func (r *Routing) byHome(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	clusters, bodies, err := plugin.Split(req.Body, func(p plugin.Part) string {
		home, _ := r.homeOf(p.Topic, p.ID)
		return home
	})
	if err != nil {
		return nil, err
	}
	if len(clusters) == 0 {
		return r.to(ctx, req, next, r.first().Name())
	}
	return r.forkKnown(ctx, req, next, clusters, bodies)
}

// forkKnown runs one fork per cluster; the one of cluster "" is refused as unknown.
func (r *Routing) forkKnown(ctx context.Context, req *plugin.Request, next plugin.Handler, clusters []string, bodies []*kafka.RequestBody) (*plugin.Response, error) {
	h := plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		if f.Target.Cluster == "" {
			return plugin.Fail(f, unknownTopic, "")
		}
		return next.Handle(ctx, f)
	})
	forks, results := r.fork(ctx, req, h, clusters, bodies)
	return plugin.Gather(forks, results)
}

// awaitReads waits while a move holds the positions of a topic that the request names.
func (r *Routing) awaitReads(ctx context.Context, req *plugin.Request) error {
	gates := map[*plugin.Gate]bool{}
	if _, _, err := plugin.Split(req.Body, func(p plugin.Part) bool {
		gates[r.env.Gates.Gate(p.Topic)] = true
		return true
	}); err != nil {
		return err
	}
	for g := range gates {
		if err := g.AwaitReads(ctx, req); err != nil {
			return err
		}
	}
	return nil
}
