package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Spec describes the interceptor to the chain's builder.
func Spec() plugin.Spec { return TracedSpec(nil) }

// TracedSpec is Spec with a function that is told of every partition that a guest was shown, with
// the guest's name; nil for none.
func TracedSpec(trace func(guest string, h *Head, p *Partition)) plugin.Spec {
	return newGuests(trace).spec("wasm", false, func(cfg Config, section config.Section) source {
		return source{what: cfg.File + cfg.Image, fixed: cfg.Image != "", load: func(ctx context.Context) (loaded, error) { return cfg.load(ctx, section) }}
	})
}

func newGuests(trace func(guest string, h *Head, p *Partition)) *guests {
	return &guests{trace: trace, codes: map[string]*code{}, running: map[string]*use{}, sections: map[string]*section{}, kept: map[string]*kept{}}
}

// guests shares modules and guests between runtimes: an edit of the file that does not concern a
// guest must not start it again, and one of its configuration alone must not compile it again. The
// lock is never held while code is read, compiled or run.
type guests struct {
	trace    func(guest string, h *Head, p *Partition)
	mu       sync.Mutex
	codes    map[string]*code // by source and memory
	running  map[string]*use
	sections map[string]*section
	kept     map[string]*kept // by identity
}

// code is compiled by the first that needs it, while the others wait.
type code struct {
	key   string
	ready chan struct{}
	value Code
	err   error
	users int
}

// kept is what a section's guest keeps over its versions.
type kept struct {
	store   *Store
	metrics *Metrics
	tally   tally
	users   int
}

// use is a guest that runs, and who counts on it. Without a guest it stands for one that could not
// be had at start.
type use struct {
	protects bool   // and which must not be passed by, whatever its section says
	key      string // in running
	identity string // its key in kept
	code     *code
	guest    *Guest
	tally    *tally
	users    int
}

// section is what runs for a section of a chain. While its YAML stays the same, so does what runs,
// unless something better is made of its file.
type section struct {
	uses   []*use // those that are counted on, the newest last; a use stands there once for each that counts on it
	files  map[string]plugin.Stamp
	broken error // of what came after the newest
}

// hold is somebody who counts on what runs for a section.
type hold struct {
	all     *guests
	key     string // of the section
	section *section
	use     *use
}

// asked is what a section asks for.
type asked struct {
	env      plugin.Env
	section  config.Section
	cfg      Config
	settings []byte
	source   source
}

// key tells sections apart: by everything that is in them.
func (a asked) key() string {
	b, _ := json.Marshal(a.cfg)
	return a.env.VirtualCluster + "\x00" + a.source.what + "\x00" + string(b)
}

// spec makes a type of interceptor.
func (g *guests) spec(kind string, compiled bool, from func(Config, config.Section) source) plugin.Spec {
	ask := func(env plugin.Env, section config.Section) (asked, error) {
		cfg, settings, err := decode(section, compiled)
		return asked{env, section, cfg, settings, from(cfg, section)}, err
	}
	return plugin.Spec{Type: kind, Stage: plugin.Any, Metrics: specMetrics(),
		New: func(ctx context.Context, env plugin.Env, section config.Section) (plugin.Interceptor, error) {
			a, err := ask(env, section)
			if err != nil {
				return nil, err
			}
			return g.build(ctx, a)
		},
		Prepare: func(ctx context.Context, env plugin.Env, section config.Section, again bool) (plugin.Prepared, error) {
			a, err := ask(env, section)
			if err != nil {
				return plugin.Prepared{}, err
			}
			return g.prepare(ctx, a, again)
		},
	}
}

// build takes what runs for a section, or starts it.
func (g *guests) build(ctx context.Context, a asked) (plugin.Interceptor, error) {
	h := g.inForce(a.key())
	if h == nil {
		var files map[string]plugin.Stamp
		var err error
		if h, files, err = g.start(ctx, a); err != nil {
			if !a.env.Starting {
				return nil, err
			}
			var protects *protectsError
			h = g.hold(a.key(), &use{protects: errors.As(err, &protects)}, files, err)
			a.env.Log.Error("the plugin can't be had: until it can, on_error decides", "plugin", a.source.what, "on_error", a.cfg.OnError, "error", err)
		}
	}
	if h.use.guest == nil {
		return &absent{hold: h, cfg: a.cfg}, nil
	}
	w := &Wasm{hold: h, cfg: a.cfg, env: a.env, log: h.use.guest.Log, keys: h.use.guest.Manifest.keys()}
	var own context.Context
	own, w.end = context.WithCancel(context.Background())
	w.own = plugin.NewSession(own, 0, nil, nil)
	w.own.VirtualCluster = a.env.VirtualCluster
	return w, nil
}

// prepare starts what is new, so that build finds it.
func (g *guests) prepare(ctx context.Context, a asked, again bool) (plugin.Prepared, error) {
	now := g.inForce(a.key())
	if now != nil && (!again || a.source.fixed && now.use.guest != nil) {
		return plugin.Prepared{Closer: now}, nil
	}
	next, files, err := g.start(ctx, a)
	switch {
	case now == nil && err != nil:
		return plugin.Prepared{}, err
	case now == nil:
		return plugin.Prepared{Closer: next, News: true}, nil
	case err != nil:
		if ctx.Err() == nil {
			g.broke(now.section, files, err)
		}
		return plugin.Prepared{Closer: now, Broken: err}, nil
	}
	news := next.use != now.use
	_ = now.Close()
	return plugin.Prepared{Closer: next, News: news}, nil
}

// inForce counts on what runs for a section; nil if nothing does.
func (g *guests) inForce(key string) *hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sections[key]
	if s == nil {
		return nil
	}
	u := s.uses[len(s.uses)-1]
	u.users++
	s.uses = append(s.uses, u)
	return &hold{g, key, s, u}
}

// hold makes a use that is counted already the newest of a section.
func (g *guests) hold(key string, u *use, files map[string]plugin.Stamp, broken error) *hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	if u.guest == nil {
		u.users++
	}
	s := g.sections[key]
	if s == nil {
		s = &section{}
		g.sections[key] = s
	}
	s.uses = append(s.uses, u)
	s.files, s.broken = files, broken
	return &hold{g, key, s, u}
}

// broke notes that what was to be the next version of a section is not.
func (g *guests) broke(s *section, files map[string]plugin.Stamp, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.files, s.broken = files, err
}

// Files is the module's file: a changed one is another version.
func (h *hold) Files() map[string]plugin.Stamp {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	return h.section.files
}

// Broken says why the module's file is not what runs.
func (h *hold) Broken() error {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	return h.section.broken
}

// Close gives up. A guest that nobody counts on any more ends when its last call has returned.
func (h *hold) Close() error {
	g, u, s := h.all, h.use, h.section
	g.mu.Lock()
	at := slices.Index(s.uses, u)
	if s.uses = slices.Delete(s.uses, at, at+1); len(s.uses) == 0 {
		delete(g.sections, h.key)
	}
	u.users--
	last := u.users == 0 && u.guest != nil
	if last {
		delete(g.running, u.key)
	}
	g.mu.Unlock()
	if !last {
		return nil
	}
	u.guest.Close() // waits, and must not hold up those who build others
	u.tally.end(u.guest)
	g.drop(u.identity)
	return g.forget(u.code)
}
