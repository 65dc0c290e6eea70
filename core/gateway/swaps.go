package gateway

import (
	"context"

	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// codes are what the plugins of a runtime run, by section.
func (rt *runtime) codes() map[string]plugin.Code {
	out := map[string]plugin.Code{}
	for _, m := range rt.chain.All() {
		if c, ok := m.Interceptor.(plugin.Coded); ok {
			code := c.Code()
			out[code.Section] = code
		}
	}
	return out
}

// tellSwaps notes which plugins have other code than before, in the log and for the audit log.
func (g *Gateway) tellSwaps(ctx context.Context, old, next *live) {
	e := audit.Of(ctx)
	for _, vc := range next.snap.VirtualClusters {
		was := old.runtimes[vc.Name]
		if was == nil {
			continue
		}
		before := was.codes()
		for _, m := range next.runtimes[vc.Name].chain.All() {
			c, ok := m.Interceptor.(plugin.Coded)
			if !ok {
				continue
			}
			now := c.Code()
			old, there := before[now.Section]
			if !there || old.Digest == now.Digest && old.Version == now.Version {
				continue
			}
			e.Swaps = append(e.Swaps, audit.Swap{
				VirtualCluster: vc.Name, Plugin: now.Name, Before: audit.Code{Version: old.Version, Digest: old.Digest}, After: audit.Code{Version: now.Version, Digest: now.Digest},
			})
			g.logs.Logger("wasm").Info("another version of a plugin is in force", "virtual_cluster", vc.Name, "plugin", now.Name,
				"version", now.Version, "sha256", now.Digest, "version_before", old.Version, "sha256_before", old.Digest)
		}
	}
}
