// Package wasm runs guests: WASM modules that see the records that producers send and edit them. See
// sdk for authors and sdk/ABI.md for the contract.
package wasm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Spec describes the interceptor to the chain's builder.
func Spec() plugin.Spec {
	guests := &guests{pools: map[string]*pool{}}
	return plugin.Spec{Type: "wasm", Stage: plugin.Any, New: func(ctx context.Context, env plugin.Env, cfg config.Section) (plugin.Interceptor, error) {
		return guests.build(ctx, env, cfg)
	}}
}

// guests shares pools between runtimes: an edit of the file that does not concern a guest must not
// compile it again.
type guests struct {
	mu    sync.Mutex
	pools map[string]*pool
}

// Wasm is the interceptor: one guest at one place of a chain.
type Wasm struct {
	cfg  Config
	env  plugin.Env
	log  *slog.Logger
	pool *pool
	all  *guests
}

var _ plugin.Interceptor = (*Wasm)(nil)

// build compiles the module, starts one instance and configures it, unless the same guest runs
// already.
func (g *guests) build(ctx context.Context, env plugin.Env, section config.Section) (*Wasm, error) {
	cfg, module, settings, err := decode(section)
	if err != nil {
		return nil, err
	}
	log := env.Log.With("interceptor", "wasm", "guest", cfg.Name)
	key := fmt.Sprintf("%x %s %s %d %q", sha256.Sum256(module), cfg.Name, cfg.Timeout, cfg.Memory, settings)
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.pools[key]
	if p == nil {
		if p, err = newPool(ctx, cfg, module, settings, log); err != nil {
			return nil, config.Errors{section.Errorf([]string{"file"}, "%s: %v", cfg.File, err)}
		}
		p.key = key
		g.pools[key] = p
	}
	p.users++
	return &Wasm{cfg: cfg, env: env, log: log, pool: p, all: g}, nil
}

// Keys returns Produce: guests see records.
func (w *Wasm) Keys() plugin.KeySet { return kafka.NewKeySet(kmsg.Produce) }

// Close ends the instances when nobody else uses them and the last call has returned.
func (w *Wasm) Close() error {
	w.all.mu.Lock()
	w.pool.users--
	last := w.pool.users == 0
	if last {
		delete(w.all.pools, w.pool.key)
	}
	w.all.mu.Unlock()
	if last {
		return w.pool.close()
	}
	return nil
}

// Intercept shows the records of a Produce to the guest and forwards what it makes of them.
func (w *Wasm) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	p, err := req.Body.Produce()
	if err != nil {
		return nil, err
	}
	b, err := w.collect(req, p)
	if err != nil {
		return w.failed(ctx, req, next, err)
	}
	if len(b.records) == 0 {
		return next.Handle(ctx, req)
	}
	res, err := w.pool.call(ctx, b.encode(req, p))
	if err != nil {
		return w.failed(ctx, req, next, err)
	}
	edits, verdict, err := parseResult(res)
	switch {
	case err != nil:
		return w.failed(ctx, req, next, err)
	case verdict != nil:
		if p.Acks == 0 {
			return nil, verdict
		}
		return plugin.Fail(req, verdict.code, verdict.message)
	case len(edits) == 0:
		return next.Handle(ctx, req)
	}
	f, err := b.apply(req, edits)
	if err != nil {
		return w.failed(ctx, req, next, err)
	}
	defer f.Queued()
	return next.Handle(ctx, f)
}

// failed is what on_error says of a request whose call did not work.
func (w *Wasm) failed(ctx context.Context, req *plugin.Request, next plugin.Handler, err error) (*plugin.Response, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w.log.Error("guest failed", "error", err, "on_error", w.cfg.OnError)
	if w.cfg.OnError == "pass" {
		return next.Handle(ctx, req)
	}
	return nil, fmt.Errorf("guest %s: %w", w.cfg.Name, err)
}

// verdict is a guest's refusal of a request.
type verdict struct {
	code    int16
	message string
}

func (v *verdict) Error() string {
	return fmt.Sprintf("refused by a guest: %s (%d)", v.message, v.code)
}

var errBadResult = errors.New("the guest's result is not a result block")
