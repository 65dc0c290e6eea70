// Package gateway joins everything: it turns snapshots of the configuration into runtimes, swaps
// them while clients stay connected, and answers operators.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/logging"
	"github.com/sluice-gateway/sluice/core/mirror"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/server"
	"github.com/sluice-gateway/sluice/core/standing"
	"github.com/sluice-gateway/sluice/core/state"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/wire"
)

// Options of a gateway.
type Options struct {
	// Path is the YAML file.
	Path string
	// Specs are the types of interceptors that chains may name.
	Specs []plugin.Spec
	// Exporters send traces and metrics: core/telemetry/otlp has them. Without any, a file that
	// names a receiver is refused.
	Exporters telemetry.Exporters
	// Log is where the log goes; nil is standard error, in the format that the file says. The
	// levels are those of the file.
	Log *slog.Logger
	// Release is the version that this build was given; "" for one from a checkout.
	Release string
}

// tracesWait is how long the last spans are waited for.
const tracesWait = 5 * time.Second

// Gateway is a running gateway.
type Gateway struct {
	opts     Options
	logs     *logging.Log
	log      *slog.Logger // of the component gateway
	store    *state.File
	catalog  *catalog.Catalog
	ids      *state.ProducerIDs
	pool     *wire.Buffers
	memory   *server.Memory
	files    *server.Descriptors
	joined   *joint.Clusters
	standing *standing.Watch
	runner   *failover.Runner
	mirror   *mirror.Mirror
	watcher  *config.Watcher
	started  time.Time
	id       string // of this process, among gateways
	madeOf   telemetry.Build
	source   telemetry.Source

	live     atomic.Pointer[live]
	editing  sync.Mutex    // one edit at a time: the next is of its result
	applying sync.Mutex    // one apply at a time
	closing  guard.Group   // of what is not in force any more
	stopping chan struct{} // closed when the gateway ends

	table        *metricTable
	topicsEdited chan struct{}
	ownSeries    atomic.Pointer[[]ownSeries]

	mu      sync.Mutex
	reload  reloadResult
	losses  []error // at the end of the gateway
	deletes map[[2]string]*pendingDelete
}

// reloadResult is the outcome of the last reload.
type reloadResult struct {
	At    time.Time `json:"at"`
	Error string    `json:"error,omitempty"`
	err   error
}

// Start loads the file and starts serving. An unreachable cluster is no error.
func Start(ctx context.Context, o Options) (*Gateway, error) {
	snap, err := config.Load(o.Path)
	if err != nil {
		return nil, err
	}
	logs := openLog(o, snap.Telemetry.Log)
	store, err := state.Open(snap.State.Dir)
	if err != nil {
		return nil, ofState(snap, err)
	}
	g := &Gateway{
		opts: o, logs: logs, log: logs.Logger("gateway"), store: store, pool: &wire.Buffers{}, started: time.Now(), id: fmt.Sprintf("%016x", rand.Uint64()),
		stopping: make(chan struct{}), deletes: map[[2]string]*pendingDelete{},
		watcher: config.NewWatcher(o.Path), madeOf: telemetry.ThisBuild(o.Release), table: newMetricTable(), topicsEdited: make(chan struct{}, 1),
	}
	g.source = sourceOf(g.madeOf, snap.State.Dir)
	g.live.Store(&live{})
	fail := func(err error) (*Gateway, error) {
		return nil, errors.Join(err, g.Close())
	}
	entries, err := store.Load(ctx)
	if err != nil {
		return fail(ofState(snap, err))
	}
	if g.catalog, err = catalog.New(store, entries); err != nil {
		return fail(ofState(snap, err))
	}
	if g.ids, err = state.NewProducerIDs(g.catalog); err != nil {
		return fail(ofState(snap, err))
	}
	g.memory, g.files = server.NewMemory(memoryLimit(snap)), server.NewDescriptors(server.OpenFiles())
	if files := server.OpenFiles(); files > 0 {
		_, most := g.files.Use()
		g.log.Info("files that the process may open bound the connections of clients: raise the limit (ulimit -n, LimitNOFILE of systemd) for more", "files", files, "connections", most)
	}
	g.memory.Near = func(used, limit int64, waiting int) {
		g.logs.Logger("server").Warn("memory gets short: past limits.process_bytes, requests and answers wait until others have left", "used", used, "limit", limit, "waiting", waiting)
	}
	g.joined = joint.NewClusters()
	g.standing = standing.New(g.joined, logs.Logger("failover"))
	g.runner = failover.NewRunner(g.catalog, g.joined, snap.Failover, logs.Logger("failover"))
	g.mirror = mirror.New(logs.Logger("failover"))
	var revision string
	if _, err := g.catalog.Value(catalog.KindConfig, "revision", &revision); err != nil {
		return fail(ofState(snap, err))
	}
	// A file that the store has not seen is an edit made now.
	edited := func(failover.Movable) bool { return revision != snap.Revision }
	began := &audit.Entry{Time: g.started, Action: "start", Actor: itself, Before: revision, After: snap.Revision}
	if revision != snap.Revision {
		began.Actor = byHand
	}
	if err := g.apply(audit.With(ctx, began), snap, failover.Options{Edited: edited}); err != nil {
		return fail(err)
	}
	return g, nil
}

// memoryLimit is the bound of request bytes in the process: by default a quarter of the memory
// limit (GOMEMLIMIT), or of 4 GiB without one.
func memoryLimit(s *config.Snapshot) int64 {
	if s.Limits.ProcessBytes > 0 {
		return s.Limits.ProcessBytes
	}
	limit := debug.SetMemoryLimit(-1)
	if limit > 1<<50 {
		limit = 4 << 30
	}
	return limit / 4
}

// Run serves until ctx ends: it watches the file and the versions of the clusters.
func (g *Gateway) Run(ctx context.Context) error {
	var wg guard.Group
	wg.Go(func() {
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		learnt := map[string]views{}
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				g.refreshVersions(ctx)
				g.sweep(ctx)
				g.learnNews(ctx, learnt)
			}
		}
	})
	wg.Go(func() { g.watchFiles(ctx) })
	wg.Go(func() { g.watchTopics(ctx) })
	wg.Go(func() { g.settle(ctx) })
	edits := make(chan []byte)
	wg.Go(func() { g.followEdits(ctx, edits) })
	err := g.watcher.Run(ctx, g.Snapshot().Source, func(source []byte) {
		select {
		case edits <- source:
		case <-ctx.Done():
		}
	})
	wg.Wait()
	return err
}

// Reload looks at the file now, as on SIGHUP.
func (g *Gateway) Reload() { g.watcher.Check() }

// Snapshot is the configuration in force.
func (g *Gateway) Snapshot() *config.Snapshot { return g.now().snap }

func (g *Gateway) lastReload() reloadResult {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reload
}

// ofState is what is wrong with the store, at the place in the file that names its folder.
func ofState(snap *config.Snapshot, err error) error {
	if errors.Is(err, state.ErrInUse) {
		err = fmt.Errorf("%w; end that one, or give this one a folder of its own", err)
	}
	return snap.Errorf([]string{"state", "dir"}, "%s", strings.TrimPrefix(err.Error(), "state: "))
}

// reloaded notes the outcome of a reload.
func (g *Gateway) reloaded(err error) {
	g.mu.Lock()
	g.reload = reloadResult{At: time.Now()}
	if err != nil {
		g.reload.Error, g.reload.err = err.Error(), err
	}
	g.mu.Unlock()
	if err != nil {
		g.logs.Logger("config").Error("configuration not applied, the old one stays in force", "error", err)
	}
}

// ApplySource makes another content of the file current. On an error the old configuration stays.
func (g *Gateway) ApplySource(ctx context.Context, source []byte, o failover.Options) error {
	before := g.Snapshot()
	snap, err := before.Edited(source)
	if err == nil && (snap.Revision != before.Revision || o.Edited != nil) {
		describe(ctx, before, snap)
		var r *ready
		r, err = g.prepare(ctx, snap, false)
		defer r.close()
		if err == nil {
			err = g.apply(context.WithoutCancel(ctx), snap, o)
		}
	}
	g.reloaded(err)
	return err
}

// ends reports that the gateway ends.
func (g *Gateway) ends() bool {
	select {
	case <-g.stopping:
		return true
	default:
		return false
	}
}

// drain lets requests in flight end: clients can't connect any more, and moves that hold requests
// and are not committed are given up. Operators still can. It returns how many sessions are left.
func (g *Gateway) drain(l *live) int {
	if l.snap == nil {
		return 0
	}
	g.log.Info("ending: requests in flight are answered first", "drain", l.snap.Limits.Drain)
	ctx, cancel := context.WithTimeout(context.Background(), l.snap.Limits.Drain)
	defer cancel()
	operators := l.keys["admin "+l.snap.Admin.Listen]
	for key, s := range l.sockets {
		if key != operators {
			_ = s.value.Close()
		}
	}
	g.closing.Go(func() { _ = g.runner.Close() })
	g.closing.Go(func() { _ = g.standing.Close() })
	var wg guard.Group
	var left atomic.Int64
	for _, v := range l.virtuals {
		wg.Go(func() { left.Add(int64(v.value.server.Drain(ctx))) })
	}
	wg.Wait()
	return int(left.Load())
}

// Close ends everything: requests in flight, admin, listeners, sessions, moves, clusters, store.
func (g *Gateway) Close() error {
	began := time.Now()
	g.applying.Lock()
	close(g.stopping) // nothing comes into force any more
	l := g.now()
	g.applying.Unlock()
	g.cancelDeletes(func(string, string) bool { return true })
	left := g.drain(l)
	for _, s := range l.sockets {
		_ = s.value.Close()
	}
	l.admin.get().close(time.Second)
	for _, v := range l.virtuals {
		_ = v.value.server.Close()
	}
	var errs []error
	if g.runner != nil {
		errs = append(errs, g.mirror.Close(), g.runner.Close(), g.standing.Close(), g.joined.Close())
	}
	l.audit.get().Record(&audit.Entry{Action: "stop", Actor: itself, Outcome: audit.Done})
	_ = l.audit.Close()
	errs = append(errs, g.ended()) // while there are clusters
	l.release()
	errs = append(errs, g.ended(), g.store.Close())
	g.mu.Lock()
	errs = append(errs, g.losses...)
	g.mu.Unlock()
	err := errors.Join(errs...)
	if l.snap != nil {
		said := []any{"took", time.Since(began).Round(time.Millisecond), "sessions_cut", left}
		if err != nil {
			said = append(said, "error", err)
		}
		g.log.Info("ended", said...)
	}
	g.logs.Close()
	return err
}

// AdminAddr is where the admin API listens, or nil.
func (g *Gateway) AdminAddr() net.Addr {
	l := g.now()
	if l.admin == nil {
		return nil
	}
	return l.sockets[l.keys["admin "+l.snap.Admin.Listen]].value.Addr()
}

// virtuals are the virtual clusters in force, in the order of the file.
func (g *Gateway) virtuals() (out []*virtual) {
	l := g.now()
	for _, vc := range l.snap.VirtualClusters {
		out = append(out, l.virtuals[vc.Name].value)
	}
	return out
}

// Moves lists running, pending and past moves, oldest first.
func (g *Gateway) Moves() []failover.Report { return g.runner.Moves() }

// Gate is the gate of a topic, nil for a virtual cluster that is not there: while somebody holds
// it, produces wait.
func (g *Gateway) Gate(virtualCluster, topic string) *gate.Gate {
	if v := g.now().virtuals[virtualCluster]; v != nil {
		return v.value.gates.Gate(topic)
	}
	return nil
}

// Topic is what the catalog knows of a topic, or nil.
func (g *Gateway) Topic(virtualCluster, topic string) *catalog.Topic {
	return g.catalog.Virtual(virtualCluster).Topic(topic)
}

// Group is what the catalog knows of a consumer group, or nil.
func (g *Gateway) Group(virtualCluster, group string) *catalog.Group {
	return g.catalog.Virtual(virtualCluster).Group(group)
}
