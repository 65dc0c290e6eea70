// Command native is a gateway with an interceptor in Go that does what the guest upper does, to be compared with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins"
	"github.com/sluice-gateway/sluice/testing/bench/guests/letters"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "native:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	upperSpec := plugin.Spec{Type: "upper", Stage: plugin.Any, New: func(context.Context, plugin.Env, config.Section) (plugin.Interceptor, error) {
		return upper{}, nil
	}}
	g, err := gateway.Start(context.Background(), gateway.Options{Path: file, Specs: append(plugins.Builtin(), upperSpec)})
	if err != nil {
		return err
	}
	return errors.Join(g.Run(context.Background()), g.Close())
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
		defer f.Queued()
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				p := &m.Topics[i].Partitions[j]
				if p.Records, err = changed(p.Records, kafka.CloseGaps); err != nil {
					return nil, err
				}
			}
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
	r := m.(*kmsg.FetchResponse)
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			if p.RecordBatches, err = changed(p.RecordBatches, kafka.KeepGaps); err != nil {
				return nil, err
			}
		}
	}
	return resp, nil
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
