package failover

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/standing"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// world is a virtual cluster over two fakes, with a runner, and copies that are watched.
type world struct {
	*fakes.World
	env    Env
	joined *joint.Clusters
	watch  *standing.Watch
	runner *Runner
}

// newWorld starts a runner over the topics of newBase.
func newWorld(t *testing.T, topics ...string) *world {
	t.Helper()
	w := &world{World: fakes.NewWorld(t, topics...)}
	w.open()
	return w
}

// many makes a world of n topics.
func many(t *testing.T, n int) (*world, []string) {
	t.Helper()
	topics := fakes.Numbered(n)
	w := newWorld(t, topics...)
	w.Config.Concurrent = n
	return w, topics
}

// open starts a gateway's runner over the catalog.
func (w *world) open() {
	w.T.Helper()
	w.env = Env{VirtualCluster: "vc", Catalog: w.Virtual, Gates: gate.New(fakes.Limit), Clusters: w.Clusters(), Placement: w.Rules}
	log := slog.New(&w.Warnings)
	w.joined = joint.NewClusters()
	w.watch, w.runner = standing.New(w.joined, log), NewRunner(w.Catalog, w.joined, w.Config, log)
	w.T.Cleanup(w.close)
}

func (w *world) close() {
	_ = w.runner.Close()
	_ = w.watch.Close()
	_ = w.joined.Close()
}

// restart closes the gateway and starts it over what was stored at some time.
func (w *world) restart(stored []catalog.Entry) {
	w.T.Helper()
	w.close()
	w.Load(stored)
	w.open()
}

// reopen is a restart of the gateway, at once.
func (w *world) reopen() {
	w.T.Helper()
	w.close() // what it stores last counts
	w.restart(slices.Clone(w.Store.Entries))
}

// edit puts topics on a cluster, as an edit of the file does.
func (w *world) edit(cluster string, topics ...string) []Report {
	w.T.Helper()
	w.Place(cluster, topics...)
	return w.apply(Options{Edited: Topics(func(t string) bool { return slices.Contains(topics, t) })})
}

func (w *world) apply(o Options) []Report {
	w.T.Helper()
	w.watch.Apply(standing.Env{VirtualCluster: w.env.VirtualCluster, Catalog: w.env.Catalog, Clusters: w.env.Clusters, Placement: w.env.Placement}, w.Config)
	out, err := w.runner.Apply(w.T.Context(), w.env, w.Config, o)
	if err != nil {
		w.T.Fatal(err)
	}
	synctest.Wait()
	return out
}

// last is the newest move of a topic.
func (w *world) last(topic string) Report {
	w.T.Helper()
	var out Report
	for _, m := range w.runner.Moves() {
		if m.Topic == topic {
			out = m
		}
	}
	return out
}

// lives checks a topic's home and generation, and that nobody holds it.
func (w *world) lives(topic, home string, generation int32) *catalog.Topic {
	w.T.Helper()
	got := w.env.Catalog.Topic(topic)
	if got.Home != home || got.Generation != generation {
		w.T.Errorf("%s lives on %s in generation %d, want %s in %d", topic, got.Home, got.Generation, home, generation)
	}
	if w.env.Gates.Gate(topic).Held() {
		w.T.Errorf("%s is still held", topic)
	}
	return got
}

// reads reports whether positions of a topic are answered at once.
func (w *world) reads(topic string) bool {
	ctx, cancel := context.WithCancel(w.T.Context())
	cancel()
	return w.env.Gates.Gate(topic).AwaitReads(ctx, w.request(0).AtGate()) == nil
}

func (w *world) request(seq uint64) *plugin.Request {
	return &plugin.Request{Session: plugin.NewSession(w.T.Context(), 1, nil, nil), Seq: seq, Arrived: time.Now()}
}

// produced is a client's produce in or behind a gate.
type produced struct {
	req  *plugin.Request
	pass gate.Pass
	err  error
	over atomic.Bool
}

// in reports that the produce has passed, or was refused.
func (p *produced) in() bool { return p.over.Load() }

// produce sends a request through a topic's gate; it is answered by answer.
func (w *world) produce(topic string) *produced {
	p := &produced{req: w.request(0)}
	go func() {
		p.pass, p.err = w.env.Gates.Gate(topic).Enter(w.T.Context(), p.req.AtGate())
		p.over.Store(true)
	}()
	synctest.Wait()
	return p
}

// answer ends a produce that passed.
func (p *produced) answer() {
	turn.Give(p.req.Turn())
	p.pass.Leave()
	synctest.Wait()
}

// steps are the phases that a move has gone through.
func steps(r Report) (out []Phase) {
	for _, s := range r.Steps {
		out = append(out, s.Phase)
	}
	return out
}

// foreseen is what a move of orders to dr would do.
func (w *world) foreseen() Foreseen {
	f := w.runner.Foresee(w.T.Context(), w.env, []string{"orders"}, false)
	return f.Of(w.T.Context(), "orders", f.Env.Clusters[0], f.Env.Clusters[1])
}

// blocked is what would refuse it; "" if nothing would.
func (w *world) blocked() string {
	if err := w.foreseen().Err; err != nil {
		return err.Error()
	}
	return ""
}
