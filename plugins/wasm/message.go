package wasm

import (
	"bytes"
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// message shows a body to the guest. What result holds is a copy.
func (g *Guest) message(ctx context.Context, function string, h *Head, body []byte, visit func(result) error) error {
	asJSON := g.Manifest.asJSON(h)
	if asJSON {
		var err error
		if body, err = toJSON(h, body); err != nil {
			return err
		}
	}
	b := block{size: len(body) + headRoom, head: h, body: body}
	return g.attempt(ctx, function, h, func() error {
		return g.invoke(ctx, function, h, b, func(_ spender, out, _ []byte) error {
			r, err := parseResult(bytes.Clone(out))
			if err == nil && asJSON {
				err = r.fromJSON(h)
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
	Refused                 *RefusalError
}

// Message shows the body of a request or, with abi.KindResponse in its head, of a response to the
// guest.
func (g *Guest) Message(ctx context.Context, h *Head, body []byte) (a Answer, err error) {
	function := abi.ExportOnRequest
	if h.Kind == abi.KindResponse {
		function = abi.ExportOnResponse
	}
	err = g.message(ctx, function, h, body, func(r result) error {
		a.State = r.state
		switch r.action {
		case abi.ActionForward:
			a.Forward = r.body
		case abi.ActionRespond, abi.ActionRespondClose:
			a.Respond = r.body
		case abi.ActionError:
			a.Refused = &RefusalError{Code: r.code, Message: string(r.message), Index: -1}
		case abi.ActionClose:
			a.Refused = &RefusalError{Message: string(r.message), Index: -1, Close: true}
		}
		return nil
	})
	return a, err
}

// bad is an error of what a guest made. It is the guest's, not the client's: what it wraps must not
// be found, or the client's session would be closed for it, or its records refused.
func bad(what string, err error) error { return errors.New(what + ": " + err.Error()) }

// request shows a request to the guest. It returns the request to go on with, or the answer.
func (w *Wasm) request(ctx context.Context, req *plugin.Request) (next *plugin.Request, resp *plugin.Response, state []byte, err error) {
	next = req
	var refusal *RefusalError
	failure := w.guest().message(ctx, abi.ExportOnRequest, w.head(abi.KindRequest, req, nil), req.Body.Bytes(), func(r result) error {
		switch r.action {
		case abi.ActionForward:
			if r.body != nil {
				body := kafka.NewRequestBody(req.Key, req.Version, r.body)
				if _, err := body.Peek(); err != nil {
					return bad("the request that it forwards", err)
				}
				next = req.With(body)
			}
			state = r.state
		case abi.ActionError:
			refusal = &RefusalError{Code: r.code, Message: string(r.message), Index: -1}
		case abi.ActionClose:
			refusal = &RefusalError{Message: string(r.message), Index: -1, Close: true}
		case abi.ActionRespond, abi.ActionRespondClose:
			body := kafka.NewResponseBody(req.Key, req.Version, r.body)
			if _, err := body.Peek(); err != nil {
				return bad("its response", err)
			}
			resp = &plugin.Response{Body: body, Close: r.action == abi.ActionRespondClose}
		}
		return nil
	})
	if failure != nil {
		resp, err := w.unseen(ctx, req, failure)
		return req, resp, nil, err
	}
	if refusal != nil {
		resp, err = w.refuse(req, refusal)
	}
	return next, resp, state, err
}

// unseen answers a request that the guest has failed with, unless on_error lets it pass: for good
// where the guest would fail again and clients take an error for one, else so that they try again.
func (w *Wasm) unseen(ctx context.Context, req *plugin.Request, failure error) (*plugin.Response, error) {
	pass, fail := w.failed(ctx, failure)
	if pass {
		return nil, nil
	}
	api, _ := kafka.Lookup(req.Key)
	switch {
	case !lasting(failure):
	case req.Key == kmsg.Produce:
		return w.refuse(req, &RefusalError{Code: int16(kafka.InvalidRecord), Message: fail.Error(), Index: -1})
	case api.OnFailure == kafka.UnknownServerError:
		return w.refuse(req, &RefusalError{Code: int16(kafka.PolicyViolation), Message: fail.Error(), Index: -1})
	}
	return nil, fail
}

// response shows a response to the guest and returns what it makes of it.
func (w *Wasm) response(ctx context.Context, req *plugin.Request, resp *plugin.Response, state []byte) (*plugin.Response, error) {
	out, refusal := resp, (*RefusalError)(nil)
	failure := w.guest().message(ctx, abi.ExportOnResponse, w.head(abi.KindResponse, req, state), resp.Body.Bytes(), func(r result) error {
		switch r.action {
		case abi.ActionError:
			refusal = &RefusalError{Code: r.code, Message: string(r.message), Index: -1}
		case abi.ActionClose:
			refusal = &RefusalError{Message: string(r.message), Index: -1, Close: true}
		default:
			if r.body == nil {
				resp.Close = resp.Close || r.action == abi.ActionRespondClose
				return nil
			}
			body := kafka.NewResponseBody(req.Key, req.Version, r.body)
			if _, err := body.Peek(); err != nil {
				return bad("the response that it forwards", err)
			}
			out = &plugin.Response{Body: body, Close: resp.Close || r.action == abi.ActionRespondClose}
		}
		return nil
	})
	switch {
	case failure != nil:
		if pass, fail := w.failed(ctx, failure); !pass {
			return nil, fail
		}
		return resp, nil
	case refusal != nil:
		return w.refuse(req, refusal)
	}
	return out, nil
}
