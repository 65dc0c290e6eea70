package wasm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Spec describes the interceptor to the chain's builder.
func Spec() plugin.Spec { return TracedSpec(nil) }

// TracedSpec is Spec with a function that is told of every partition that a guest was shown, with the guest's name; nil for
// none.
func TracedSpec(trace func(guest string, h *Head, p *Partition)) plugin.Spec {
	all := newGuests(trace)
	return plugin.Spec{Type: "wasm", Stage: plugin.Any, New: func(ctx context.Context, env plugin.Env, section config.Section) (plugin.Interceptor, error) {
		cfg, settings, err := decode(section, false)
		if err != nil {
			return nil, err
		}
		from, err := cfg.source(ctx, section)
		if err != nil {
			all.refused(env.VirtualCluster, cfg.File+cfg.Image)
			return nil, err
		}
		return all.build(ctx, env, section, cfg, settings, from)
	}}
}

// source reads the module and checks its digest.
func (c Config) source(ctx context.Context, section config.Section) (source, error) {
	code, files, err := c.load(ctx, section)
	if err != nil {
		return source{}, err
	}
	digest := Digest(code)
	if c.SHA256 != "" && !strings.EqualFold(c.SHA256, digest) {
		return source{}, config.Errors{section.Errorf([]string{"sha256"}, "%s has the digest %s", c.File+c.Image, digest)}
	}
	return source{id: digest, what: c.File + c.Image, files: files, code: func(ctx context.Context) (Code, error) {
		return Compile(ctx, code, c.Limits.Memory)
	}}, nil
}

func newGuests(trace func(guest string, h *Head, p *Partition)) *guests {
	return &guests{trace: trace, codes: map[string]*counted[Code]{}, running: map[string]*use{}, kept: map[string]*kept{}}
}

// source is where a plugin's code comes from.
type source struct {
	id    string // other code has another
	what  string // it is, for errors
	files map[string]plugin.Stamp
	code  func(ctx context.Context) (Code, error)
}

// guests shares modules and guests between runtimes: an edit of the file that does not concern a guest must not start
// it again, and one of its configuration alone must not compile it again.
type guests struct {
	trace   func(guest string, h *Head, p *Partition)
	mu      sync.Mutex
	codes   map[string]*counted[Code] // by source and memory
	running map[string]*use
	kept    map[string]*kept // by virtual cluster and name
}

type counted[T any] struct {
	value T
	users int
}

// kept is what a guest keeps over its versions.
type kept struct {
	store   *Store
	metrics *Metrics
	tally   tally
	cluster string // the virtual one
	source  string // what the last version came from
	users   int
}

// use is a guest that runs, and who counts on it.
type use struct {
	all       *guests
	key, name string
	code      string // its key
	guest     *Guest
	tally     *tally
	users     int
}

// refused counts a version that is not to be, if the guest is known that it was for.
func (g *guests) refused(cluster, source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range g.kept {
		if k.cluster == cluster && k.source == source {
			k.tally.refused()
		}
	}
}

// build compiles the code, starts a guest of it, and configures and tests it, unless the same one runs already.
func (g *guests) build(ctx context.Context, env plugin.Env, section config.Section, cfg Config, settings []byte, from source) (*Wasm, error) {
	g.mu.Lock()
	u, err := g.start(ctx, env, section, cfg, settings, from)
	g.mu.Unlock()
	if err != nil {
		g.refused(env.VirtualCluster, from.what)
		return nil, err
	}
	w := &Wasm{files: from.files, cfg: cfg, env: env, log: u.guest.Log, use: u, keys: u.guest.Manifest.keys()}
	var own context.Context
	own, w.end = context.WithCancel(context.Background())
	w.own = plugin.NewSession(own, 0, nil, nil)
	w.own.VirtualCluster = env.VirtualCluster
	return w, nil
}

// load reads the module, and says of which file, if it is one.
func (c Config) load(ctx context.Context, section config.Section) (code []byte, files map[string]plugin.Stamp, err error) {
	if c.Image != "" {
		if code, err = pull(ctx, c.Image, c.PlainHTTP, section.Resolve); err != nil {
			return nil, nil, config.Errors{section.Errorf([]string{"image"}, "%s: %v", c.Image, err)}
		}
		return code, nil, nil
	}
	file := section.Resolve(c.File)
	stamp, err := plugin.StampOf(file)
	if err == nil {
		code, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, nil, config.Errors{section.Errorf([]string{"file"}, "%v", err)}
	}
	return code, map[string]plugin.Stamp{file: stamp}, nil
}

func (g *guests) start(ctx context.Context, env plugin.Env, section config.Section, cfg Config, settings []byte, from source) (*use, error) {
	key := fmt.Sprintf("%s\x00%s\x00%s\x00%+v\x00%q\x00%q\x00%s\x00%q", env.VirtualCluster, cfg.Name, from.id, cfg.Limits, cfg.Grant, cfg.HTTPHosts, cfg.ProduceDrop, settings)
	if u := g.running[key]; u != nil {
		u.users++
		return u, nil
	}
	codeKey := fmt.Sprintf("%s %d", from.id, cfg.Limits.Memory)
	code, err := g.compile(ctx, codeKey, from)
	if err != nil {
		return nil, config.Errors{section.Errorf([]string{"file"}, "%s: %v", from.what, err)}
	}
	m, _ := code.about()
	fail := func(err *config.Error) (*use, error) {
		return nil, errors.Join(config.Errors{err}, g.forget(codeKey))
	}
	if missing := cfg.denied(m); len(missing) > 0 {
		return fail(section.Errorf([]string{"grant"}, "%s asks for %s, which is not granted: grant: [%s]", from.what, strings.Join(missing, ", "), strings.Join(m.Host, ", ")))
	}
	if m.FailClosedOnly && cfg.OnError == "pass" {
		return fail(section.Errorf([]string{"on_error"}, "%s must not be passed by when it fails", from.what))
	}
	name := cfg.title(m)
	k := g.keep(env.VirtualCluster, name, cfg.Limits)
	guest, err := NewGuest(ctx, code, Options{
		Name: name, Settings: settings, Limits: cfg.Limits, Grant: cfg.Grant, HTTPHosts: cfg.HTTPHosts, Tombstones: cfg.ProduceDrop == "tombstone",
		Trace: g.trace, Log: env.Log.With("component", "wasm."+name, "version", m.Version),
	}, k.store, k.metrics)
	if err != nil {
		g.drop(env.VirtualCluster + "\x00" + name)
		return fail(section.Errorf([]string{"file"}, "%s: %v", from.what, err))
	}
	k.source = from.what
	k.tally.begin(guest)
	u := &use{all: g, key: key, name: env.VirtualCluster + "\x00" + name, code: codeKey, guest: guest, tally: &k.tally, users: 1}
	g.running[key] = u
	return u, nil
}

// compile returns code that is compiled already, or compiles it; somebody more uses it.
func (g *guests) compile(ctx context.Context, key string, from source) (Code, error) {
	if c := g.codes[key]; c != nil {
		c.users++
		return c.value, nil
	}
	code, err := from.code(ctx)
	if err != nil {
		return nil, err
	}
	g.codes[key] = &counted[Code]{code, 1}
	return code, nil
}

// forget closes code that nobody uses any more.
func (g *guests) forget(key string) error {
	c := g.codes[key]
	if c.users--; c.users > 0 {
		return nil
	}
	delete(g.codes, key)
	return c.value.Close()
}

func (g *guests) keep(cluster, name string, l Limits) *kept {
	key := cluster + "\x00" + name
	k := g.kept[key]
	if k == nil {
		k = &kept{store: NewStore(l.KV), metrics: NewMetrics(), cluster: cluster}
		g.kept[key] = k
	}
	k.users++
	return k
}

func (g *guests) drop(name string) {
	if k := g.kept[name]; k != nil {
		if k.users--; k.users == 0 {
			delete(g.kept, name)
		}
	}
}

// release ends a guest that nobody counts on any more, when its last call has returned.
func (u *use) release() error {
	g := u.all
	g.mu.Lock()
	u.users--
	last := u.users == 0
	if last {
		delete(g.running, u.key)
	}
	g.mu.Unlock()
	if !last {
		return nil
	}
	u.guest.Close() // waits, and must not hold up those who build others
	u.tally.end(u.guest)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop(u.name)
	return g.forget(u.code)
}
