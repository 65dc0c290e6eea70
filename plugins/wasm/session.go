package wasm

import (
	"context"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// SessionOpened shows a new connection to the guest.
func (w *Wasm) SessionOpened(ctx context.Context, s *plugin.Session) error {
	return w.event(ctx, s, abi.SessionConnect)
}

// SessionClosed shows the end of a connection to the guest.
func (w *Wasm) SessionClosed(ctx context.Context, s *plugin.Session) {
	_ = w.event(ctx, s, abi.SessionDisconnect)
}

// Observes reports whether sessions are to be shown.
func (w *Wasm) Observes() bool { return w.Guest().Manifest.Session }

func (w *Wasm) event(ctx context.Context, s *plugin.Session, event uint16) error {
	h := &blocks.Head{Kind: abi.KindSession, Event: event}
	w.session(h, s)
	var closed error
	err := w.Guest().Message(ctx, h, nil, func(r blocks.Result) error {
		if refusal := r.Refusal(); refusal != nil {
			refusal.Close = true
			closed = refusal
		}
		return nil
	})
	if err != nil {
		if pass, fail := w.failed(ctx, err); !pass {
			return fail
		}
	}
	return closed
}
