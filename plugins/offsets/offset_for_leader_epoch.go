package offsets

import (
	"context"
	"github.com/sluice-gateway/sluice/core/kafka"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// offsetForLeaderEpoch answers epochs of earlier generations from the lineage: the home has never
// seen them, and every modern client would reset its position (KIP-320).
func (o *Offsets) offsetForLeaderEpoch(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	c := o.cluster(req)
	f, m, err := plugin.Edit[*kmsg.OffsetForLeaderEpochRequest](req)
	if err != nil {
		return nil, err
	}
	var local []kmsg.OffsetForLeaderEpochResponseTopic
	kept := m.Topics[:0]
	for _, mt := range m.Topics {
		t := o.lineage(c, mt.Topic)
		if t == nil || t.Generation == 0 {
			kept = append(kept, mt)
			continue
		}
		lt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		lt.Topic = mt.Topic
		parts := mt.Partitions[:0]
		for _, p := range mt.Partitions {
			if p.Partition < 0 || int(p.Partition) >= len(t.Partitions) {
				parts = append(parts, p) // the home says that there is none
				continue
			}
			part := t.Partition(p.Partition)
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition = p.Partition
			if p.LeaderEpoch < 0 { // no epoch has no end
				lt.Partitions = append(lt.Partitions, rp)
				continue
			}
			if last, end, ok := part.EpochEnd(p.LeaderEpoch); ok {
				rp.LeaderEpoch, rp.EndOffset = last, end
				lt.Partitions = append(lt.Partitions, rp)
				continue
			}
			if part.PhysicalEpoch(p.LeaderEpoch) < 0 {
				rp.ErrorCode = int16(kafka.UnknownLeaderEpoch)
				lt.Partitions = append(lt.Partitions, rp)
				continue
			}
			p.LeaderEpoch, p.CurrentLeaderEpoch = part.PhysicalEpoch(p.LeaderEpoch), -1
			parts = append(parts, p)
		}
		if len(lt.Partitions) > 0 {
			local = append(local, lt)
		}
		if mt.Partitions = parts; len(parts) > 0 {
			kept = append(kept, mt)
		}
	}
	if m.Topics = kept; len(kept) == 0 && len(local) > 0 {
		resp := m.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		resp.SetVersion(req.Version)
		resp.Topics = local
		return plugin.Respond(resp), nil
	}
	resp, err := next.Handle(ctx, f)
	if err != nil {
		return nil, err
	}
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	r := out.(*kmsg.OffsetForLeaderEpochResponse)
	for i := range r.Topics {
		t := o.lineage(c, r.Topics[i].Topic)
		if t == nil || t.Generation == 0 {
			continue
		}
		for j := range r.Topics[i].Partitions {
			rp := &r.Topics[i].Partitions[j]
			part := t.Partition(rp.Partition)
			if rp.EndOffset >= 0 {
				rp.EndOffset = part.ToVirtual(rp.EndOffset)
			}
			if rp.LeaderEpoch >= 0 {
				// An epoch from before the move ends where the generation begins, at the earliest.
				if rp.LeaderEpoch < part.Current().EpochBase {
					rp.EndOffset = max(rp.EndOffset, part.Current().Start)
				}
				rp.LeaderEpoch = part.VirtualEpoch(rp.LeaderEpoch)
			}
		}
	}
	for _, lt := range local {
		joined := false
		for i := range r.Topics {
			if r.Topics[i].Topic == lt.Topic {
				r.Topics[i].Partitions = append(r.Topics[i].Partitions, lt.Partitions...)
				joined = true
			}
		}
		if !joined {
			r.Topics = append(r.Topics, lt)
		}
	}
	return resp, nil
}
