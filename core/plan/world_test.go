package plan

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/standing"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// world is a virtual cluster over two fakes, with a runner.
type world struct {
	*fakes.World
	env    failover.Env
	runner *failover.Runner
	watch  *standing.Watch
}

// newWorld starts a runner over the topics of newBase.
func newWorld(t *testing.T, topics ...string) *world {
	t.Helper()
	w := &world{World: fakes.NewWorld(t, topics...)}
	w.env = failover.Env{VirtualCluster: "vc", Catalog: w.Virtual, Gates: gate.New(fakes.Limit), Clusters: w.Clusters(), Placement: w.Rules, Groups: groups.New(w.Virtual)}
	w.groupsLiveOn("prod")
	joined := joint.NewClusters()
	w.watch = standing.New(joined, slog.New(&w.Warnings))
	w.runner = failover.NewRunner(w.Catalog, joined, w.Config, slog.New(&w.Warnings))
	t.Cleanup(func() {
		_ = w.runner.Close()
		_ = w.watch.Close()
		_ = joined.Close()
	})
	return w
}

// plans are those of moves to dr.
func (w *world) plans(topics ...string) Plans {
	w.T.Helper()
	return w.plansOf(What{Topics: topics, To: "dr"})
}

// plansOf are those of what is asked for.
func (w *world) plansOf(what What) Plans {
	w.T.Helper()
	out, err := Of(w.T.Context(), w.runner, w.watch, w.env, what)
	if err != nil {
		w.T.Fatal(err)
	}
	return out
}

// groupsLiveOn lets new groups live on a cluster.
func (w *world) groupsLiveOn(cluster string) {
	w.env.Groups.SetRules(groups.Rules{Home: func(string) string { return cluster }, Clusters: []string{"prod", "dr"}, Limit: fakes.Limit})
	if err := w.Virtual.NoteGroupsKnown(w.T.Context(), cluster); err != nil {
		w.T.Fatal(err)
	}
}

// commits lets a group commit an offset in a topic.
func (w *world) commits(group, topic string, offset int64) *groups.Group {
	w.T.Helper()
	if err := w.env.Groups.See(w.T.Context(), group); err != nil {
		w.T.Fatal(err)
	}
	g := w.env.Groups.Group(group)
	g.Committed(map[groups.Partition]groups.Position{{Topic: topic}: {Offset: offset}})
	return g
}

// mirrored gives dr what a group has committed.
func mirrored(g *groups.Group) {
	n, _ := g.News("dr")
	g.Given("dr", n)
}

// plan is that of a move of orders to dr.
func (w *world) plan() Plan {
	w.T.Helper()
	return w.plans("orders").Topics[0]
}

// moved moves orders to dr, and returns what became of it.
func (w *world) moved() failover.Report {
	w.T.Helper()
	w.Place("dr", "orders")
	if _, err := w.runner.Apply(w.T.Context(), w.env, w.Config, failover.Options{Edited: func(failover.Movable) bool { return true }}); err != nil {
		w.T.Fatal(err)
	}
	synctest.Wait()
	m, _, err := w.runner.Wait(w.T.Context(), "vc", failover.Movable{Kind: failover.Topic, Name: "orders"})
	if err != nil {
		w.T.Fatal(err)
	}
	return m
}
