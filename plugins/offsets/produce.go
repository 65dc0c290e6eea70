package offsets

import (
	"context"
	"iter"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// produceDown puts generations into the producer ids of a request: the home takes what is sent
// again across a move for what it is. Generation 0 edits no batch.
func (o *Offsets) produceDown(req *plugin.Request, s *plugin.Step) plugin.Outcome {
	c, h := o.cluster(req), req.Body.View()
	changed := false
	for i := range h.Partitions {
		p := &h.Partitions[i]
		t := o.lineageOf(c, p.Topic, p.ID)
		if t == nil || t.Generation == 0 {
			continue
		}
		if !passes(t, p) {
			return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) {
				return o.produceAgain(ctx, req, next)
			})
		}
		if !changed {
			s.Change(req)
			changed = true
		}
		stamp(req.Body, i, t.Generation)
	}
	return plugin.GoOn()
}

// passes reports that the home is to answer all batches of a partition.
func passes(t *catalog.Topic, p *kafka.RequestPartition) bool {
	for _, b := range kafka.Batches(p.Records) {
		if b.ProducerID() < 0 || b.IsTransactional() {
			continue
		}
		if v, _ := t.Memory().Judge(p.Partition, b.ProducerID(), remember(b, -1)); v != catalog.Pass {
			return false
		}
	}
	return true
}

// stamp puts a generation into the producer ids of a partition. Transactional batches are never
// stamped.
func stamp(body *kafka.RequestBody, i int, generation int32) {
	body.SetProducers(i, func(b kafka.Batch) int64 {
		if id := b.ProducerID(); catalog.IsGatewayProducer(id) && !b.IsTransactional() {
			return catalog.StampProducer(id, generation)
		}
		return b.ProducerID()
	})
}

// produceAgain sends a request of which batches are answered without the home: what a producer
// sends again across a move is answered from memory.
func (o *Offsets) produceAgain(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	c, h := o.cluster(req), req.Body.View()
	var local []kafka.PartitionAnswer
	early := false
	var rest []int
	for i := range h.Partitions {
		p := &h.Partitions[i]
		if t := o.lineageOf(c, p.Topic, p.ID); t != nil && t.Generation > 0 {
			if code, base, ok := o.fromMemory(t, p); ok {
				a := kafka.AnswerTo(i, code)
				a.BaseOffset = base
				local, early = append(local, a), early || code != 0
				continue
			}
		}
		rest = append(rest, i)
	}
	answer := &plugin.Response{Body: req.Body.Answer(local, nil), Early: early}
	if len(rest) == 0 {
		return answer, nil
	}
	f := req.With(req.Body.Only(rest))
	left := f.Body.View()
	for i := range left.Partitions {
		p := &left.Partitions[i]
		if t := o.lineageOf(c, p.Topic, p.ID); t != nil && t.Generation > 0 {
			stamp(f.Body, i, t.Generation)
		}
	}
	resp, err := next.Handle(ctx, f)
	if err != nil || resp == nil {
		o.failed(c, h)
		return resp, err
	}
	if r := resp.Body.View(); !o.produced(c, r, h) {
		if err := o.reserveProduced(ctx, c, r, h); err != nil {
			return nil, err
		}
	}
	if len(local) == 0 {
		return resp, nil
	}
	merged, err := fork.Merge(resp, answer)
	if err == nil {
		merged.Early = early
	}
	return merged, err
}

// fromMemory answers a batch that was acknowledged in an earlier generation, or that does not
// continue it.
func (o *Offsets) fromMemory(t *catalog.Topic, part *kafka.RequestPartition) (code kafka.Code, base int64, ok bool) {
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
		switch v {
		case catalog.OutOfOrder:
			code = kafka.OutOfOrderSequenceNumber
		case catalog.Early:
			code = kafka.NotLeaderOrFollower
		}
		return code, base, true
	}
	return 0, -1, false
}

func remember(b kafka.Batch, base int64) catalog.Remembered {
	return catalog.Remembered{Epoch: b.ProducerEpoch(), First: b.BaseSequence(), Last: b.LastSequence(), Base: base}
}

// produceUp translates the answer to what produceDown has sent.
func (o *Offsets) produceUp(req *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
	c, h := o.cluster(req), req.Body.View()
	if err != nil || resp == nil {
		o.failed(c, h)
		return plugin.Answer(resp, err)
	}
	r := resp.Body.View()
	if o.produced(c, r, h) {
		return plugin.Answer(resp, nil)
	}
	return plugin.Wait(func(ctx context.Context, _ plugin.Handler) (*plugin.Response, error) {
		return resp, o.reserveProduced(ctx, c, r, h)
	})
}

// failed notes the batches of a request that was not answered.
func (o *Offsets) failed(c plugin.Cluster, h *kafka.RequestView) {
	for i := range h.Partitions {
		p := &h.Partitions[i]
		refused(o.lineageOf(c, p.Topic, p.ID), p.Partition, p.Records, -1)
	}
}

// produced translates an answer in place and remembers what it acknowledges. reserved is false if
// offsets are to be reserved before the answer may be shown.
func (o *Offsets) produced(c plugin.Cluster, r *kafka.ResponseView, h *kafka.RequestView) (reserved bool) {
	reserved = true
	for i := range r.Partitions {
		rp := &r.Partitions[i]
		t := o.lineageOf(c, rp.Topic, rp.ID)
		if t == nil || !isSent(h, rp) {
			continue
		}
		part := t.Partition(rp.Partition)
		if t.Generation > 0 && rp.LeaderEpoch >= 0 {
			r.SetLeader(i, rp.LeaderID, part.VirtualEpoch(rp.LeaderEpoch))
		}
		if !part.Identity() || len(part.Segments) > 1 {
			start := rp.LogStartOffset
			if start >= 0 {
				start = max(part.ToVirtual(start), part.LogStart)
			}
			r.SetMarks(i, -1, -1, start)
			r.SetBaseOffset(i, virtualOf(part, rp.BaseOffset))
		}
		if rp.ErrorCode == 0 && rp.BaseOffset < 0 {
			continue
		}
		end := rp.BaseOffset
		for p := range sentTo(h, rp) {
			if rp.ErrorCode != 0 {
				refused(t, p.Partition, p.Records, int16(rp.ErrorCode))
				continue
			}
			for _, b := range kafka.Batches(p.Records) {
				if b.ProducerID() >= 0 && !b.IsTransactional() {
					t.Memory().Remember(p.Partition, b.ProducerID(), remember(b, end))
				}
				end += int64(b.Count())
			}
		}
		if rp.ErrorCode != 0 {
			continue
		}
		end = max(end, rp.BaseOffset+1)
		t.Acknowledge(rp.Partition, catalog.Span{From: rp.BaseOffset, To: end})
		reserved = o.env.Catalog.Reserved(t.Name, rp.Partition, end) && reserved
	}
	return reserved
}

// reserveProduced reserves what an answer shows that is translated.
func (o *Offsets) reserveProduced(ctx context.Context, c plugin.Cluster, r *kafka.ResponseView, h *kafka.RequestView) error {
	for i := range r.Partitions {
		rp := &r.Partitions[i]
		t := o.lineageOf(c, rp.Topic, rp.ID)
		if t == nil || rp.ErrorCode != 0 || rp.BaseOffset < 0 || !isSent(h, rp) {
			continue
		}
		end := rp.BaseOffset
		for p := range sentTo(h, rp) {
			for _, b := range kafka.Batches(p.Records) {
				end += int64(b.Count())
			}
		}
		if err := o.reserve(ctx, t, rp.Partition, max(end, rp.BaseOffset+1)); err != nil {
			return err
		}
	}
	return nil
}

// isSent reports a partition that the request is about. A broker that can't be believed may answer
// for any number of others: nothing is noted of them.
func isSent(h *kafka.RequestView, rp *kafka.ResponsePartition) bool {
	for range sentTo(h, rp) {
		return true
	}
	return false
}

// sentTo are the partitions of a request that a partition of its answer is about; a hostile client
// may name one twice.
func sentTo(h *kafka.RequestView, rp *kafka.ResponsePartition) iter.Seq[*kafka.RequestPartition] {
	return func(yield func(*kafka.RequestPartition) bool) {
		for j := range h.Partitions {
			p := &h.Partitions[j]
			if p.Partition == rp.Partition && p.ID == rp.ID && string(p.Topic) == string(rp.Topic) && !yield(p) {
				return
			}
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
			t.Memory().Failed(partition, b.ProducerID(), remember(b, -1), kafka.Code(code) == kafka.DuplicateSequenceNumber)
		}
	}
}
