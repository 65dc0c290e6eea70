package offsets

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// deleteRecords translates the offset to delete up to (-1 is the end) and the new low watermark,
// and keeps in mind what is deleted: copies have it still, and no later home may show it.
func (o *Offsets) deleteRecords(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	c := o.cluster(req)
	f, m, err := plugin.Edit[*kmsg.DeleteRecordsRequest](req)
	if err != nil {
		return nil, err
	}
	for i := range m.Topics {
		t := o.lineage(c, m.Topics[i].Topic)
		for j := range m.Topics[i].Partitions {
			if p := &m.Topics[i].Partitions[j]; t != nil && p.Offset >= 0 {
				p.Offset = t.Partition(p.Partition).ToPhysical(p.Offset)
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
	r := out.(*kmsg.DeleteRecordsResponse)
	for i := range r.Topics {
		t := o.lineage(c, r.Topics[i].Topic)
		if t == nil {
			continue
		}
		erased := map[int32]int64{}
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			w := t.Partition(p.Partition).ToVirtualMarks(catalog.Watermarks{High: -1, Stable: -1, Start: p.LowWatermark}, t.Written(p.Partition))
			if p.LowWatermark = w.Start; p.ErrorCode == 0 && p.LowWatermark >= 0 {
				p.LowWatermark = t.Show(p.Partition, w).Start
				erased[p.Partition] = p.LowWatermark
			}
		}
		if len(erased) > 0 {
			if err := o.env.Catalog.Erase(ctx, t, erased); err != nil {
				return nil, err
			}
		}
	}
	return resp, nil
}
