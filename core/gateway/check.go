package gateway

import (
	"context"
	"errors"
	"log/slog"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/logging"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/state"
	"github.com/sluice-gateway/sluice/core/upstream"
	"github.com/sluice-gateway/sluice/core/wire"
)

// CheckedChain is the chain of a virtual cluster, built but not served.
type CheckedChain struct {
	VirtualCluster string
	Chain          *plugin.Chain
}

// nowhere is a log that keeps nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, ...catalog.Entry) error { return nil }

// Check builds everything that a file describes without serving it or asking a cluster. What the state says of topics
// counts if no gateway runs with it. The error
// is a config.Errors with all that is wrong, as far as it is the file's, and shows no secret.
func Check(ctx context.Context, path string, specs []plugin.Spec) ([]CheckedChain, error) {
	snap, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	out, err := checked(ctx, snap, specs)
	return out, snap.Hide(err)
}

func checked(ctx context.Context, snap *config.Snapshot, specs []plugin.Spec) ([]CheckedChain, error) {
	entries, err := state.Read(snap.State.Dir)
	if err != nil && !errors.Is(err, state.ErrInUse) {
		return nil, err
	}
	cat, err := catalog.New(nowhere{}, entries)
	if err != nil {
		return nil, err
	}
	logs := logging.Into(slog.DiscardHandler, logSettings(snap.Telemetry.Log))
	g := &Gateway{opts: Options{Specs: specs}, logs: logs, log: logs.Logger("gateway"), catalog: cat, pool: &wire.Buffers{}}
	none := &live{}
	g.live.Store(none)
	if err := g.check(none, snap); err != nil {
		return nil, err
	}
	l := &live{clusters: map[string]*upstream.Cluster{}}
	if l.snap, l.names, err = g.adopt(ctx, snap); err != nil {
		return nil, err
	}
	defer g.closing.Wait()
	defer func() { l.release() }()
	for _, c := range l.snap.Clusters {
		l.clusters[c.Name] = upstream.Unwatched(c, cat, g.pool)
	}
	if err := errors.Join(g.openAccess(ctx, l, none), g.openRuntimes(ctx, l, none)); err != nil {
		return nil, err
	}
	var out []CheckedChain
	for _, vc := range snap.VirtualClusters {
		out = append(out, CheckedChain{vc.Name, l.runtimes[vc.Name].chain})
	}
	return out, nil
}
