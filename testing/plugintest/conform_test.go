package plugintest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// wrong does what it should not.
type wrong func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error)

func (wrong) Keys() plugin.KeySet { return kafka.NewKeySet(kmsg.Produce, kmsg.Fetch) }

func (w wrong) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return w(ctx, req, next)
}

// produced sends what edit makes of a Produce.
func produced(edit func(*kmsg.ProduceRequest) error) wrong {
	return func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
		f, m, err := plugin.Edit[*kmsg.ProduceRequest](req)
		if err == nil {
			err = edit(m)
		}
		if err != nil {
			return nil, err
		}
		return next.Handle(ctx, f)
	}
}

// fetched returns what edit makes of the answer to a Fetch.
func fetched(edit func(*kmsg.FetchResponse)) wrong {
	return func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
		resp, err := next.Handle(ctx, req)
		if err != nil {
			return nil, err
		}
		m, err := resp.Body.Edit()
		if err != nil {
			return nil, err
		}
		edit(m.(*kmsg.FetchResponse))
		return resp, nil
	}
}

// without builds a batch anew without its second record.
func without(records []byte, gaps kafka.Gaps) []byte {
	list, err := kafka.Records(records)
	if err == nil {
		records, err = kafka.Rebuild(records, append(list[:1:1], list[2:]...), gaps)
	}
	if err != nil {
		panic(err)
	}
	return records
}

// TestConformFindsWhatIsWrong: each rule fails for an interceptor that breaks it, and none for one
// that does nothing.
func TestConformFindsWhatIsWrong(t *testing.T) {
	const uncompressed, idempotent, marker = 0, 1, 10
	for want, c := range map[string]struct {
		key kmsg.Key
		i   wrong
	}{
		"": {kmsg.Produce, func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
			return next.Handle(ctx, req)
		}},
		"it has changed the request that it was given": {kmsg.Produce, func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
			m, err := req.Body.Edit()
			if err != nil {
				return nil, err
			}
			m.(*kmsg.ProduceRequest).TimeoutMillis++
			return next.Handle(ctx, req)
		}},
		"a marker or broken batch was changed": {kmsg.Produce, produced(func(m *kmsg.ProduceRequest) error {
			m.Topics[0].Partitions[marker].Records = m.Topics[0].Partitions[uncompressed].Records
			return nil
		})},
		"a wrong checksum": {kmsg.Produce, produced(func(m *kmsg.ProduceRequest) error {
			p := &m.Topics[0].Partitions[uncompressed]
			p.Records = append([]byte{}, p.Records...)
			p.Records[27]++
			return nil
		})},
		"4 records in a sequence of 5": {kmsg.Produce, produced(func(m *kmsg.ProduceRequest) error {
			p := &m.Topics[0].Partitions[idempotent]
			p.Records = without(p.Records, kafka.CloseGaps)
			return nil
		})},
		"the last of 4 records is 4": {kmsg.Produce, produced(func(m *kmsg.ProduceRequest) error {
			p := &m.Topics[0].Partitions[uncompressed]
			p.Records = without(p.Records, kafka.KeepGaps)
			return nil
		})},
		"is answered 0 times": {kmsg.Produce, produced(func(m *kmsg.ProduceRequest) error {
			m.Topics[0].Partitions = m.Topics[0].Partitions[1:]
			return nil
		})},
		"no answer, and no error": {kmsg.Produce, func(context.Context, *plugin.Request, plugin.Handler) (*plugin.Response, error) { return nil, nil }},
		"consumers would go on at another offset": {kmsg.Fetch, fetched(func(m *kmsg.FetchResponse) {
			p := &m.Topics[0].Partitions[uncompressed]
			p.RecordBatches = without(without(p.RecordBatches, kafka.CloseGaps), kafka.CloseGaps)
		})},
	} {
		err := newConform(t, c.i, "orders").exchange(t.Context(), c.key, map[kmsg.Key]int16{kmsg.Produce: 9, kmsg.Fetch: 12}[c.key])
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	swallows := wrong(func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
		if _, err := next.Handle(ctx, req); err != nil {
			return nil, errors.New("oh")
		}
		return nil, nil
	})
	c := newConform(t, swallows, "orders")
	if err := c.belowFails(t.Context(), kmsg.Produce, 9); err == nil {
		t.Error("an error from below may be swallowed")
	}
}
