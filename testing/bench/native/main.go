// Command native is a gateway with what guests are compared with: an interceptor in Go that does
// what the guest upper does, and the example mask, compiled in.
package main

import (
	"context"

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
	if req.Key == kmsg.Produce {
		f, m, err := plugin.Edit[*kmsg.ProduceRequest](req)
		if err != nil {
			return nil, err
		}
		if err := change(m, kafka.CloseGaps); err != nil {
			return nil, err
		}
		return next.Handle(ctx, f)
	}
	resp, err := next.Handle(ctx, req)
	if err != nil || resp == nil {
		return resp, err
	}
	m, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	return resp, change(m, kafka.KeepGaps)
}

func change(m any, gaps kafka.Gaps) error {
	return kafka.EachRecords(m, func(records *[]byte) (err error) {
		*records, err = changed(*records, gaps)
		return err
	})
}

func changed(in []byte, gaps kafka.Gaps) ([]byte, error) {
	var out []byte
	for _, b := range kafka.Batches(in) {
		list, err := kafka.Records(b)
		if err != nil {
			return nil, err
		}
		for i := range list {
			letters.Upper(list[i].Value)
		}
		next, err := kafka.Rebuild(b, list, gaps)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = next // mostly there is one
			continue
		}
		out = append(out, next...)
	}
	return out, nil
}
