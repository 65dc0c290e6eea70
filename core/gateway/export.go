package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
)

// standingEvery is how old the numbers of topics may be.
const standingEvery = 10 * time.Second

// standing is how the topics of a virtual cluster stand that have series of their own.
type standing struct {
	virtualCluster string
	topics         []failover.Standing
}

// watchTopics asks the clusters from time to time how the topics stand that telemetry.metrics.topics names: scrapes and
// exports must not wait for a cluster.
func (g *Gateway) watchTopics(ctx context.Context) {
	tick := time.NewTicker(standingEvery)
	defer tick.Stop()
	for {
		g.lookAtTopics(ctx)
		select {
		case <-ctx.Done():
			return
		case <-g.topicsEdited:
		case <-tick.C:
		}
	}
}

func (g *Gateway) lookAtTopics(ctx context.Context) {
	globs := g.Snapshot().Telemetry.Metrics.Topics
	var all []standing
	for _, v := range g.virtuals() {
		rt := v.runtime()
		named := slices.DeleteFunc(slices.Clone(rt.env.Catalog.Topics()), func(t *catalog.Topic) bool {
			return rt.hides(t.Name) || !slices.ContainsFunc(globs, func(glob string) bool {
				return config.MatchGlob(glob, t.Name)
			})
		})
		if len(named) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, standingEvery)
		all = append(all, standing{v.name, g.runner.Survey(ctx, g.failoverEnv(rt), named)})
		cancel()
	}
	g.standings.Store(&all)
}
