package offsets

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// describeShareGroupOffsets translates where share partitions start, which are positions in the log
// of the topic's home, unlike those of other groups.
func (o *Offsets) describeShareGroupOffsets(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	resp, err := next.Handle(ctx, req)
	if err != nil || resp == nil {
		return resp, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	c := o.cluster(req)
	for _, g := range msg.(*kmsg.DescribeShareGroupOffsetsResponse).Groups {
		for _, topic := range g.Topics {
			t := o.lineageOf(c, []byte(topic.Topic), topic.TopicID)
			if t == nil {
				continue
			}
			for i := range topic.Partitions {
				p := &topic.Partitions[i]
				part := t.Partition(p.Partition)
				if p.StartOffset >= 0 {
					p.StartOffset = t.Settle(p.Partition, max(part.ToVirtual(p.StartOffset), part.LogStart))
				}
				p.LeaderEpoch = part.VirtualEpoch(p.LeaderEpoch)
			}
		}
	}
	return resp, nil
}

// alterShareGroupOffsets translates where share partitions are to start.
func (o *Offsets) alterShareGroupOffsets(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	f, m, err := plugin.Edit[*kmsg.AlterShareGroupOffsetsRequest](req)
	if err != nil {
		return nil, err
	}
	c := o.cluster(req)
	for i := range m.Topics {
		t := o.lineage(c, m.Topics[i].Topic)
		if t == nil || t.Generation == 0 {
			continue
		}
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			p.StartOffset = physicalOf(t.Partition(p.Partition), p.StartOffset)
		}
	}
	return next.Handle(ctx, f)
}
