package gateway

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/standing"
)

// standingEvery is how old the numbers of topics may be.
const standingEvery = 10 * time.Second

// ownSeries is how the topics and groups of a virtual cluster stand that have series of their own.
type ownSeries struct {
	virtualCluster string
	topics         []standing.Topic
	prefix         string // of names of groups
	groups         []standing.Lag
	damages        []damage
}

// names reports that one of the globs matches.
func names(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool { return config.MatchGlob(glob, name) })
}

// watchTopics asks the clusters from time to time how the topics stand that
// telemetry.metrics.topics names: scrapes and exports must not wait for a cluster.
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
	m := g.Snapshot().Telemetry.Metrics
	var all []ownSeries
	for _, v := range g.virtuals() {
		rt := v.runtime()
		topics := slices.DeleteFunc(slices.Clone(rt.env.Catalog.Topics()), func(t *catalog.Topic) bool {
			return rt.hides(t.Name) || !names(m.Topics, t.Name)
		})
		s := ownSeries{virtualCluster: v.name, prefix: rt.prefix()}
		ctx, cancel := context.WithTimeout(ctx, standingEvery)
		if len(topics) > 0 {
			s.topics = g.standing.Last(ctx, standingEnv(rt), topics)
		}
		if len(m.Groups) > 0 {
			s.groups = g.standing.Lags(ctx, standingEnv(rt), func(group string) bool {
				group, own := strings.CutPrefix(group, s.prefix)
				return own && names(m.Groups, group)
			})
		}
		cancel()
		s.damages = g.damages(rt, m.Groups)
		all = append(all, s)
	}
	g.ownSeries.Store(&all)
}
