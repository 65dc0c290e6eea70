package wasm

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// request shows a request to the guest. It returns the request to go on with, or the answer.
func (w *Wasm) request(ctx context.Context, req *plugin.Request) (next *plugin.Request, resp *plugin.Response, state []byte, err error) {
	next = req
	var refusal *blocks.RefusalError
	failure := w.Guest().Message(ctx, w.head(abi.KindRequest, req, nil), req.Body.Bytes(), func(r blocks.Result) error {
		refusal = r.Refusal()
		switch r.Action {
		case abi.ActionForward:
			if r.Body != nil {
				body := kafka.NewRequestBody(req.Key, req.Version, r.Body)
				if _, err := body.Peek(); err != nil {
					return blocks.Bad("the request that it forwards", err)
				}
				next = req.With(body)
			}
			state = r.State
		case abi.ActionRespond, abi.ActionRespondClose:
			body := kafka.NewResponseBody(req.Key, req.Version, r.Body)
			if _, err := body.Peek(); err != nil {
				return blocks.Bad("its response", err)
			}
			resp = &plugin.Response{Body: body, Close: r.Action == abi.ActionRespondClose}
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
	case !host.Lasting(failure):
	case req.Key == kmsg.Produce:
		return w.refuse(req, &blocks.RefusalError{Code: int16(kafka.InvalidRecord), Message: fail.Error(), Index: -1})
	case api.OnFailure == kafka.UnknownServerError:
		return w.refuse(req, &blocks.RefusalError{Code: int16(kafka.PolicyViolation), Message: fail.Error(), Index: -1})
	}
	return nil, fail
}

// response shows a response to the guest and returns what it makes of it.
func (w *Wasm) response(ctx context.Context, req *plugin.Request, resp *plugin.Response, state []byte) (*plugin.Response, error) {
	out, refusal := resp, (*blocks.RefusalError)(nil)
	failure := w.Guest().Message(ctx, w.head(abi.KindResponse, req, state), resp.Body.Bytes(), func(r blocks.Result) error {
		if refusal = r.Refusal(); refusal != nil {
			return nil
		}
		if r.Body == nil {
			resp.Close = resp.Close || r.Action == abi.ActionRespondClose
			return nil
		}
		body := kafka.NewResponseBody(req.Key, req.Version, r.Body)
		if _, err := body.Peek(); err != nil {
			return blocks.Bad("the response that it forwards", err)
		}
		out = &plugin.Response{Body: body, Close: resp.Close || r.Action == abi.ActionRespondClose}
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
