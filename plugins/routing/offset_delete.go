package routing

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// offsetDelete forgets positions at the group's home. Topics that clients may not see stay out of
// the request and are unknown in its answer, unless the group itself is refused: then brokers name
// no topic.
func (r *Routing) offsetDelete(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	_, group, _ := kafka.CoordinatorKey(req.Body)
	return r.atHome(ctx, req, group, true, func(ctx context.Context, home string) (*plugin.Response, error) {
		if err := r.membersFirst(ctx, req, group); err != nil {
			return nil, err
		}
		return r.deleteAt(ctx, req, next, home)
	})
}

func (r *Routing) deleteAt(ctx context.Context, req *plugin.Request, next plugin.Handler, home string) (*plugin.Response, error) {
	f, m, err := plugin.Edit[*kmsg.OffsetDeleteRequest](req)
	if err != nil {
		return nil, err
	}
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
	if err != nil || resp == nil {
		return resp, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	out := msg.(*kmsg.OffsetDeleteResponse)
	if out.ErrorCode != 0 {
		return resp, nil
	}
	if r.env.Groups != nil && r.env.Catalog.Group(m.Group) != nil {
		var all []groups.Partition
		for _, t := range out.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode == 0 {
					all = append(all, groups.Partition{Topic: t.Topic, Partition: p.Partition})
				}
			}
		}
		r.env.Groups.Group(m.Group).Deleted(all)
	}
	out.Topics = append(out.Topics, unseen...)
	return resp, nil
}
