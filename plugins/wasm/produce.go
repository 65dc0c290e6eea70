package wasm

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// produce shows the records of a Produce to the guest and forwards what it makes of them.
func (w *Wasm) produce(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	if h := req.Body.View(); h != nil && !w.coversAny(h.Partitions, req.Target.Cluster) {
		return next.Handle(ctx, req)
	}
	p, err := req.Body.Produce()
	if err != nil {
		return nil, err
	}
	parts := w.produced(req, p)
	if len(parts) == 0 {
		return next.Handle(ctx, req)
	}
	err = w.guest().Serve(ctx, w.head(abi.KindProduce, req, nil), parts)
	var refusal *RefusalError
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

// failures refuses, unless on_error lets them pass, the partitions that the guest has failed with: for good where it would fail
// again, else so that clients try again. An error is that of all of them.
func (w *Wasm) failures(ctx context.Context, parts []*Partition) (err error) {
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
		if lasting(p.Failed) {
			code, all = int16(kafka.InvalidRecord), false
		}
		p.reject(RefusalError{Code: code, Message: fail.Error(), Index: -1})
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

// place is where a partition stands in a request or response.
type place struct{ topic, partition int }

func (w *Wasm) produced(req *plugin.Request, p *kmsg.ProduceRequest) (parts []*Partition) {
	for i := range p.Topics {
		t := &p.Topics[i]
		name := w.nameOf(t.Topic, t.TopicID, req.Target.Cluster)
		if !w.coversName(name) {
			continue
		}
		for j := range t.Partitions {
			parts = append(parts, &Partition{Topic: name, ID: t.TopicID, Number: t.Partitions[j].Partition, Records: t.Partitions[j].Records, place: place{i, j}})
		}
	}
	return parts
}

// forward sends the partitions on that the guest did not refuse, and answers for the others.
func (w *Wasm) forward(ctx context.Context, req *plugin.Request, next plugin.Handler, parts []*Partition) (*plugin.Response, error) {
	changed, refused := false, 0
	for _, p := range parts {
		changed = changed || p.Out != nil
		if p.Refused != nil {
			refused++
		}
	}
	if !changed && refused == 0 {
		return next.Handle(ctx, req)
	}
	f, m, err := plugin.Edit[*kmsg.ProduceRequest](req)
	if err != nil {
		return nil, err
	}
	var answers *kmsg.ProduceResponse // nil: all are sent
	left := 0
	for i := range m.Topics {
		left += len(m.Topics[i].Partitions)
	}
	for i := len(parts) - 1; i >= 0; i-- { // from behind: places stay what they are
		p, at := parts[i], parts[i].place
		t := &m.Topics[at.topic]
		if p.Refused != nil {
			if answers == nil {
				answers = m.ResponseKind().(*kmsg.ProduceResponse)
			}
			addAnswer(answers, t.Topic, t.TopicID, p)
			t.Partitions = append(t.Partitions[:at.partition], t.Partitions[at.partition+1:]...)
			left--
		} else if p.Out != nil {
			t.Partitions[at.partition].Records = p.Out
		}
	}
	if left == 0 {
		answers.SetVersion(req.Version)
		return plugin.Respond(answers), nil
	}
	if refused > 0 {
		m.Topics = compact(m.Topics)
	}
	resp, err := next.Handle(ctx, f)
	if err == nil && resp != nil && resp.Release != nil {
		w.guest().reclaim(parts) // a broker's answer: all of it has been read
	}
	if err != nil || resp == nil || refused == 0 {
		return resp, err
	}
	return resp, merge(resp, answers)
}

// compact leaves out topics without partitions.
func compact(topics []kmsg.ProduceRequestTopic) (out []kmsg.ProduceRequestTopic) {
	for _, t := range topics {
		if len(t.Partitions) > 0 {
			out = append(out, t)
		}
	}
	return out
}

func addAnswer(r *kmsg.ProduceResponse, topic string, id [16]byte, p *Partition) {
	a := kmsg.NewProduceResponseTopicPartition()
	a.Partition, a.ErrorCode, a.ErrorMessage = p.Number, p.Refused.Code, &p.Refused.Message
	a.BaseOffset, a.LogAppendTime, a.LogStartOffset = -1, -1, -1
	for i := range p.Rejected {
		if p.Rejected[i].Index < 0 { // no record is to blame
			continue
		}
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = int32(p.Rejected[i].Index), &p.Rejected[i].Message
		a.ErrorRecords = append(a.ErrorRecords, e)
	}
	for i := range r.Topics {
		if r.Topics[i].Topic == topic && r.Topics[i].TopicID == id {
			r.Topics[i].Partitions = append(r.Topics[i].Partitions, a)
			return
		}
	}
	t := kmsg.NewProduceResponseTopic()
	t.Topic, t.TopicID = topic, id
	t.Partitions = append(t.Partitions, a)
	r.Topics = append(r.Topics, t)
}

// merge adds the answers for refused partitions to a response.
func merge(resp *plugin.Response, answers *kmsg.ProduceResponse) error {
	m, err := resp.Body.Edit()
	if err != nil {
		return err
	}
	r := m.(*kmsg.ProduceResponse)
	for _, t := range answers.Topics {
		found := false
		for i := range r.Topics {
			if r.Topics[i].Topic == t.Topic && r.Topics[i].TopicID == t.TopicID {
				r.Topics[i].Partitions = append(r.Topics[i].Partitions, t.Partitions...)
				found = true
			}
		}
		if !found {
			r.Topics = append(r.Topics, t)
		}
	}
	return nil
}
