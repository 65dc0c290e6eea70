package routing

import (
	"context"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// anyCluster asks one cluster: the first that answers.
func (r *Routing) anyCluster(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return r.to(ctx, req, next, r.reachable().Name())
}

// everyCluster asks all clusters and shows the union of their answers.
func (r *Routing) everyCluster(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return r.each(ctx, req, next, nil)
}

// each asks all clusters; keep may drop from each answer what belongs elsewhere.
func (r *Routing) each(ctx context.Context, req *plugin.Request, next plugin.Handler, keep func(cluster string, resp *plugin.Response) error) (*plugin.Response, error) {
	var clusters []string
	var bodies []*kafka.RequestBody
	for _, c := range r.env.Clusters {
		if !c.Reachable() && len(r.env.Clusters) > 1 {
			continue // it costs only what lives there
		}
		clusters = append(clusters, c.Name())
		bodies = append(bodies, req.Body)
	}
	if len(clusters) == 0 {
		clusters, bodies = []string{r.first().Name()}, []*kafka.RequestBody{req.Body}
	}
	forks, results := r.fork(ctx, req, next, clusters, bodies)
	for i := range results {
		if results[i].Err == nil && keep != nil {
			results[i].Err = keep(clusters[i], results[i].Response)
		}
	}
	return plugin.Gather(forks, results)
}
