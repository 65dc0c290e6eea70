package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// filesEvery is how often files that the configuration names are looked at. A changed one is used
// when it has stayed the same from one look to the next.
const filesEvery = 500 * time.Millisecond

// A broken part is tried again after retryFirst, and then more and more rarely: it may come back
// without a change of any file.
const (
	retryFirst = 10 * time.Second
	retryMost  = 5 * time.Minute
)

// files follows what interceptors are built from.
type files struct {
	seen, tried map[string]plugin.Stamp
	retry       time.Time // zero: nothing is broken
	wait        time.Duration
}

// watchFiles follows certificates and the files of interceptors until ctx ends.
func (g *Gateway) watchFiles(ctx context.Context) {
	tick := time.NewTicker(filesEvery)
	defer tick.Stop()
	f := files{seen: map[string]plugin.Stamp{}, tried: map[string]plugin.Stamp{}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		g.refreshCertificates()
		interceptors := g.interceptors()
		changed := f.changed(interceptors)
		if changed != "" {
			g.log.Info("a file has changed: the interceptors that use it are built anew", "file", changed)
		}
		if due := f.due(interceptors, time.Now()); due || changed != "" {
			g.rebuild(ctx, changed)
		}
	}
}

// interceptors are all that are in force.
func (g *Gateway) interceptors() (all []plugin.Interceptor) {
	for _, v := range g.virtuals() {
		for _, m := range v.runtime().chain.All() {
			all = append(all, m.Interceptor)
		}
	}
	return all
}

// changed names a file that is another one than its interceptor was built from, or is gone, has
// settled, and has not been tried.
func (f *files) changed(interceptors []plugin.Interceptor) (changed string) {
	for _, i := range interceptors {
		w, ok := i.(plugin.Watched)
		if !ok {
			continue
		}
		for path, built := range w.Files() {
			now, _ := plugin.StampOf(path)
			last, ok := f.tried[path]
			if !ok {
				last = built
			}
			if now == last {
				continue
			}
			if f.seen[path] == now {
				f.tried[path], changed = now, path
			}
			f.seen[path] = now
		}
	}
	return changed
}

// due reports that it is time to try again what is broken.
func (f *files) due(interceptors []plugin.Interceptor, now time.Time) bool {
	broken := slices.ContainsFunc(interceptors, func(i plugin.Interceptor) bool {
		b, ok := i.(plugin.Breakable)
		return ok && b.Broken() != nil
	})
	switch {
	case !broken:
		f.retry, f.wait = time.Time{}, retryFirst
	case f.retry.IsZero():
		f.retry = now.Add(f.wait)
	case now.After(f.retry):
		f.wait = min(2*f.wait, retryMost)
		f.retry = now.Add(f.wait)
		return true
	}
	return false
}

// broken lists what goes on though what it is made from is broken or gone.
func (g *Gateway) broken() []admin.Broken {
	out := []admin.Broken{}
	l := g.now()
	for _, e := range twins(l.snap, l.clusters) {
		out = append(out, admin.Broken{Part: e.Path, Error: e.Msg})
	}
	gone := l.snap.Gone()
	for _, ref := range slices.Sorted(maps.Keys(gone)) {
		out = append(out, admin.Broken{Part: ref, Error: gone[ref].Error()})
	}
	for _, v := range g.virtuals() {
		rt := v.runtime()
		add := func(part string, err error) {
			if err = g.Snapshot().Hide(err); err != nil {
				out = append(out, admin.Broken{VirtualCluster: v.name, Part: part, Error: err.Error()})
			}
		}
		add("listen.tls", rt.certificate.problem())
		for _, m := range rt.chain.All() {
			if b, ok := m.Interceptor.(plugin.Breakable); ok {
				add(m.Name, b.Broken())
			}
		}
	}
	return out
}

// rebuild makes anew what is made from files, beside what is in force, and applies the snapshot
// again if there is something better. changed names a file; "" only tries again.
func (g *Gateway) rebuild(ctx context.Context, changed string) {
	e := &audit.Entry{Time: time.Now(), Action: "reload_file", Actor: byHand, File: changed}
	r, err := g.prepare(ctx, g.Snapshot(), true)
	defer r.close()
	if ctx.Err() != nil {
		return
	}
	if err == nil && r.news {
		if err = g.apply(audit.With(context.WithoutCancel(ctx), e), nil, failover.Options{}); err != nil {
			g.reloaded(err)
		}
	}
	if err = g.Snapshot().Hide(errors.Join(err, r.broken)); err != nil && changed != "" {
		g.refused(e, 0, err)
		g.log.Error("what has changed is not used, what was built before stays in force", "file", changed, "error", err)
	}
}
