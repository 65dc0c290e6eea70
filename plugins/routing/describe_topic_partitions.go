package routing

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// describeTopicPartitions pages through the union of the homes' topics (KIP-966). Clients get the
// topics in the order of their names, as one broker gives them, and a cursor when a limit cuts.
func (r *Routing) describeTopicPartitions(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.DescribeTopicPartitionsRequest)
	names := make([]string, 0, len(m.Topics))
	for _, t := range m.Topics {
		names = append(names, t.Topic)
	}
	if len(names) == 0 {
		for _, t := range r.env.Catalog.Topics() {
			if _, shown := r.viewHome(t.Name, t.ID); shown {
				names = append(names, t.Name)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	byHome := map[string]*kmsg.DescribeTopicPartitionsRequest{}
	for _, n := range names {
		if m.Cursor != nil && n < m.Cursor.Topic {
			continue
		}
		home, _ := r.viewHome(n, [16]byte{})
		if byHome[home] == nil {
			byHome[home] = &kmsg.DescribeTopicPartitionsRequest{Version: m.Version, ResponsePartitionLimit: m.ResponsePartitionLimit}
		}
		byHome[home].Topics = append(byHome[home].Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: n})
	}
	resp := m.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	resp.SetVersion(req.Version)
	if len(byHome) == 0 {
		return plugin.Respond(resp), nil
	}
	var clusters []string
	var bodies []*kafka.RequestBody
	for _, c := range sortedKeys(byHome) {
		clusters, bodies = append(clusters, c), append(bodies, kafka.RequestBodyOf(byHome[c]))
	}
	merged, err := r.forkKnown(ctx, req, next, clusters, bodies)
	if err != nil {
		return nil, err
	}
	out, err := merged.Body.Edit()
	if err != nil {
		return nil, err
	}
	all := out.(*kmsg.DescribeTopicPartitionsResponse)
	cut(all, m)
	return merged, nil
}

// cut orders the topics, starts at the cursor and ends at the limit.
func cut(all *kmsg.DescribeTopicPartitionsResponse, m *kmsg.DescribeTopicPartitionsRequest) {
	name := func(t kmsg.DescribeTopicPartitionsResponseTopic) string {
		if t.Topic == nil {
			return ""
		}
		return *t.Topic
	}
	slices.SortFunc(all.Topics, func(a, b kmsg.DescribeTopicPartitionsResponseTopic) int {
		switch x, y := name(a), name(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	all.NextCursor = nil
	left := int(m.ResponsePartitionLimit)
	if left <= 0 {
		left = 2000
	}
	for i := range all.Topics {
		t := &all.Topics[i]
		slices.SortFunc(t.Partitions, func(a, b kmsg.DescribeTopicPartitionsResponseTopicPartition) int {
			return int(a.Partition - b.Partition)
		})
		if m.Cursor != nil && name(*t) == m.Cursor.Topic {
			t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.DescribeTopicPartitionsResponseTopicPartition) bool {
				return p.Partition < m.Cursor.Partition
			})
		}
		if len(t.Partitions) > left {
			all.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name(*t), Partition: t.Partitions[left].Partition}
			t.Partitions = t.Partitions[:left]
			all.Topics = all.Topics[:i+1]
			return
		}
		left -= len(t.Partitions)
	}
}
