// Package wasm runs guests: WASM modules that see records, messages and sessions, and edit, answer
// or refuse them. See sdk for authors and sdk/ABI.md for the contract.
package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/breaker"
	"github.com/sluice-gateway/sluice/plugins/wasm/share"
)

// Wasm is the interceptor: one guest at one place of a chain.
type Wasm struct {
	*share.Claim
	cfg   Config
	env   plugin.Env
	log   *slog.Logger
	keys  kafka.KeySet
	below func(key kmsg.Key) plugin.Handler
	own   *plugin.Session // of the guest's own requests, and of those made for it

	compactions compactions
	end         context.CancelFunc

	covered atomic.Pointer[map[string]bool] // topics asked for so far; replaced, never changed
}

var (
	_ plugin.Interceptor     = (*Wasm)(nil)
	_ plugin.VersionLimiter  = (*Wasm)(nil)
	_ plugin.Sender          = (*Wasm)(nil)
	_ plugin.SessionObserver = (*Wasm)(nil)
	_ plugin.Watched         = (*Wasm)(nil)
	_ plugin.Breakable       = (*Wasm)(nil)
	_ plugin.Reporter        = (*Wasm)(nil)
	_ plugin.Metered         = (*Wasm)(nil)
	_ plugin.Stepper         = (*Wasm)(nil)
	_ plugin.Coded           = (*Wasm)(nil)
	_ plugin.Titled          = (*Wasm)(nil)
	_ blocks.Topics          = (*Wasm)(nil)
)

// Keys are the rows that the manifest asks for.
func (w *Wasm) Keys() plugin.KeySet { return w.keys }

// MaxVersion is the highest version that the guest understands.
func (w *Wasm) MaxVersion(key, offered int16) int16 {
	return w.Guest().Manifest.MaxVersion(key, offered)
}

// SetBelow gives the chain below, for requests that the guest makes itself.
func (w *Wasm) SetBelow(below func(key kmsg.Key) plugin.Handler) { w.below = below }

// Title is the guest's name.
func (w *Wasm) Title() string { return w.Guest().Name }

// Close ends the guest when nobody else uses it and the last call has returned.
func (w *Wasm) Close() error {
	w.end()
	return errors.Join(w.own.Close(), w.Claim.Close())
}

// Intercept shows a request and its response to the guest, as far as it asks for them.
func (w *Wasm) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return plugin.InSteps(ctx, w, req, next)
}

// Down passes on a request of which the guest is shown nothing before its answer.
func (w *Wasm) Down(_ context.Context, req *plugin.Request, _ *plugin.Step) plugin.Outcome {
	m := &w.Guest().Manifest
	produces := req.Key == kmsg.Produce && m.Has("produce") && w.coversAny(req.Body.View().Partitions, req.Target.Cluster)
	if !produces && !m.Requests.Has(req.Key) {
		return plugin.GoOn()
	}
	return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) {
		return w.shown(ctx, req, next)
	})
}

// Up passes on an answer of which the guest is shown nothing.
func (w *Wasm) Up(_ context.Context, req *plugin.Request, _ *plugin.Step, resp *plugin.Response, err error) plugin.Outcome {
	if err != nil || resp == nil || !w.answers(req, resp) {
		return plugin.Answer(resp, err)
	}
	return plugin.Wait(func(ctx context.Context, _ plugin.Handler) (*plugin.Response, error) {
		return w.answered(ctx, req, resp, nil)
	})
}

// shown shows a request to the guest, and its answer.
func (w *Wasm) shown(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	var state []byte
	m := &w.Guest().Manifest
	var resp *plugin.Response
	var err error
	if m.Requests.Has(req.Key) {
		if req, resp, state, err = w.request(ctx, req); err != nil || resp != nil {
			return resp, err
		}
	}
	if req.Key == kmsg.Produce && m.Has("produce") {
		resp, err = w.produce(ctx, req, next)
	} else {
		resp, err = next.Handle(ctx, req)
	}
	if err != nil || resp == nil || !w.answers(req, resp) {
		return resp, err
	}
	return w.answered(ctx, req, resp, state)
}

// answers reports that the guest may be shown something of an answer.
func (w *Wasm) answers(req *plugin.Request, resp *plugin.Response) bool {
	m := &w.Guest().Manifest
	if m.Responses.Has(req.Key) {
		return true
	}
	if req.Key != kmsg.Fetch || !m.Has("fetch") {
		return false
	}
	return w.showsAny(resp.Body.View().Partitions, req.Target.Cluster)
}

// answered shows an answer to the guest.
func (w *Wasm) answered(ctx context.Context, req *plugin.Request, resp *plugin.Response, state []byte) (*plugin.Response, error) {
	m := &w.Guest().Manifest
	if req.Key == kmsg.Fetch && m.Has("fetch") {
		var err error
		if resp, err = w.fetch(ctx, req, resp, state); err != nil {
			return nil, err
		}
	}
	if m.Responses.Has(req.Key) {
		return w.response(ctx, req, resp, state)
	}
	return resp, nil
}

// head is what the guest is told of a request.
func (w *Wasm) head(kind uint16, req *plugin.Request, state []byte) *blocks.Head {
	h := &blocks.Head{
		Kind: kind, Key: int16(req.Key), Version: req.Version, Correlation: req.CorrelationID, Request: req.Seq,
		ClientID: req.ClientID, Cluster: req.Target.Cluster, State: state,
	}
	w.session(h, req.Session)
	return h
}

func (w *Wasm) session(h *blocks.Head, s *plugin.Session) {
	h.Session, h.VirtualCluster, h.ServerName, h.Remote = s.ID, w.env.VirtualCluster, s.ServerName, s.Remote
	h.Below, h.Own, h.Client, h.Topics = w.below, w.own, s, w
}

// failed is what on_error says of a call that did not work: go on as if there were no guest, or
// give up.
func (w *Wasm) failed(ctx context.Context, err error) (pass bool, fail error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if !errors.Is(err, breaker.ErrOpen) { // that was said
		w.log.ErrorContext(ctx, "guest failed", "error", err, "on_error", w.cfg.OnError)
	}
	if w.cfg.OnError == "pass" {
		return true, nil
	}
	return false, fmt.Errorf("guest %s: %w", w.Guest().Name, err)
}

// refuse answers a request with what the guest said.
func (w *Wasm) refuse(req *plugin.Request, r *blocks.RefusalError) (*plugin.Response, error) {
	if r.Close {
		return nil, plugin.CloseSession(r)
	}
	return plugin.Fail(req, kafka.Code(r.Code), r.Message)
}
