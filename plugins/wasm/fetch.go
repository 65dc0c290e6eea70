package wasm

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// fetch shows the records of a Fetch response to the guest.
func (w *Wasm) fetch(ctx context.Context, req *plugin.Request, resp *plugin.Response, state []byte) (*plugin.Response, error) {
	if h := resp.Body.View(); h != nil && !w.showsAny(h.Partitions, req.Target.Cluster) {
		return resp, nil
	}
	f, err := resp.Body.Fetch()
	if err != nil {
		return nil, err
	}
	parts := w.fetched(req, f)
	if len(parts) == 0 {
		return resp, nil
	}
	err = w.guest().Serve(ctx, w.head(abi.KindFetch, req, state), parts)
	var refusal *RefusalError
	if err != nil && !errors.As(err, &refusal) {
		if pass, fail := w.failed(ctx, err); !pass {
			return nil, fail
		}
		return resp, nil
	}
	if refusal != nil && refusal.Close {
		return nil, plugin.CloseSession(refusal)
	}
	changed, failures := false, 0
	for _, p := range parts {
		t := &f.Topics[p.place.topic].Partitions[p.place.partition]
		if p.Failed != nil {
			pass, fail := w.failed(ctx, p.Failed)
			if err = fail; !pass { // consumers know no code for this: they are given nothing yet
				t.RecordBatches, changed = []byte{}, true
				failures++
			}
			continue
		}
		switch {
		case refusal != nil || p.Refused != nil:
			// No other code is one that consumers take for a refusal.
			t.ErrorCode, t.RecordBatches, changed = authorizationFailed, []byte{}, true
		case p.Out != nil:
			t.RecordBatches, changed = p.Out, true
		}
	}
	if !changed {
		return resp, nil
	}
	if failures > 0 && withRecords(f) == 0 { // nor does anybody else have any
		pause(ctx, req)
		return nil, err
	}
	if _, err = resp.Body.Edit(); err != nil {
		return nil, err
	}
	release := resp.Release
	if release == nil {
		return resp, nil
	}
	guest := w.guest()
	// A response of its own: the one from below is used again, with the Release that it has.
	return &plugin.Response{Body: resp.Body, Close: resp.Close, Early: resp.Early, Release: func() { // when it is written
		guest.reclaim(parts)
		release()
	}}, nil
}

// withRecords is how many partitions have records.
func withRecords(f *kmsg.FetchResponse) (n int) {
	for i := range f.Topics {
		for j := range f.Topics[i].Partitions {
			if len(f.Topics[i].Partitions[j].RecordBatches) > 0 {
				n++
			}
		}
	}
	return n
}

// mostPause bounds a pause.
const mostPause = 500 * time.Millisecond

// pause waits as a broker does that has no records yet: a consumer that is given none asks again at once.
func pause(ctx context.Context, req *plugin.Request) {
	f, err := req.Body.Fetch()
	if err != nil {
		return
	}
	t := time.NewTimer(min(time.Duration(f.MaxWaitMillis)*time.Millisecond, mostPause))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// showsAny reports whether there are records that the guest sees.
func (w *Wasm) showsAny(list []kafka.ResponsePartition, cluster string) bool {
	for i := range list {
		if p := &list[i]; len(p.Records) > 0 && (len(p.Topic) > 0 && w.covers(p.Topic) || len(p.Topic) == 0 && w.coversID(p.ID, cluster)) {
			return true
		}
	}
	return false
}

func (w *Wasm) fetched(req *plugin.Request, f *kmsg.FetchResponse) (parts []*Partition) {
	for i := range f.Topics {
		t := &f.Topics[i]
		name := w.nameOf(t.Topic, t.TopicID, req.Target.Cluster)
		if !w.coversName(name) {
			continue
		}
		for j := range t.Partitions {
			if p := &t.Partitions[j]; len(p.RecordBatches) > 0 && p.ErrorCode == 0 {
				parts = append(parts, &Partition{Topic: name, ID: t.TopicID, Number: p.Partition, Records: p.RecordBatches, place: place{i, j}})
			}
		}
	}
	return parts
}
