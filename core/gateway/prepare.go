package gateway

import (
	"context"
	"errors"
	"io"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// ready is what was made beforehand for a snapshot, and is kept until it is closed.
type ready struct {
	closers []io.Closer
	news    bool  // something else than what is in force
	broken  error // of what could not be made again
}

func (r *ready) close() {
	for _, c := range r.closers {
		_ = c.Close()
	}
}

// prepare makes what takes long to build of a snapshot: plugins are read, compiled, started and tested. Nobody waits for
// it, neither requests nor other edits. With again set, what is in force is made again from its files.
func (g *Gateway) prepare(ctx context.Context, snap *config.Snapshot, again bool) (*ready, error) {
	r := &ready{}
	var errs config.Errors
	for i := range snap.VirtualClusters {
		vc := &snap.VirtualClusters[i]
		for _, entry := range vc.Chain {
			spec := g.spec(entry.Type)
			if spec.Prepare == nil {
				continue
			}
			env := plugin.Env{VirtualCluster: vc.Name, Log: g.logs.Logger(entry.Type).With("virtual_cluster", vc.Name)}
			p, err := spec.Prepare(ctx, env, entry.Section, again)
			if p.Closer != nil {
				r.closers = append(r.closers, p)
			}
			r.news, r.broken = r.news || p.News, errors.Join(r.broken, p.Broken)
			errs = append(errs, positioned(entry.Section, err)...)
		}
	}
	if len(errs) > 0 {
		return r, errs
	}
	return r, nil
}

// positioned is an error with its place in the file.
func positioned(s config.Section, err error) (errs config.Errors) {
	if err != nil && !errors.As(err, &errs) {
		errs = config.Errors{s.Errorf(nil, "%v", err)}
	}
	return errs
}
