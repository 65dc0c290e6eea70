package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// ready is what was made beforehand for a snapshot, and is kept until it is closed.
type ready struct {
	closers []io.Closer
	news    bool  // something else than what is in force
	broken  error // of what could not be made again
}

// prepareLimit is how long the plugins of one edit may take.
const prepareLimit = 5 * time.Minute

func (r *ready) close() {
	for _, c := range r.closers {
		_ = c.Close()
	}
}

// prepare makes what takes long to build of a snapshot: plugins are read, compiled, started and
// tested. Nobody waits for it, neither requests nor other edits. With again set, what is in force
// is made again from its files.
func (g *Gateway) prepare(ctx context.Context, snap *config.Snapshot, again bool) (*ready, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, prepareLimit, fmt.Errorf("not ready after %s", prepareLimit))
	defer cancel()
	r := &ready{}
	var errs config.Errors
	for i := range snap.VirtualClusters {
		vc := &snap.VirtualClusters[i]
		for _, entry := range vc.Chain {
			spec := g.spec(entry.Type)
			if spec.Prepare == nil {
				continue
			}
			env := plugin.Env{VirtualCluster: vc.Name, Log: g.logs.Logger(entry.Type).With("virtual_cluster", vc.Name), Hide: snap.Hide}
			p, err := prepareOne(ctx, spec, env, entry.Section, again)
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

// prepareOne waits for a plugin until ctx ends. One that does not look at ctx goes on alone then,
// and what it comes to is closed.
func prepareOne(ctx context.Context, spec plugin.Spec, env plugin.Env, section config.Section, again bool) (plugin.Prepared, error) {
	type outcome struct {
		plugin.Prepared
		err error
	}
	done := make(chan outcome, 1)
	guard.Go(func() {
		var o outcome
		if err := guard.Catch(func() { o.Prepared, o.err = spec.Prepare(ctx, env, section, again) }); err != nil {
			o = outcome{err: err}
		}
		done <- o
	})
	select {
	case o := <-done:
		return o.Prepared, o.err
	case <-ctx.Done():
	}
	guard.Go(func() {
		if o := <-done; o.Closer != nil {
			_ = o.Close()
		}
	})
	return plugin.Prepared{}, context.Cause(ctx)
}

// positioned is an error with its place in the file.
func positioned(s config.Section, err error) (errs config.Errors) {
	if err != nil && !errors.As(err, &errs) {
		errs = config.Errors{s.Errorf(nil, "%v", err)}
	}
	return errs
}
