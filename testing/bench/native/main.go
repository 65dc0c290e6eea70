// Command native is a gateway with what guests are compared with: an interceptor in Go that does
// what the guest upper does, and the example mask, compiled in.
package main

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/cmd/gateway/cli"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins"
	"github.com/sluice-gateway/sluice/plugins/wasm"
	"github.com/sluice-gateway/sluice/sdk/examples/mask/mask"
	"github.com/sluice-gateway/sluice/testing/bench/guests/letters"
)

func main() {
	upperSpec := plugin.Spec{Type: "upper", Stage: plugin.Any, New: func(context.Context, plugin.Env, config.Section) (plugin.Interceptor, error) {
		return upper{}, nil
	}}
	cli.Main(append(plugins.Builtin(), upperSpec, wasm.Compiled("mask", mask.New))...)
}

// upper makes the letters of all values upper case.
type upper struct{}

func (upper) Keys() plugin.KeySet { return kafka.NewKeySet(kmsg.Produce, kmsg.Fetch) }

func (upper) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	var made buffers
	if req.Key == kmsg.Produce {
		f := req.Change()
		for i, p := range f.Body.View().Partitions {
			records, err := made.change(p.Records, kafka.CloseGaps)
			if err != nil {
				return nil, err
			}
			f.Body.SetRecords(i, records)
		}
		resp, err := next.Handle(ctx, f)
		if err == nil && resp != nil && resp.Release != nil {
			made.release() // a broker's answer: all of it has been read
		}
		return resp, err
	}
	resp, err := next.Handle(ctx, req)
	if err != nil || resp == nil {
		return resp, err
	}
	view := resp.Body.View()
	for i, p := range view.Partitions {
		records, err := made.change(p.Records, kafka.KeepGaps)
		if err != nil {
			return nil, err
		}
		view.SetRecords(i, records)
	}
	if resp.Release == nil {
		return resp, nil
	}
	release := resp.Release
	return &plugin.Response{Body: resp.Body, Close: resp.Close, Early: resp.Early, Release: func() { // when it is written
		made.release()
		release()
	}}, nil
}

// buffers are the memory of changed batches, which is used again.
type buffers []*[]byte

var memory = sync.Pool{New: func() any { return new([]byte) }}

func (b *buffers) release() {
	for _, p := range *b {
		memory.Put(p)
	}
}

// change makes the letters of all values upper case.
func (b *buffers) change(records []byte, gaps kafka.Gaps) (out []byte, err error) {
	for _, batch := range kafka.Batches(records) {
		p := memory.Get().(*[]byte)
		next, err := kafka.Bounds{}.Edit(*p, batch, gaps, func(r *kafka.RawRecord) kafka.Verdict {
			letters.Upper(r.Value)
			return kafka.ChangedInPlace
		})
		if err != nil {
			return nil, err
		}
		*p = next
		*b = append(*b, p)
		if out == nil {
			out = next // mostly there is one
			continue
		}
		out = append(out[:len(out):len(out)], next...)
	}
	return out, nil
}
