package routing

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// describeLogDirs asks the node that the client dialled; its answer is about that node alone.
func (r *Routing) describeLogDirs(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	cluster := req.Session.Cluster
	if cluster == "" {
		cluster = r.reachable().Name()
	}
	return r.to(ctx, req, next, cluster)
}

// electLeaders asks the homes of the topics; without topics, every cluster.
func (r *Routing) electLeaders(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	if msg.(*kmsg.ElectLeadersRequest).Topics == nil {
		return r.each(ctx, req, next, func(cluster string, resp *plugin.Response) error {
			msg, err := resp.Body.Edit()
			if err != nil {
				return err
			}
			m := msg.(*kmsg.ElectLeadersResponse)
			m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.ElectLeadersResponseTopic) bool { return !r.livesAt(cluster, t.Topic) })
			return nil
		})
	}
	return forkItems(ctx, r, req, next,
		func(m *kmsg.ElectLeadersRequest) *[]kmsg.ElectLeadersRequestTopic { return &m.Topics },
		func(t *kmsg.ElectLeadersRequestTopic) string {
			home, _ := r.homeOf(t.Topic, [16]byte{})
			return home
		}, nil)
}

// alterPartitionAssignments asks the homes of the topics. Replicas on another cluster are refused
// by the home: the gateway moves topics, reassignments move replicas.
func (r *Routing) alterPartitionAssignments(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return forkItems(ctx, r, req, next,
		func(m *kmsg.AlterPartitionAssignmentsRequest) *[]kmsg.AlterPartitionAssignmentsRequestTopic {
			return &m.Topics
		},
		func(t *kmsg.AlterPartitionAssignmentsRequestTopic) string {
			home, _ := r.homeOf(t.Topic, [16]byte{})
			return home
		}, nil)
}

// listPartitionReassignments asks the homes of the topics; without topics, every cluster.
func (r *Routing) listPartitionReassignments(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	if msg.(*kmsg.ListPartitionReassignmentsRequest).Topics == nil {
		return r.each(ctx, req, next, func(cluster string, resp *plugin.Response) error {
			msg, err := resp.Body.Edit()
			if err != nil {
				return err
			}
			m := msg.(*kmsg.ListPartitionReassignmentsResponse)
			m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.ListPartitionReassignmentsResponseTopic) bool { return !r.livesAt(cluster, t.Topic) })
			return nil
		})
	}
	return forkItems(ctx, r, req, next,
		func(m *kmsg.ListPartitionReassignmentsRequest) *[]kmsg.ListPartitionReassignmentsRequestTopic {
			return &m.Topics
		},
		func(t *kmsg.ListPartitionReassignmentsRequestTopic) string {
			home, _ := r.homeOf(t.Topic, [16]byte{})
			return home
		}, nil)
}
