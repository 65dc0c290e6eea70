package offsets

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// metadata shows virtual leader epochs.
func (o *Offsets) metadata(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	resp, err := next.Handle(ctx, req)
	if err != nil {
		return nil, err
	}
	c := o.cluster(req)
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	m := out.(*kmsg.MetadataResponse)
	for i := range m.Topics {
		if m.Topics[i].Topic == nil {
			continue
		}
		t := o.lineage(c, *m.Topics[i].Topic)
		if t == nil || t.Generation == 0 {
			continue
		}
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			p.LeaderEpoch = t.Partition(p.Partition).VirtualEpoch(p.LeaderEpoch)
		}
	}
	return resp, nil
}

// describeTopicPartitions shows virtual leader epochs.
func (o *Offsets) describeTopicPartitions(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	resp, err := next.Handle(ctx, req)
	if err != nil {
		return nil, err
	}
	c := o.cluster(req)
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	m := out.(*kmsg.DescribeTopicPartitionsResponse)
	for i := range m.Topics {
		if m.Topics[i].Topic == nil {
			continue
		}
		t := o.lineage(c, *m.Topics[i].Topic)
		if t == nil || t.Generation == 0 {
			continue
		}
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			p.LeaderEpoch = t.Partition(p.Partition).VirtualEpoch(p.LeaderEpoch)
		}
	}
	return resp, nil
}
