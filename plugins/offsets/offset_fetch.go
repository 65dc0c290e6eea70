package offsets

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// offsetFetch never shows a committed epoch above the one that Metadata shows: a Java consumer
// would wait for it for ever, without an error. Positions in a hole are shown behind it.
func (o *Offsets) offsetFetch(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	resp, err := next.Handle(ctx, req)
	if err != nil {
		return nil, err
	}
	c := o.cluster(req)
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	var all []committed
	r := out.(*kmsg.OffsetFetchResponse)
	for i := range r.Topics {
		t := o.committed(c, r.Topics[i].Topic, [16]byte{})
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			all = append(all, committed{t, p.Partition, &p.Offset, &p.LeaderEpoch})
		}
	}
	for g := range r.Groups {
		for i := range r.Groups[g].Topics {
			gt := &r.Groups[g].Topics[i]
			t := o.committed(c, gt.Topic, gt.TopicID)
			for j := range gt.Partitions {
				p := &gt.Partitions[j]
				all = append(all, committed{t, p.Partition, &p.Offset, &p.LeaderEpoch})
			}
		}
	}
	o.settle(ctx, all)
	return resp, nil
}

// committed finds the topic of a committed offset, wherever it lives, as clients were told last.
func (o *Offsets) committed(c plugin.Cluster, name string, id [16]byte) *catalog.Topic {
	if t := o.topicOf(c, name, id); t != nil {
		return t.View()
	}
	return nil
}

func (o *Offsets) topicOf(c plugin.Cluster, name string, id [16]byte) *catalog.Topic {
	if name == "" {
		if t := c.Topology().IDs[id]; t != nil {
			name = t.Name
		} else if t := o.env.Catalog.ByID(id); t != nil {
			return t
		}
	}
	if t := o.env.Catalog.ByPhysical(c.Name(), name); t != nil {
		return t
	}
	return o.env.Catalog.Topic(name)
}

// shownEpoch bounds a committed epoch by what clients are told of the partition's leader.
func (o *Offsets) shownEpoch(t *catalog.Topic, partition, epoch int32) int32 {
	if t == nil || epoch < 0 {
		return epoch
	}
	home := o.env.Cluster(t.Home)
	if home == nil {
		return -1
	}
	_, physical := home.Topology().Leader(t.Physical(t.Home), partition)
	if physical < 0 {
		return -1
	}
	return min(epoch, t.Partition(partition).VirtualEpoch(physical))
}
