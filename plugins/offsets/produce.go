package offsets

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

const (
	notLeader          = 6
	outOfOrderSequence = 45
	duplicateSequence  = 46
)

// answered is a partition that is answered without the home.
type answered struct {
	topic     int
	partition kmsg.ProduceResponseTopicPartition
}

// produceDecoded stamps producer ids with the partition's generation and translates the offsets of the
// answer. What a producer sends again across a move is answered from memory. Generation 0 edits no
// batch.
func (o *Offsets) produceDecoded(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	c := o.cluster(req)
	p, err := req.Body.Produce()
	if err != nil {
		return nil, err
	}
	topics := make([]*catalog.Topic, len(p.Topics))
	stamp := false
	for i := range p.Topics {
		topics[i] = o.lineage(c, p.Topics[i].Topic, p.Topics[i].TopicID)
		stamp = stamp || (topics[i] != nil && topics[i].Generation > 0)
	}
	f, local := req, []answered(nil)
	if stamp {
		var m *kmsg.ProduceRequest
		if f, m, err = plugin.Edit[*kmsg.ProduceRequest](req); err != nil {
			return nil, err
		}
		local = o.stamp(m, topics)
		if !slices.ContainsFunc(m.Topics, func(t kmsg.ProduceRequestTopic) bool { return len(t.Partitions) > 0 }) {
			resp := m.ResponseKind().(*kmsg.ProduceResponse)
			resp.SetVersion(req.Version)
			early := o.addLocal(resp, p, local)
			r := plugin.Respond(resp)
			r.Early = early
			return r, nil
		}
		m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.ProduceRequestTopic) bool { return len(t.Partitions) == 0 })
	}
	resp, err := next.Handle(ctx, f)
	if err != nil || resp == nil {
		if stamp {
			o.failed(p, topics)
		}
		return resp, err
	}
	return resp, o.producedEdit(ctx, c, req, resp, local)
}

// producedEdit translates a decoded answer.
func (o *Offsets) producedEdit(ctx context.Context, c plugin.Cluster, req *plugin.Request, resp *plugin.Response, local []answered) error {
	p, err := req.Body.Produce()
	if err != nil {
		return err
	}
	r, err := resp.Body.Produce()
	if err != nil {
		return err
	}
	topics := make([]*catalog.Topic, len(p.Topics))
	for i := range p.Topics {
		topics[i] = o.lineage(c, p.Topics[i].Topic, p.Topics[i].TopicID)
	}
	edited, err := o.produced(ctx, r, p, topics)
	if err != nil {
		return err
	}
	if len(local) > 0 {
		resp.Early = o.addLocal(r, p, local)
		edited = true
	}
	if edited {
		_, err = resp.Body.Edit()
	}
	return err
}

// stamp puts generations into the producer ids of a request that is ours to change. Partitions that
// memory answers are taken out.
func (o *Offsets) stamp(m *kmsg.ProduceRequest, topics []*catalog.Topic) (local []answered) {
	for i := range m.Topics {
		t := topics[i]
		if t == nil || t.Generation == 0 {
			continue
		}
		kept := m.Topics[i].Partitions[:0]
		for _, part := range m.Topics[i].Partitions {
			if a, ok := o.fromMemory(t, part); ok {
				local = append(local, answered{i, a})
				continue
			}
			part.Records = stamped(part.Records, t.Generation)
			kept = append(kept, part)
		}
		m.Topics[i].Partitions = kept
	}
	return local
}

// fromMemory answers a batch that was acknowledged in an earlier generation, or that does not
// continue it.
func (o *Offsets) fromMemory(t *catalog.Topic, part kmsg.ProduceRequestTopicPartition) (a kmsg.ProduceResponseTopicPartition, ok bool) {
	for _, b := range kafka.Batches(part.Records) {
		if b.ProducerID() < 0 || b.IsTransactional() {
			continue
		}
		v, base := t.Memory().Judge(part.Partition, b.ProducerID(), remember(b, -1))
		if v == catalog.Compare {
			var copied bool
			if base, copied = t.Memory().Claim(part.Partition, b.ProducerID(), remember(b, -1), b); !copied {
				v = catalog.Pass
			}
		}
		if v == catalog.Pass {
			continue
		}
		a = kmsg.NewProduceResponseTopicPartition()
		a.Partition, a.BaseOffset, a.LogAppendTime, a.LogStartOffset = part.Partition, base, -1, -1
		switch v {
		case catalog.OutOfOrder:
			a.ErrorCode = outOfOrderSequence
		case catalog.Early:
			a.ErrorCode = notLeader
		}
		return a, true
	}
	return a, false
}

func remember(b kafka.Batch, base int64) catalog.Remembered {
	return catalog.Remembered{Epoch: b.ProducerEpoch(), First: b.BaseSequence(), Last: b.LastSequence(), Base: base}
}

// stamped returns a copy of records whose idempotent batches carry the generation; transactional
// ones are never stamped.
func stamped(records []byte, generation int32) []byte {
	var out []byte
	for at, b := range kafka.Batches(records) {
		if !catalog.IsGatewayProducer(b.ProducerID()) || b.IsTransactional() {
			continue
		}
		if out == nil {
			out = slices.Clone(records)
		}
		kafka.Batch(out[at : at+len(b)]).SetProducerID(catalog.StampProducer(b.ProducerID(), generation))
	}
	if out == nil {
		return records
	}
	return out
}

// produced translates an answer and remembers what it acknowledges.
func (o *Offsets) produced(ctx context.Context, r *kmsg.ProduceResponse, p *kmsg.ProduceRequest, topics []*catalog.Topic) (edited bool, err error) {
	for i := range r.Topics {
		rt := &r.Topics[i]
		at := slices.IndexFunc(p.Topics, func(t kmsg.ProduceRequestTopic) bool { return t.Topic == rt.Topic && t.TopicID == rt.TopicID })
		if at < 0 || topics[at] == nil {
			continue
		}
		t := topics[at]
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			part := t.Partition(rp.Partition)
			if t.Generation > 0 && r.Version >= 10 && rp.CurrentLeader.LeaderID >= 0 {
				rp.CurrentLeader.LeaderEpoch = part.VirtualEpoch(rp.CurrentLeader.LeaderEpoch)
				edited = true
			}
			if !part.Identity() || len(part.Segments) > 1 {
				edited = true
				if rp.BaseOffset >= 0 {
					rp.BaseOffset = part.ToVirtual(rp.BaseOffset)
				}
				if rp.LogStartOffset >= 0 {
					rp.LogStartOffset = max(part.ToVirtual(rp.LogStartOffset), part.LogStart)
				}
			}
			if rp.ErrorCode != 0 {
				for _, part := range p.Topics[at].Partitions {
					if part.Partition == rp.Partition {
						refused(t, rp.Partition, part.Records, rp.ErrorCode)
					}
				}
			} else if rp.BaseOffset >= 0 {
				end := o.acknowledged(t, p.Topics[at], rp) + 1
				t.Acknowledge(rp.Partition, catalog.Span{From: rp.BaseOffset, To: end})
				if err := o.reserve(ctx, t, rp.Partition, end); err != nil {
					return edited, err
				}
			}
		}
	}
	return edited, nil
}

// acknowledged remembers the batches of a partition and returns the last offset.
func (o *Offsets) acknowledged(t *catalog.Topic, req kmsg.ProduceRequestTopic, rp *kmsg.ProduceResponseTopicPartition) int64 {
	base := rp.BaseOffset
	for _, part := range req.Partitions {
		if part.Partition != rp.Partition {
			continue
		}
		for _, b := range kafka.Batches(part.Records) {
			if b.ProducerID() >= 0 && !b.IsTransactional() {
				t.Memory().Remember(part.Partition, b.ProducerID(), remember(b, base))
			}
			base += int64(b.Count())
		}
	}
	return max(base-1, rp.BaseOffset)
}

// addLocal adds what is answered without the home, and reports that some of it came early.
func (o *Offsets) addLocal(r *kmsg.ProduceResponse, p *kmsg.ProduceRequest, local []answered) (early bool) {
	for _, a := range local {
		early = early || a.partition.ErrorCode != 0
		want := p.Topics[a.topic]
		at := slices.IndexFunc(r.Topics, func(t kmsg.ProduceResponseTopic) bool { return t.Topic == want.Topic && t.TopicID == want.TopicID })
		if at < 0 {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = want.Topic, want.TopicID
			r.Topics = append(r.Topics, t)
			at = len(r.Topics) - 1
		}
		r.Topics[at].Partitions = append(r.Topics[at].Partitions, a.partition)
	}
	return early
}

// failed notes the batches of a request that was not answered.
func (o *Offsets) failed(p *kmsg.ProduceRequest, topics []*catalog.Topic) {
	for i, t := range topics {
		for _, part := range p.Topics[i].Partitions {
			refused(t, part.Partition, part.Records, -1)
		}
	}
}

// refused notes the batches of a partition that the home did not acknowledge.
func refused(t *catalog.Topic, partition int32, records []byte, code int16) {
	if t == nil || t.Generation == 0 {
		return
	}
	for _, b := range kafka.Batches(records) {
		if b.ProducerID() >= 0 && !b.IsTransactional() {
			t.Memory().Failed(partition, b.ProducerID(), remember(b, -1), code == duplicateSequence)
		}
	}
}
