package routing

import (
	"context"
	"github.com/sluice-gateway/sluice/core/kafka"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// offsetDelete forgets positions at the group's home. Topics that clients may not see stay out of
// the request and are unknown in its answer, unless the group itself is refused: then brokers name
// no topic.
func (r *Routing) offsetDelete(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	f, m, err := plugin.Edit[*kmsg.OffsetDeleteRequest](req)
	if err != nil {
		return nil, err
	}
	home := r.rules.group(m.Group)
	var unseen []kmsg.OffsetDeleteResponseTopic
	m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.OffsetDeleteRequestTopic) bool {
		if r.commitsAt(ctx, home, t.Topic, [16]byte{}) != "" {
			return false
		}
		answer := kmsg.OffsetDeleteResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			answer.Partitions = append(answer.Partitions, kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(kafka.UnknownTopicOrPartition)})
		}
		unseen = append(unseen, answer)
		return true
	})
	resp, err := r.to(ctx, f, next, home)
	if err != nil || resp == nil || len(unseen) == 0 {
		return resp, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	if out := msg.(*kmsg.OffsetDeleteResponse); out.ErrorCode == 0 {
		out.Topics = append(out.Topics, unseen...)
	}
	return resp, nil
}
