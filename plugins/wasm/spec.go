package wasm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/plugins/wasm/manifest"
	"github.com/sluice-gateway/sluice/plugins/wasm/share"
	"github.com/sluice-gateway/sluice/plugins/wasm/source"
	"github.com/sluice-gateway/sluice/sdk"
)

// Trace is told of every partition that a guest was shown, with the guest's name.
type Trace = func(guest string, h *blocks.Head, p *blocks.Partition)

// Spec describes the interceptor to the chain's builder.
func Spec() plugin.Spec { return TracedSpec(nil) }

// TracedSpec is Spec with a function that is told of what guests are shown; nil for none.
func TracedSpec(trace Trace) plugin.Spec {
	return spec("wasm", trace, false, func(cfg Config, section config.Section) share.Source {
		return share.Source{What: cfg.File + cfg.Image, Fixed: cfg.Image != "", Load: func(ctx context.Context) (share.Loaded, error) { return cfg.load(ctx, section) }}
	})
}

// Compiled describes a plugin that is compiled into the gateway: a chain names it by its type, and
// its section is that of a guest without file and image. create returns a new copy of it; each
// serves one call at a time. It is a part of the gateway as other code is: its panics are caught,
// but nothing limits its time and memory.
func Compiled(name string, create func() *sdk.Guest) plugin.Spec {
	return spec(name, nil, true, func(Config, config.Section) share.Source {
		return share.Source{What: name, Fixed: true, Load: func(context.Context) (share.Loaded, error) {
			return share.Loaded{ID: name, Code: func(context.Context) (host.Code, error) { return host.Native(create) }}, nil
		}}
	})
}

// spec makes a type of interceptor.
func spec(kind string, trace Trace, compiled bool, from func(Config, config.Section) share.Source) plugin.Spec {
	guests := share.NewGuests()
	ask := func(env plugin.Env, section config.Section) (asked, error) {
		cfg, settings, err := decode(section, compiled)
		return asked{env, section, cfg, settings, from(cfg, section), trace}, err
	}
	out := plugin.Spec{Type: kind, Stage: plugin.Any, Metrics: specMetrics(),
		New: func(ctx context.Context, env plugin.Env, section config.Section) (plugin.Interceptor, error) {
			a, err := ask(env, section)
			if err != nil {
				return nil, err
			}
			return a.build(ctx, guests)
		},
		Prepare: func(ctx context.Context, env plugin.Env, section config.Section, again bool) (plugin.Prepared, error) {
			a, err := ask(env, section)
			if err != nil {
				return plugin.Prepared{}, err
			}
			return guests.Prepare(ctx, a.wanted(), again)
		},
	}
	if !compiled { // whose section has no file: a schema of it would ask for one
		out.Settings = defaults()
	}
	return out
}

// asked is what a section asks for.
type asked struct {
	env      plugin.Env
	section  config.Section
	cfg      Config
	settings []byte
	source   share.Source
	trace    Trace
}

// build takes what runs for a section, or starts it.
func (a asked) build(ctx context.Context, guests *share.Guests) (plugin.Interceptor, error) {
	c, err := guests.Get(ctx, a.wanted())
	if c == nil {
		return nil, err
	}
	if err != nil {
		a.env.Log.Error("the plugin can't be had: until it can, on_error decides", "plugin", a.source.What, "on_error", a.cfg.OnError, "error", err)
	}
	if c.Guest() == nil {
		return &absent{Claim: c, cfg: a.cfg}, nil
	}
	w := &Wasm{Claim: c, cfg: a.cfg, env: a.env, log: c.Guest().Log, keys: c.Guest().Manifest.Keys()}
	var own context.Context
	own, w.end = context.WithCancel(context.Background())
	w.own = plugin.NewSession(own, 0, nil, nil)
	w.own.VirtualCluster = a.env.VirtualCluster
	return w, nil
}

func (a asked) wanted() share.Wanted {
	all, _ := json.Marshal(a.cfg)
	return share.Wanted{
		Section:  a.env.VirtualCluster + "\x00" + a.source.What + "\x00" + string(all),
		Identity: a.identity(),
		Variant:  fmt.Sprintf("%+v\x00%q\x00%q\x00%s\x00%q", a.cfg.Limits, a.cfg.Grant, a.cfg.HTTPHosts, a.cfg.ProduceDrop, a.settings),
		Source:   a.source, Limits: a.cfg.Limits, Options: a.options,
		Wrong: func(err error) error { return wrong(a.section, "file", "%s: %v", a.source.What, err) },
		Hide:  a.env.Hide, Starting: a.env.Starting,
	}
}

// identity is the section's, over its edits and versions, and the key of what it keeps: its name
// or, without one, where its code comes from. What a module calls itself is no part of it: it could
// take the store of another.
func (a asked) identity() string {
	where := a.source.What
	if at, _, err := source.ParseImage(a.cfg.Image); err == nil {
		where = at
	}
	return fmt.Sprintf("%s\x00%t\x00%s", a.env.VirtualCluster, a.cfg.Name != "", cmp.Or(a.cfg.Name, where))
}

// options are those of a guest with a manifest, if the section allows it.
func (a asked) options(m manifest.Manifest) (host.Options, error) {
	if missing := a.cfg.denied(m); len(missing) > 0 {
		return host.Options{}, wrong(a.section, "grant", "%s asks for %s, which is not granted: grant: [%s]", a.source.What, strings.Join(missing, ", "), strings.Join(m.Host, ", "))
	}
	if m.FailClosedOnly && a.cfg.OnError == "pass" {
		return host.Options{}, &share.ProtectsError{Err: wrong(a.section, "on_error", "%s must not be passed by when it fails", a.source.What)}
	}
	name := a.cfg.title(m)
	return host.Options{
		Name: name, Settings: a.settings, Limits: a.cfg.Limits, Grant: a.cfg.Grant, HTTPHosts: a.cfg.HTTPHosts, Tombstones: a.cfg.ProduceDrop == "tombstone",
		Trace: a.trace, Log: a.env.Log.With("component", "wasm."+name, "version", m.Version),
	}, nil
}
