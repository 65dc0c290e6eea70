package wasm

import (
	"context"
	"errors"

	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// produce shows the records of a Produce to the guest and forwards what it makes of them.
func (w *Wasm) produce(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	parts := w.produced(req)
	if len(parts) == 0 {
		return next.Handle(ctx, req)
	}
	err := w.Guest().Serve(ctx, w.head(abi.KindProduce, req, nil), parts)
	var refusal *blocks.RefusalError
	switch {
	case errors.As(err, &refusal):
		return w.refuse(req, refusal)
	case err != nil:
		if pass, fail := w.failed(ctx, err); !pass {
			return nil, fail
		}
		return next.Handle(ctx, req)
	}
	if err := w.failures(ctx, parts); err != nil {
		return nil, err
	}
	return w.forward(ctx, req, next, parts)
}

// failures refuses, unless on_error lets them pass, the partitions that the guest has failed with:
// for good where it would fail again, else so that clients try again. An error is that of all of
// them.
func (w *Wasm) failures(ctx context.Context, parts []*blocks.Partition) (err error) {
	all := true
	for _, p := range parts {
		if p.Failed == nil {
			all = false
			continue
		}
		pass, fail := w.failed(ctx, p.Failed)
		if pass {
			continue
		}
		err = fail
		code := int16(kafka.RequestTimedOut)
		if host.Lasting(p.Failed) {
			code, all = int16(kafka.InvalidRecord), false
		}
		p.Reject(blocks.RefusalError{Code: code, Message: fail.Error(), Index: -1})
	}
	if !all {
		return nil
	}
	return err
}

func (w *Wasm) coversAny(list []kafka.RequestPartition, cluster string) bool {
	for i := range list {
		if p := &list[i]; len(p.Topic) > 0 && w.covers(p.Topic) || len(p.Topic) == 0 && w.coversID(p.ID, cluster) {
			return true
		}
	}
	return false
}

// produced are the partitions of a request that the guest is shown.
func (w *Wasm) produced(req *plugin.Request) (parts []*blocks.Partition) {
	list, name := req.Body.View().Partitions, ""
	for i := range list {
		p := &list[i]
		if i == 0 || p.ID != list[i-1].ID || string(p.Topic) != string(list[i-1].Topic) {
			name = w.nameOf(string(p.Topic), p.ID, req.Target.Cluster)
		}
		if w.coversName(name) {
			parts = append(parts, &blocks.Partition{Topic: name, ID: p.ID, Number: p.Partition, Records: p.Records, Index: i})
		}
	}
	return parts
}

// forward sends the partitions on that the guest did not refuse, and answers for the others.
func (w *Wasm) forward(ctx context.Context, req *plugin.Request, next plugin.Handler, parts []*blocks.Partition) (*plugin.Response, error) {
	list := req.Body.View().Partitions
	refused := make(map[int]bool)
	var answers []kafka.PartitionAnswer
	changed := false
	for _, p := range parts {
		changed = changed || p.Out != nil
		if p.Refused != nil {
			refused[p.Index] = true
			answers = append(answers, answerOf(p))
		}
	}
	switch {
	case len(refused) == len(list) && len(list) > 0:
		return &plugin.Response{Body: req.Body.Answer(answers, nil)}, nil
	case !changed && len(refused) == 0:
		return next.Handle(ctx, req)
	}
	left := make([]int, 0, len(list)) // of list
	at := make([]int, len(list))      // where each of those stands then
	for i := range list {
		if !refused[i] {
			at[i] = len(left)
			left = append(left, i)
		}
	}
	f := req.With(req.Body.Only(left))
	for _, p := range parts {
		if p.Refused == nil && p.Out != nil {
			f.Body.SetRecords(at[p.Index], p.Out)
		}
	}
	resp, err := next.Handle(ctx, f)
	if err == nil && resp != nil && resp.Release != nil {
		w.Guest().Reclaim(parts) // a broker's answer: all of it has been read
	}
	if err != nil || resp == nil || len(refused) == 0 {
		return resp, err
	}
	return fork.Merge(resp, &plugin.Response{Body: req.Body.Answer(answers, nil)})
}

// answerOf answers a partition that the guest has refused.
func answerOf(p *blocks.Partition) kafka.PartitionAnswer {
	a := kafka.AnswerTo(p.Index, kafka.Code(p.Refused.Code))
	a.ErrorMessage = p.Refused.Message
	for _, r := range p.Rejected {
		if r.Index >= 0 { // a record is to blame
			a.Refused = append(a.Refused, kafka.RecordError{Index: int32(r.Index), Message: r.Message})
		}
	}
	return a
}
