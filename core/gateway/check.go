package gateway

import (
	"context"
	"errors"
	"log/slog"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/logging"
	"github.com/sluice-gateway/sluice/core/plugin"
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

// Check builds everything that a file describes without serving it or asking a cluster. The error
// is a config.Errors with all that is wrong, as far as it is the file's.
func Check(ctx context.Context, path string, specs []plugin.Spec) ([]CheckedChain, error) {
	snap, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	out, err := checked(ctx, snap, specs)
	return out, snap.Hide(err)
}

func checked(ctx context.Context, snap *config.Snapshot, specs []plugin.Spec) ([]CheckedChain, error) {
	var types []string
	for _, s := range specs {
		types = append(types, s.Type)
	}
	if err := snap.CheckTypes(types); err != nil {
		return nil, err
	}
	cat, err := catalog.New(nowhere{}, nil)
	if err != nil {
		return nil, err
	}
	g := &Gateway{opts: Options{Specs: specs}, logs: logging.Into(slog.DiscardHandler, logSettings(snap.Telemetry.Log)), catalog: cat, costs: map[[2]string]*plugin.Cost{}}
	defer func() { g.access.Load().Close() }()
	clusters := map[string]*upstream.Cluster{}
	for _, c := range snap.Clusters {
		clusters[c.Name] = upstream.Unwatched(c, cat, &wire.Buffers{})
	}
	var out []CheckedChain
	built := map[string]*runtime{}
	var errs config.Errors
	for i := range snap.VirtualClusters {
		vc := &snap.VirtualClusters[i]
		rt, err := g.build(ctx, snap, vc, clusters, plugin.NewGates(snap.Failover.Request), nil)
		var positioned config.Errors
		switch {
		case errors.As(err, &positioned):
			errs = append(errs, positioned...)
		case err != nil:
			return nil, err
		default:
			rt.close()
			built[vc.Name] = rt
			out = append(out, CheckedChain{vc.Name, rt.chain})
		}
	}
	if errs = append(errs, shared(snap, built)...); len(errs) > 0 {
		return nil, errs
	}
	return out, nil
}
