package routing

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// anyCluster asks one cluster: the first that answers.
func (r *Routing) anyCluster(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return r.to(ctx, req, next, r.reachable().Name())
}

// listConfigResources asks all clusters and shows of each what has its home there.
func (r *Routing) listConfigResources(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return r.each(ctx, req, next, func(cluster string, resp *plugin.Response) error {
		msg, err := resp.Body.Edit()
		if err != nil {
			return err
		}
		m := msg.(*kmsg.ListConfigResourcesResponse)
		m.ConfigResources = slices.DeleteFunc(m.ConfigResources, func(c kmsg.ListConfigResourcesResponseConfigResource) bool {
			switch kmsg.ConfigResourceType(c.Type) {
			case kmsg.ConfigResourceTypeTopic:
				return !r.livesAt(cluster, c.Name)
			case kmsg.ConfigResourceTypeGroupConfig:
				return r.groupHome(c.Name) != cluster
			}
			return false
		})
		return nil
	})
}

// livesAt reports a topic that clients may see and that has its home on a cluster: copies elsewhere
// are not shown.
func (r *Routing) livesAt(cluster, topic string) bool {
	home, shown := r.viewHome(topic, [16]byte{})
	return shown && home == cluster
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
	return fork.Gather(forks, results)
}
