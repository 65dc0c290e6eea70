package offsets

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// describeProducers shows the ids that clients know.
func (o *Offsets) describeProducers(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	resp, err := next.Handle(ctx, req)
	if err != nil {
		return nil, err
	}
	c := o.cluster(req)
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	r := out.(*kmsg.DescribeProducersResponse)
	for i := range r.Topics {
		t := o.lineage(c, r.Topics[i].Topic)
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			for k := range p.ActiveProducers {
				a := &p.ActiveProducers[k]
				a.ProducerID = catalog.ClientProducer(a.ProducerID)
				if t != nil {
					a.CurrentTxnStartOffset = virtualOf(t.Partition(p.Partition), a.CurrentTxnStartOffset)
				}
			}
		}
	}
	return resp, nil
}
