package plugintest

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/plugin"
)

type belowKey struct{}

// end is what each run says.
type end struct{}

func (end) Handle(ctx context.Context, req *plugin.Request) (*plugin.Response, error) {
	return ctx.Value(belowKey{}).(plugin.HandlerFunc)(ctx, req)
}

func (e end) Start(ctx context.Context, req *plugin.Request, w *chain.Walk) bool {
	go func() {
		resp, err := plugin.Protect(ctx, req, e)
		if w.Take() {
			w.Answered(resp, err)
		}
	}()
	return true
}

func (end) Again(_ *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
	return plugin.Answer(resp, err)
}

// run lets a request run through the interceptor, in a chain, to below. While somebody may wait, it
// has its session's turn.
func (c *conform) run(ctx context.Context, req *plugin.Request, below plugin.HandlerFunc) (*plugin.Response, error) {
	ctx = context.WithValue(ctx, belowKey{}, below)
	var passed atomic.Int32
	pass := func() { passed.Add(1) }
	var resp *plugin.Response
	var err error
	if c.walks {
		done := make(chan struct{})
		w := c.chain.Walk(req.Key)
		r := &w.Req
		r.Header, r.Body, r.Session, r.Target, r.Seq, r.Clock = req.Header, req.Body, req.Session, req.Target, req.Seq, req.Clock
		waited := !w.Begin(ctx, func(r *plugin.Response, e error) {
			resp, err = r, e
			close(done)
		})
		if waited {
			r.SetTurn(pass)
			w.Run()
		}
		<-done
		if !waited {
			return resp, err
		}
	} else {
		req.SetTurn(pass)
		resp, err = c.chain.Row(req.Key).Handle(ctx, req)
	}
	if n := passed.Load(); n != 1 {
		return nil, fmt.Errorf("the %w of the request was given on %d times", errTurn, n)
	}
	return resp, err
}
