package offsets

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

const latest = -1

// listOffsets translates the home's answer. The latest offset is at least the highest watermark
// that clients were shown.
func (o *Offsets) listOffsets(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	c := o.cluster(req)
	f, m, err := plugin.Edit[*kmsg.ListOffsetsRequest](req)
	if err != nil {
		return nil, err
	}
	type key struct {
		topic     string
		partition int32
	}
	asked := map[key]int64{}
	for i := range m.Topics {
		t := o.lineage(c, m.Topics[i].Topic, [16]byte{})
		for j := range m.Topics[i].Partitions {
			mp := &m.Topics[i].Partitions[j]
			asked[key{m.Topics[i].Topic, mp.Partition}] = mp.Timestamp
			if t != nil && t.Generation > 0 {
				mp.CurrentLeaderEpoch = -1
			}
		}
	}
	resp, err := next.Handle(ctx, f)
	if err != nil {
		return nil, err
	}
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	r := out.(*kmsg.ListOffsetsResponse)
	for i := range r.Topics {
		t := o.lineage(c, r.Topics[i].Topic, [16]byte{})
		if t == nil {
			continue
		}
		for j := range r.Topics[i].Partitions {
			rp := &r.Topics[i].Partitions[j]
			if rp.ErrorCode != 0 {
				continue
			}
			part := t.Partition(rp.Partition)
			for k := range rp.OldStyleOffsets {
				rp.OldStyleOffsets[k] = virtualOf(part, rp.OldStyleOffsets[k])
			}
			if rp.Offset < 0 || req.Version < 1 {
				continue
			}
			at := rp.Offset
			rp.Offset = part.ToVirtual(at)
			if rp.LeaderEpoch >= 0 && t.Generation > 0 {
				rp.LeaderEpoch = part.BatchEpoch(rp.Offset, rp.LeaderEpoch)
			}
			if asked[key{r.Topics[i].Topic, rp.Partition}] == latest {
				rp.Offset = max(rp.Offset, t.High(rp.Partition))
				if err := o.reserve(ctx, t, rp.Partition, rp.Offset); err != nil {
					return nil, err
				}
			}
		}
	}
	return resp, nil
}
