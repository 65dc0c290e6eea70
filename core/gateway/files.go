package gateway

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// filesEvery is how often files that the configuration names are looked at. A changed one is used when it has
// stayed the same from one look to the next.
const filesEvery = 500 * time.Millisecond

// watchFiles follows certificates and the files of interceptors until ctx ends.
func (g *Gateway) watchFiles(ctx context.Context) {
	tick := time.NewTicker(filesEvery)
	defer tick.Stop()
	seen, tried := map[string]plugin.Stamp{}, map[string]plugin.Stamp{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		g.refreshCertificates()
		if changed := g.changedFiles(seen, tried); changed != "" {
			g.log.Info("a file has changed: the interceptors that use it are built anew", "file", changed)
			g.rebuild(ctx, changed)
		}
	}
}

// changedFiles names a file that is another one than its interceptor was built from, has settled, and has not been
// tried.
func (g *Gateway) changedFiles(seen, tried map[string]plugin.Stamp) (changed string) {
	for _, v := range g.virtuals() {
		for _, m := range v.runtime().chain.All() {
			w, ok := m.Interceptor.(plugin.Watched)
			if !ok {
				continue
			}
			for path, built := range w.Files() {
				now, err := plugin.StampOf(path)
				if err != nil || now == built {
					continue // a file that is gone may come back
				}
				if seen[path] == now && tried[path] != now {
					tried[path], changed = now, path
				}
				seen[path] = now
			}
		}
	}
	return changed
}

// rebuild applies the snapshot in force again. On an error everything stays as it is.
func (g *Gateway) rebuild(ctx context.Context, changed string) {
	e := &audit.Entry{Time: time.Now(), Action: "reload_file", Actor: byHand, File: changed}
	snap := g.Snapshot()
	err := snap.Hide(g.apply(audit.With(ctx, e), snap, failover.Options{}))
	g.mu.Lock()
	g.reload = reloadResult{At: time.Now()}
	if err != nil {
		g.reload.Error = err.Error()
	}
	g.mu.Unlock()
	if err != nil {
		g.refused(e, 0, err)
		g.log.Error("the changed file is not used, what was built before stays in force", "error", err)
	}
}
