package host

import (
	"bytes"
	"context"

	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// shownTo are the functions of the contract that are shown what is no record, by kind.
var shownTo = map[uint16]string{abi.KindRequest: abi.ExportOnRequest, abi.KindResponse: abi.ExportOnResponse, abi.KindSession: abi.ExportOnSession}

// Message shows a request, a response or the event of a session to the guest, as its head says, and
// then visits what it answers, which is a copy. An error of the visitor is a failure of the guest.
func (g *Guest) Message(ctx context.Context, h *blocks.Head, body []byte, visit func(blocks.Result) error) error {
	asJSON := g.Manifest.AsJSON(h.Kind, h.Key)
	if asJSON {
		var err error
		if body, err = blocks.ToJSON(h, body); err != nil {
			return err
		}
	}
	function, b := shownTo[h.Kind], blocks.OfMessage(h, body)
	return g.attempt(ctx, function, h, func() error {
		return g.invoke(ctx, function, h, b, func(_ blocks.Spender, out, _ []byte) error {
			r, err := blocks.ParseResult(bytes.Clone(out))
			if err == nil && asJSON {
				err = r.FromJSON(h)
			}
			if err != nil {
				return err
			}
			return visit(r)
		})
	})
}

// Answer is what a guest makes of a message: nil bodies are absent.
type Answer struct {
	Forward, Respond, State []byte
	Refused                 *blocks.RefusalError
}

// Ask shows the body of a request or, with abi.KindResponse in its head, of a response to the
// guest.
func (g *Guest) Ask(ctx context.Context, h *blocks.Head, body []byte) (a Answer, err error) {
	err = g.Message(ctx, h, body, func(r blocks.Result) error {
		a.State, a.Refused = r.State, r.Refusal()
		switch r.Action {
		case abi.ActionForward:
			a.Forward = r.Body
		case abi.ActionRespond, abi.ActionRespondClose:
			a.Respond = r.Body
		}
		return nil
	})
	return a, err
}
