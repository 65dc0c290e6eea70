package standing

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// world is a virtual cluster over two fakes, of which copies are watched.
type world struct {
	*fakes.World
	env   Env
	watch *Watch
}

func over(b *fakes.World) *world {
	w := &world{World: b, env: Env{VirtualCluster: "vc", Catalog: b.Virtual, Clusters: b.Clusters(), Placement: b.Rules}}
	joined := joint.NewClusters()
	w.watch = New(joined, slog.New(&b.Warnings))
	b.T.Cleanup(func() {
		_ = w.watch.Close()
		_ = joined.Close()
	})
	return w
}

// newWorld watches the topics of newBase.
func newWorld(t *testing.T, topics ...string) *world {
	t.Helper()
	return over(fakes.NewWorld(t, topics...))
}

// many makes a world of n topics.
func many(t *testing.T, n int) (*world, []string) {
	t.Helper()
	topics := fakes.Numbered(n)
	return newWorld(t, topics...), topics
}

func (w *world) apply() {
	w.watch.Apply(w.env, w.Config)
	synctest.Wait()
}
