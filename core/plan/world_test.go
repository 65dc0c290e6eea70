package plan

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// world is a virtual cluster over two fakes, with a runner.
type world struct {
	*fakes.World
	env    failover.Env
	runner *failover.Runner
}

// newWorld starts a runner over the topics of newBase.
func newWorld(t *testing.T, topics ...string) *world {
	t.Helper()
	w := &world{World: fakes.NewWorld(t, topics...)}
	w.env = failover.Env{VirtualCluster: "vc", Catalog: w.Virtual, Gates: gate.New(fakes.Limit), Clusters: w.Clusters(), Placement: w.Rules}
	joined := joint.NewClusters()
	w.runner = failover.NewRunner(w.Catalog, joined, w.Config, slog.New(&w.Warnings))
	t.Cleanup(func() {
		_ = w.runner.Close()
		_ = joined.Close()
	})
	return w
}

// plans are those of moves to dr.
func (w *world) plans(topics ...string) Plans {
	w.T.Helper()
	out, err := Of(w.T.Context(), w.runner, w.env, What{Topics: topics, To: "dr"})
	if err != nil {
		w.T.Fatal(err)
	}
	return out
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
