package upstream

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// lastKnown answers Metadata for a cluster that is unreachable: clients keep the view they had and
// their requests are held, not refused.
func (e *Dispatcher) lastKnown(req *plugin.Request, c *Cluster) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.MetadataRequest)
	topo := c.Topology()
	resp := kmsg.NewPtrMetadataResponse()
	resp.SetVersion(req.Version)
	resp.ControllerID, resp.ClusterID = topo.Controller, &topo.ClusterID
	add := func(name string, t *plugin.Topic) {
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic = kmsg.StringPtr(name)
		if t == nil {
			rt.ErrorCode = int16(kafka.LeaderNotAvailable)
			resp.Topics = append(resp.Topics, rt)
			return
		}
		rt.TopicID, rt.IsInternal = t.ID, t.Internal
		for i, p := range t.Partitions {
			rp := kmsg.NewMetadataResponseTopicPartition()
			rp.Partition, rp.Leader, rp.LeaderEpoch = int32(i), p.Leader, p.Epoch
			// Copies: what clients see is written over them.
			rp.Replicas, rp.ISR, rp.OfflineReplicas = slices.Clone(p.Replicas), slices.Clone(p.ISR), slices.Clone(p.Offline)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if m.Topics == nil || (req.Version == 0 && len(m.Topics) == 0) {
		for name, t := range topo.Topics {
			add(name, t)
		}
	}
	for _, t := range m.Topics {
		switch known := topo.IDs[t.TopicID]; {
		case known != nil:
			add(known.Name, known)
		case t.Topic != nil:
			add(*t.Topic, topo.Topics[*t.Topic])
		}
	}
	body := kafka.ResponseBodyOf(resp)
	if err := e.virtualize(req.Key, req.Version, c, body); err != nil {
		return nil, err
	}
	return &plugin.Response{Body: body}, nil
}
