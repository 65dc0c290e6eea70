package wasm

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// fetch shows the records of a Fetch response to the guest.
func (w *Wasm) fetch(ctx context.Context, req *plugin.Request, resp *plugin.Response, state []byte) (*plugin.Response, error) {
	view := resp.Body.View()
	parts := w.fetched(req, view)
	if len(parts) == 0 {
		return resp, nil
	}
	err := w.Guest().Serve(ctx, w.head(abi.KindFetch, req, state), parts)
	var refusal *blocks.RefusalError
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
		if p.Failed != nil {
			pass, fail := w.failed(ctx, p.Failed)
			if err = fail; !pass { // consumers know no code for this: they are given nothing yet
				view.SetRecords(p.Index, []byte{})
				changed = true
				failures++
			}
			continue
		}
		switch {
		case refusal != nil || p.Refused != nil:
			// No other code is one that consumers take for a refusal.
			view.SetErrorCode(p.Index, kafka.TopicAuthorizationFailed)
			view.SetRecords(p.Index, []byte{})
			changed = true
		case p.Out != nil:
			view.SetRecords(p.Index, p.Out)
			changed = true
		}
	}
	if !changed {
		return resp, nil
	}
	if failures > 0 && !withRecords(view) { // nor does anybody else have any
		pause(ctx, req)
		return nil, err
	}
	release := resp.Release
	if release == nil {
		return resp, nil
	}
	guest := w.Guest()
	// A response of its own: the one from below is used again, with the Release that it has.
	return &plugin.Response{Body: resp.Body, Close: resp.Close, Early: resp.Early, Release: func() { // when it is written
		guest.Reclaim(parts)
		release()
	}}, nil
}

// withRecords reports that a partition has records.
func withRecords(view *kafka.ResponseView) bool {
	return slices.ContainsFunc(view.Partitions, func(p kafka.ResponsePartition) bool { return len(p.Records) > 0 })
}

// mostPause bounds a pause.
const mostPause = 500 * time.Millisecond

// pause waits as a broker does that has no records yet: a consumer that is given none asks again at
// once.
func pause(ctx context.Context, req *plugin.Request) {
	t := time.NewTimer(min(time.Duration(req.Body.View().MaxWaitMillis)*time.Millisecond, mostPause))
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

// fetched are the partitions of an answer that the guest is shown.
func (w *Wasm) fetched(req *plugin.Request, view *kafka.ResponseView) (parts []*blocks.Partition) {
	list, name := view.Partitions, ""
	for i := range list {
		p := &list[i]
		if i == 0 || p.ID != list[i-1].ID || string(p.Topic) != string(list[i-1].Topic) {
			name = w.nameOf(string(p.Topic), p.ID, req.Target.Cluster)
		}
		if len(p.Records) > 0 && p.ErrorCode == kafka.None && w.coversName(name) {
			parts = append(parts, &blocks.Partition{Topic: name, ID: p.ID, Number: p.Partition, Records: p.Records, Index: i})
		}
	}
	return parts
}
