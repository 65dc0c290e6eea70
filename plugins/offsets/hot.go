package offsets

import (
	"context"
	"iter"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// lineageHot is lineage for a topic of a view; it does not allocate.
func (o *Offsets) lineageHot(c plugin.Cluster, name []byte, id [16]byte) *catalog.Topic {
	var t *catalog.Topic
	if len(name) == 0 {
		if pt := c.Topology().IDs[id]; pt != nil {
			return o.lineage(c, pt.Name, id)
		}
		t = o.env.Catalog.ByID(id)
	} else if t = o.env.Catalog.FindPhysical(c.Name(), name); t == nil {
		t = o.env.Catalog.Find(name, id)
	}
	return at(t, c)
}

// at is the topic as it is, or until a move is published was, when the cluster is its home.
func at(t *catalog.Topic, c plugin.Cluster) *catalog.Topic {
	switch {
	case t == nil:
		return nil
	case t.Home == c.Name():
		return t
	case t.Before != nil && t.Before.Home == c.Name():
		return t.Before
	}
	return nil
}

// produceDown puts generations into the producer ids of a request, in place, and reports that it could: that no batch is to be
// answered without the home.
func (o *Offsets) produceDown(req *plugin.Request, s *plugin.Step) bool {
	h := req.Body.Hot()
	if h == nil {
		return false
	}
	c := o.cluster(req)
	changed := false
	for i := range h.Partitions {
		p := &h.Partitions[i]
		t := o.lineageHot(c, p.Topic, p.ID)
		if t == nil || t.Generation == 0 {
			continue
		}
		for _, b := range kafka.Batches(p.Records) {
			if b.ProducerID() < 0 || b.IsTransactional() {
				continue
			}
			if v, _ := t.Memory().Judge(p.Partition, b.ProducerID(), remember(b, -1)); v != catalog.Pass {
				return false
			}
		}
		if !changed {
			s.Change(req)
			changed = true
		}
		generation := t.Generation
		req.Body.SetProducers(i, func(b kafka.Batch) int64 {
			if id := b.ProducerID(); catalog.IsGatewayProducer(id) && !b.IsTransactional() {
				return catalog.StampProducer(id, generation)
			}
			return b.ProducerID()
		})
	}
	return true
}

// produceUp translates the answer to what produceDown has sent.
func (o *Offsets) produceUp(req *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
	c, h := o.cluster(req), req.Body.Hot()
	if err != nil || resp == nil {
		o.failedHot(c, h)
		return plugin.Answer(resp, err)
	}
	r := resp.Body.Hot()
	if r == nil {
		return plugin.Wait(func(ctx context.Context, _ plugin.Handler) (*plugin.Response, error) {
			return resp, o.producedEdit(ctx, c, req, resp, nil)
		})
	}
	if o.producedHot(c, r, h) {
		return plugin.Answer(resp, nil)
	}
	return plugin.Wait(func(ctx context.Context, _ plugin.Handler) (*plugin.Response, error) {
		return resp, o.reserveProduced(ctx, c, r, h)
	})
}

// failedHot notes the batches of a request that was not answered.
func (o *Offsets) failedHot(c plugin.Cluster, h *kafka.HotRequest) {
	for i := range h.Partitions {
		p := &h.Partitions[i]
		refused(o.lineageHot(c, p.Topic, p.ID), p.Partition, p.Records, -1)
	}
}

// producedHot translates an answer in place and remembers what it acknowledges. reserved is false if offsets are to be reserved
// before the answer may be shown.
func (o *Offsets) producedHot(c plugin.Cluster, r *kafka.HotResponse, h *kafka.HotRequest) (reserved bool) {
	reserved = true
	for i := range r.Partitions {
		rp := &r.Partitions[i]
		t := o.lineageHot(c, rp.Topic, rp.ID)
		if t == nil {
			continue
		}
		part := t.Partition(rp.Partition)
		if !part.Identity() || len(part.Segments) > 1 {
			r.SetMarks(i, -1, -1, virtualOf(part, rp.LogStartOffset))
			r.SetBaseOffset(i, virtualOf(part, rp.BaseOffset))
		}
		if rp.ErrorCode == 0 && rp.BaseOffset < 0 {
			continue
		}
		end := rp.BaseOffset
		for p := range sentTo(h, rp) {
			if rp.ErrorCode != 0 {
				refused(t, p.Partition, p.Records, rp.ErrorCode)
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
func (o *Offsets) reserveProduced(ctx context.Context, c plugin.Cluster, r *kafka.HotResponse, h *kafka.HotRequest) error {
	for i := range r.Partitions {
		rp := &r.Partitions[i]
		t := o.lineageHot(c, rp.Topic, rp.ID)
		if t == nil || rp.ErrorCode != 0 || rp.BaseOffset < 0 {
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

// sentTo are the partitions of a request that a partition of its answer is about; a hostile client may name one twice.
func sentTo(h *kafka.HotRequest, rp *kafka.HotAnswer) iter.Seq[*kafka.HotPartition] {
	return func(yield func(*kafka.HotPartition) bool) {
		for j := range h.Partitions {
			p := &h.Partitions[j]
			if p.Partition == rp.Partition && p.ID == rp.ID && string(p.Topic) == string(rp.Topic) && !yield(p) {
				return
			}
		}
	}
}
