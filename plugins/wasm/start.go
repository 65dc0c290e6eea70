package wasm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// start starts the guest that a section asks for, unless the same one runs already, also for
// another section: the code is read and compiled, and a guest of it started, configured and tested.
// On an error files are those that were looked at.
func (g *guests) start(ctx context.Context, a asked) (h *hold, files map[string]plugin.Stamp, err error) {
	from, err := a.source.load(ctx)
	if err != nil {
		g.refused(a, err)
		return nil, from.files, err
	}
	u, err := g.use(ctx, a, from)
	if err != nil {
		g.refused(a, err)
		return nil, from.files, err
	}
	return g.hold(a.key(), u, from.files, nil), from.files, nil
}

// use returns the guest of what was loaded; somebody more counts on it.
func (g *guests) use(ctx context.Context, a asked, from loaded) (*use, error) {
	cfg := a.cfg
	key := fmt.Sprintf("%s\x00%s\x00%+v\x00%q\x00%q\x00%s\x00%q", a.identity(), from.id, cfg.Limits, cfg.Grant, cfg.HTTPHosts, cfg.ProduceDrop, a.settings)
	if u := g.runs(key, nil); u != nil {
		return u, nil
	}
	code, err := g.compile(ctx, fmt.Sprintf("%s %d", from.id, cfg.Limits.Memory), from)
	if err != nil {
		return nil, wrong(a.section, "file", "%s: %v", a.source.what, err)
	}
	u, err := g.open(ctx, a, code.value)
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
func (g *guests) runs(key string, fresh *use) *use {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.running[key]
	if u == nil && fresh != nil {
		u = fresh
		g.running[key] = u
		k := g.kept[u.identity]
		k.store.resize(u.guest.limits.KV)
		k.tally.begin(u.guest)
		u.tally = &k.tally
	}
	if u != nil {
		u.users++
	}
	return u
}

// protectsError refuses a section that says on_error: pass of a guest that must not be passed by.
type protectsError struct{ error }

func (e *protectsError) Unwrap() error { return e.error }

// open starts a guest of compiled code.
func (g *guests) open(ctx context.Context, a asked, code Code) (*use, error) {
	m, _ := code.about()
	if missing := a.cfg.denied(m); len(missing) > 0 {
		return nil, wrong(a.section, "grant", "%s asks for %s, which is not granted: grant: [%s]", a.source.what, strings.Join(missing, ", "), strings.Join(m.Host, ", "))
	}
	if m.FailClosedOnly && a.cfg.OnError == "pass" {
		return nil, &protectsError{wrong(a.section, "on_error", "%s must not be passed by when it fails", a.source.what)}
	}
	name := a.cfg.title(m)
	k := g.keep(a)
	guest, err := NewGuest(ctx, code, Options{
		Name: name, Settings: a.settings, Limits: a.cfg.Limits, Grant: a.cfg.Grant, HTTPHosts: a.cfg.HTTPHosts, Tombstones: a.cfg.ProduceDrop == "tombstone",
		Trace: g.trace, Log: a.env.Log.With("component", "wasm."+name, "version", m.Version),
	}, k.store, k.metrics)
	if err != nil {
		g.drop(a.identity())
		return nil, wrong(a.section, "file", "%s: %v", a.source.what, err)
	}
	return &use{identity: a.identity(), guest: guest}, nil
}

// refused counts a version that is not to be, if there is one that goes on.
func (g *guests) refused(a asked, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.kept[a.identity()]; k != nil {
		if a.env.Hide != nil {
			err = a.env.Hide(err)
		}
		k.tally.refused(err)
	}
}

// compile returns code that is compiled; somebody more counts on it. Those that need the same wait
// for the first, and do it themselves if that one gave up.
func (g *guests) compile(ctx context.Context, key string, from loaded) (*code, error) {
	for {
		g.mu.Lock()
		c := g.codes[key]
		if c == nil {
			break // and go on holding the lock
		}
		c.users++
		g.mu.Unlock()
		select {
		case <-c.ready:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), g.forget(c))
		}
		if c.err == nil || !errors.Is(c.err, context.Canceled) {
			return c, c.err
		}
	}
	c := &code{key: key, ready: make(chan struct{}), users: 1}
	g.codes[key] = c
	g.mu.Unlock()
	c.value, c.err = from.code(ctx)
	if c.err != nil {
		c.value = nil // and not one that holds nothing
		g.mu.Lock()
		delete(g.codes, key)
		g.mu.Unlock()
	}
	close(c.ready)
	return c, c.err
}

// forget closes code that nobody counts on any more.
func (g *guests) forget(c *code) error {
	g.mu.Lock()
	c.users--
	last := c.users == 0
	if last && g.codes[c.key] == c {
		delete(g.codes, c.key)
	}
	g.mu.Unlock()
	if !last {
		return nil
	}
	<-c.ready
	if c.value == nil {
		return nil
	}
	return c.value.Close()
}

// identity is the section's, over its edits and versions, and the key of what it keeps: its name
// or, without one, where its code comes from. What a module calls itself is no part of it: it could
// take the store of another.
func (a asked) identity() string {
	where := a.source.what
	if at, _, err := parseImage(a.cfg.Image); err == nil {
		where = at
	}
	return fmt.Sprintf("%s\x00%t\x00%s", a.env.VirtualCluster, a.cfg.Name != "", cmp.Or(a.cfg.Name, where))
}

func (g *guests) keep(a asked) *kept {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.kept[a.identity()]
	if k == nil {
		k = &kept{store: NewStore(a.cfg.Limits.KV), metrics: NewMetrics()}
		g.kept[a.identity()] = k
	}
	k.users++
	return k
}

func (g *guests) drop(identity string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.kept[identity]; k != nil {
		if k.users--; k.users == 0 {
			delete(g.kept, identity)
		}
	}
}
