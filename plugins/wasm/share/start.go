package share

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
)

// start starts the guest that a section asks for, unless the same one runs already, also for
// another section: the code is read and compiled, and a guest of it started, configured and tested.
// On an error files are those that were looked at.
func (g *Guests) start(ctx context.Context, w Wanted) (c *Claim, files map[string]plugin.Stamp, err error) {
	from, err := w.Source.Load(ctx)
	if err != nil {
		g.refused(w, err)
		return nil, from.Files, err
	}
	u, err := g.use(ctx, w, from)
	if err != nil {
		g.refused(w, err)
		return nil, from.Files, err
	}
	return g.claim(w.Section, u, from.Files, nil), from.Files, nil
}

// use returns the guest of what was loaded; somebody more counts on it.
func (g *Guests) use(ctx context.Context, w Wanted, from Loaded) (*use, error) {
	key := w.Identity + "\x00" + from.ID + "\x00" + w.Variant
	if u := g.runs(key, nil); u != nil {
		if _, err := w.Options(u.guest.Manifest); err != nil { // another section may say what this one may not
			return nil, errors.Join(err, g.leave(u))
		}
		return u, nil
	}
	code, err := g.compile(ctx, fmt.Sprintf("%s %d", from.ID, w.Limits.Memory), from)
	if err != nil {
		return nil, w.Wrong(err)
	}
	u, err := g.open(ctx, w, code.value)
	if err != nil {
		return nil, errors.Join(err, g.forget(code))
	}
	u.key, u.code = key, code
	if other := g.runs(key, u); other != u { // somebody else has started it meanwhile
		u.guest.Close()
		g.drop(u.identity)
		return other, g.forget(code)
	}
	if u.guest.Digest != "" { // compiling takes far more memory than what is left of it, and gateways that wait don't collect garbage
		debug.FreeOSMemory()
	}
	return u, nil
}

// runs counts on the guest with a key, which is fresh if there is none yet.
func (g *Guests) runs(key string, fresh *use) *use {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.running[key]
	if u == nil && fresh != nil {
		u = fresh
		g.running[key] = u
		k := g.kept[u.identity]
		k.store.Resize(u.guest.Limits.KV)
		k.tally.begin(u.guest)
		u.tally = &k.tally
	}
	if u != nil {
		u.users++
	}
	return u
}

// open starts a guest of compiled code.
func (g *Guests) open(ctx context.Context, w Wanted, code host.Code) (*use, error) {
	m, _ := code.About()
	options, err := w.Options(m)
	if err != nil {
		return nil, err
	}
	k := g.keep(w)
	options.Store, options.Metrics = k.store, k.metrics
	guest, err := host.NewGuest(ctx, code, options)
	if err != nil {
		g.drop(w.Identity)
		return nil, w.Wrong(err)
	}
	return &use{identity: w.Identity, guest: guest}, nil
}

// refused counts a version that is not to be, if there is one that goes on.
func (g *Guests) refused(w Wanted, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.kept[w.Identity]; k != nil {
		if w.Hide != nil {
			err = w.Hide(err)
		}
		k.tally.refused(err)
	}
}
