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
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/logging"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/server"
	"github.com/sluice-gateway/sluice/core/state"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/upstream"
	"github.com/sluice-gateway/sluice/core/wire"
)

// Options of a gateway.
type Options struct {
	// Path is the YAML file.
	Path string
	// Specs are the types of interceptors that chains may name.
	Specs []plugin.Spec
	// Log is where the log goes; nil is standard error, in the format that the file says. The levels are those of
	// the file.
	Log *slog.Logger
}

// tracesWait is how long the last spans are waited for.
const tracesWait = 5 * time.Second

// Gateway is a running gateway.
type Gateway struct {
	opts    Options
	logs    *logging.Log
	log     *slog.Logger // of the component gateway
	audit   atomic.Pointer[audit.Log]
	access  atomic.Pointer[logging.Queue] // nil until it is asked for
	store   *state.File
	catalog *catalog.Catalog
	ids     *state.ProducerIDs
	pool    *wire.Buffers
	memory  *server.Memory
	files   *server.Descriptors
	runner  *failover.Runner
	watcher *config.Watcher
	admin   *httpAPI
	started time.Time
	id      string // of this process, among gateways

	table        *metricTable
	costs        map[[2]string]*plugin.Cost // by virtual cluster and interceptor; under applying
	topicsEdited chan struct{}
	standings    atomic.Pointer[[]standing]
	closing      guard.Group // of traces, metrics and audit logs that are not in force any more

	draining atomic.Bool // the gateway ends
	leaving  guard.Group // virtual clusters that are not in the file any more

	editing  sync.Mutex // one edit at a time: the next is of its result
	applying sync.Mutex // one apply at a time

	mu       sync.Mutex
	snapshot *config.Snapshot
	tracer   *telemetry.Tracer
	exporter *telemetry.Exporter
	clusters map[string]*upstream.Cluster
	virtual  map[string]*virtual
	reload   reloadResult
	changed  time.Time // when the file last changed what is in force, and what
	changes  []admin.Change
	deletes  map[[2]string]*pendingDelete
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
		return nil, err
	}
	g := &Gateway{
		opts: o, logs: logs, log: logs.Logger("gateway"), store: store, pool: &wire.Buffers{}, started: time.Now(), id: fmt.Sprintf("%016x", rand.Uint64()),
		clusters: map[string]*upstream.Cluster{}, virtual: map[string]*virtual{}, deletes: map[[2]string]*pendingDelete{},
		watcher: config.NewWatcher(o.Path), table: newMetricTable(), costs: map[[2]string]*plugin.Cost{}, topicsEdited: make(chan struct{}, 1),
	}
	fail := func(err error) (*Gateway, error) {
		return nil, errors.Join(err, g.Close())
	}
	entries, err := store.Load(ctx)
	if err != nil {
		return fail(err)
	}
	if g.catalog, err = catalog.New(store, entries); err != nil {
		return fail(err)
	}
	if g.ids, err = state.NewProducerIDs(g.catalog); err != nil {
		return fail(err)
	}
	g.memory, g.files = server.NewMemory(memoryLimit(snap)), server.NewDescriptors(server.OpenFiles())
	g.runner = failover.NewRunner(g.catalog, snap.Failover, logs.Logger("failover"))
	var revision string
	if _, err := g.catalog.Value(catalog.KindConfig, "revision", &revision); err != nil {
		return fail(err)
	}
	// A file that the store has not seen is an edit made now.
	edited := func(string) bool { return revision != snap.Revision }
	began := &audit.Entry{Time: g.started, Action: "start", Actor: itself, Before: revision, After: snap.Revision}
	if revision != snap.Revision {
		began.Actor = byHand
	}
	if err := g.apply(audit.With(ctx, began), snap, failover.Options{Edited: edited}); err != nil {
		return fail(snap.Hide(err))
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
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				g.refreshVersions(ctx)
				g.sweep(ctx)
			}
		}
	})
	wg.Go(func() { g.watchFiles(ctx) })
	wg.Go(func() { g.watchTopics(ctx) })
	err := g.watcher.Run(ctx, g.Snapshot().Source, func(source []byte) { g.editedByHand(ctx, source) })
	wg.Wait()
	return err
}

// Reload looks at the file now, as on SIGHUP.
func (g *Gateway) Reload() { g.watcher.Check() }

// Snapshot is the configuration in force.
func (g *Gateway) Snapshot() *config.Snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.snapshot
}

// ApplySource makes another content of the file current. On an error the old configuration stays.
func (g *Gateway) ApplySource(ctx context.Context, source []byte, o failover.Options) error {
	snap, err := config.Parse(g.opts.Path, source)
	if before := g.Snapshot(); err == nil && (snap.Revision != before.Revision || o.Edited != nil) {
		describe(ctx, before, snap)
		err = snap.Hide(g.apply(ctx, snap, o))
	}
	g.mu.Lock()
	g.reload = reloadResult{At: time.Now()}
	if err != nil {
		g.reload.Error, g.reload.err = err.Error(), err
	}
	g.mu.Unlock()
	if err != nil {
		g.logs.Logger("config").Error("configuration not applied, the old one stays in force", "error", err)
		return err
	}
	return nil
}

// drain lets requests in flight end: the gateway is not ready any more, accepts nobody, and moves that hold them and
// are not committed are given up.
func (g *Gateway) drain() {
	g.draining.Store(true)
	snap := g.Snapshot()
	if snap == nil {
		return
	}
	g.log.Info("ending: requests in flight are answered first", "drain", snap.Limits.Drain)
	ctx, cancel := context.WithTimeout(context.Background(), snap.Limits.Drain)
	defer cancel()
	g.closing.Go(func() { _ = g.runner.Close() })
	var wg guard.Group
	for _, v := range g.virtual {
		wg.Go(func() { v.server.Drain(ctx) })
	}
	wg.Wait()
	g.leaving.Wait()
}

// Close ends everything: requests in flight, admin, listeners, sessions, moves, clusters, store.
func (g *Gateway) Close() error {
	g.drain()
	var errs []error
	if g.admin != nil {
		errs = append(errs, g.admin.close(time.Second))
	}
	for _, v := range g.virtual {
		errs = append(errs, v.server.Close())
	}
	g.closing.Go(func() { g.closeExport(g.exporter) })
	if g.runner != nil {
		errs = append(errs, g.runner.Close())
	}
	errs = append(errs, g.endAudit()) // while there are clusters
	for _, v := range g.virtual {
		v.retire()
	}
	for _, c := range g.clusters {
		errs = append(errs, c.Close())
	}
	g.access.Load().Close()
	ctx, cancel := context.WithTimeout(context.Background(), tracesWait)
	defer cancel()
	errs = append(errs, g.tracer.Close(ctx), g.store.Close())
	g.closing.Wait()
	g.logs.Close()
	return errors.Join(errs...)
}

// AdminAddr is where the admin API listens, or nil.
func (g *Gateway) AdminAddr() net.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.admin == nil {
		return nil
	}
	return g.admin.listener.Addr()
}

// Moves lists running, pending and past moves, oldest first.
func (g *Gateway) Moves() []failover.Report { return g.runner.Moves() }

// Gate is the gate of a topic, nil for a virtual cluster that is not there: while somebody holds it,
// produces wait.
func (g *Gateway) Gate(virtualCluster, topic string) *plugin.Gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v := g.virtual[virtualCluster]; v != nil {
		return v.gates.Gate(topic)
	}
	return nil
}

// Topic is what the catalog knows of a topic, or nil.
func (g *Gateway) Topic(virtualCluster, topic string) *catalog.Topic {
	return g.catalog.Virtual(virtualCluster).Topic(topic)
}
