package wasm

import (
	"context"

	"github.com/sluice-gateway/sluice/core/plugin"
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
func (w *Wasm) Observes() bool { return w.guest().Manifest.Session }

func (w *Wasm) event(ctx context.Context, s *plugin.Session, event uint16) error {
	h := &Head{Kind: abi.KindSession, Event: event}
	w.session(h, s)
	var closed error
	err := w.guest().message(ctx, abi.ExportOnSession, h, nil, func(r result) error {
		if r.action == abi.ActionClose || r.action == abi.ActionError {
			closed = &RefusalError{Code: r.code, Message: string(r.message), Index: -1, Close: true}
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
