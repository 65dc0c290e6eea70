package share

import "github.com/sluice-gateway/sluice/plugins/wasm/kept"

// lasting is what a section's guest keeps over its versions.
type lasting struct {
	store   *kept.Store
	metrics *kept.Metrics
	tally   tally
	users   int
}

func (g *Guests) keep(w Wanted) *lasting {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.kept[w.Identity]
	if k == nil {
		k = &lasting{store: kept.NewStore(w.Limits.KV), metrics: kept.NewMetrics()}
		g.kept[w.Identity] = k
	}
	k.users++
	return k
}

func (g *Guests) drop(identity string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.kept[identity]; k != nil {
		if k.users--; k.users == 0 {
			delete(g.kept, identity)
		}
	}
}
