package failover

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// store is a log of the catalog that can fail.
type store struct {
	mu      sync.Mutex
	entries []catalog.Entry
	fail    error
	writing func() // called before each write
}

func (s *store) Append(ctx context.Context, entries ...catalog.Entry) error {
	s.mu.Lock()
	writing := s.writing
	s.mu.Unlock()
	if writing != nil {
		writing()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.entries = append(s.entries, entries...)
	return ctx.Err()
}

func (s *store) set(fail error, writing func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.writing = fail, writing
}

// rules are a placement that tests edit.
type rules struct {
	plugin.Placement
	mu    sync.Mutex
	homes map[string]plugin.Home
}

func (r *rules) Home(topic string) plugin.Home {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.homes[topic]
}

func (r *rules) GroupHome(string) string { return "prod" }

// world is a virtual cluster over two fakes, with a runner.
type world struct {
	t        *testing.T
	prod, dr *fake
	rules    *rules
	store    *store
	cat      *catalog.Catalog
	env      Env
	cfg      config.Failover
	runner   *Runner
	warnings warnings
}

// warnings counts what is logged as a warning.
type warnings struct{ n atomic.Int64 }

func (w *warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w *warnings) Handle(context.Context, slog.Record) error    { w.n.Add(1); return nil }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler           { return w }
func (w *warnings) WithGroup(string) slog.Handler                { return w }

// limit is how long the gates of a world hold a request; longer than a move takes.
const limit = time.Minute

// newWorld makes topics of one partition on both clusters, with 100 records that stand 25 later on
// dr, behind something that it had before, and starts a runner.
func newWorld(t *testing.T, topics ...string) *world {
	t.Helper()
	w := &world{t: t, prod: newFake("prod"), dr: newFake("dr"), rules: &rules{homes: map[string]plugin.Home{}}, store: &store{}}
	w.cfg = config.Failover{
		Hold: 10 * time.Second, Request: 15 * time.Second, Unreachable: 10 * time.Second, RetryFor: time.Hour,
		MaxDrain: 3 * time.Second, CompareLimit: 1 << 30, Concurrent: 16,
	}
	for _, n := range topics {
		a, b := w.prod.topic(n, 1)[0], w.dr.topic(n, 1)[0]
		a.add(records(0, 100)...)
		b.add(records(1000, 1025)...)
		b.add(records(0, 100)...)
		w.rules.homes[n] = plugin.Home{Cluster: "prod", Shown: true, Unplanned: "if-unreachable"}
	}
	w.open(nil)
	for _, n := range topics {
		err := w.env.Catalog.Ensure(t.Context(), catalog.Seen{Name: n, Cluster: "prod", ID: w.prod.Topology().Topics[n].ID, Partitions: 1})
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// open starts a gateway's runner over what is stored.
func (w *world) open(stored []catalog.Entry) {
	w.t.Helper()
	var err error
	if w.cat, err = catalog.New(w.store, stored); err != nil {
		w.t.Fatal(err)
	}
	w.env = Env{
		VirtualCluster: "vc", Catalog: w.cat.Virtual("vc"), Gates: gate.New(limit),
		Clusters: []plugin.Cluster{w.prod, w.dr}, Placement: w.rules,
	}
	w.env.Catalog.SetPlace(func(topic string) (string, map[string]string, bool) {
		return w.rules.Home(topic).Cluster, map[string]string{"prod": topic, "dr": topic}, true
	})
	w.runner = NewRunner(w.cat, w.cfg, slog.New(&w.warnings))
	w.t.Cleanup(func() { _ = w.runner.Close() })
}

// reopen is a restart of the gateway, at once.
func (w *world) reopen() {
	w.t.Helper()
	_ = w.runner.Close()
	w.open(slices.Clone(w.store.entries))
}

// edit puts topics on a cluster, as an edit of the file does.
func (w *world) edit(cluster string, topics ...string) []Report {
	w.t.Helper()
	w.place(cluster, topics...)
	return w.apply(Options{Edited: func(t string) bool { return slices.Contains(topics, t) }})
}

// place changes the rules alone.
func (w *world) place(cluster string, topics ...string) {
	w.rules.mu.Lock()
	defer w.rules.mu.Unlock()
	for _, n := range topics {
		h := w.rules.homes[n]
		h.Cluster = cluster
		w.rules.homes[n] = h
	}
}

func (w *world) apply(o Options) []Report {
	w.t.Helper()
	out, err := w.runner.Apply(w.t.Context(), w.env, w.cfg, o)
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	return out
}

// policy sets `unplanned` of a topic.
func (w *world) policy(topic, unplanned string) {
	w.rules.mu.Lock()
	defer w.rules.mu.Unlock()
	h := w.rules.homes[topic]
	h.Unplanned = unplanned
	w.rules.homes[topic] = h
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// last is the newest move of a topic.
func (w *world) last(topic string) Report {
	w.t.Helper()
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
	w.t.Helper()
	got := w.env.Catalog.Topic(topic)
	if got.Home != home || got.Generation != generation {
		w.t.Errorf("%s lives on %s in generation %d, want %s in %d", topic, got.Home, got.Generation, home, generation)
	}
	if w.env.Gates.Gate(topic).Held() {
		w.t.Errorf("%s is still held", topic)
	}
	return got
}

// reads reports whether positions of a topic are answered at once.
func (w *world) reads(topic string) bool {
	ctx, cancel := context.WithCancel(w.t.Context())
	cancel()
	return w.env.Gates.Gate(topic).AwaitReads(ctx, w.request(0).AtGate()) == nil
}

func (w *world) request(seq uint64) *plugin.Request {
	return &plugin.Request{Session: plugin.NewSession(w.t.Context(), 1, nil, nil), Seq: seq, Arrived: time.Now()}
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
		p.pass, p.err = w.env.Gates.Gate(topic).Enter(w.t.Context(), p.req.AtGate())
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

// log is a topic's only partition on a cluster.
func (f *fake) log(topic string) *fakeLog { return f.topics[topic].logs[0] }

// grow appends records, as clients and replicators do.
func (f *fake) grow(topic string, first, end int) {
	f.set(func() { f.log(topic).add(records(first, end)...) })
}

// steps are the phases that a move has gone through.
func steps(r Report) (out []Phase) {
	for _, s := range r.Steps {
		out = append(out, s.Phase)
	}
	return out
}
