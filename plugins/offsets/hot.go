package offsets

import (
	"context"

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

// stampHot puts generations into the producer ids of a request, in place. ok is false if a batch is to
// be answered without the home.
func (o *Offsets) stampHot(c plugin.Cluster, req *plugin.Request, h *kafka.HotRequest) (f *plugin.Request, ok bool) {
	f = req
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
				return nil, false
			}
		}
		if f == req {
			f = req.Change()
		}
		generation := t.Generation
		f.Body.SetProducers(i, func(b kafka.Batch) int64 {
			if id := b.ProducerID(); catalog.IsGatewayProducer(id) && !b.IsTransactional() {
				return catalog.StampProducer(id, generation)
			}
			return b.ProducerID()
		})
	}
	return f, true
}

// failedHot notes the batches of a request that was not answered.
func (o *Offsets) failedHot(c plugin.Cluster, h *kafka.HotRequest) {
	for i := range h.Partitions {
		p := &h.Partitions[i]
		refused(o.lineageHot(c, p.Topic, p.ID), p.Partition, p.Records, -1)
	}
}

// producedHot translates an answer in place and remembers what it acknowledges.
func (o *Offsets) producedHot(ctx context.Context, c plugin.Cluster, r *kafka.HotResponse, h *kafka.HotRequest) error {
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
		for j := range h.Partitions {
			p := &h.Partitions[j]
			if p.Partition != rp.Partition || p.ID != rp.ID || string(p.Topic) != string(rp.Topic) {
				continue
			}
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
		if err := o.reserve(ctx, t, rp.Partition, end); err != nil {
			return err
		}
	}
	return nil
}
