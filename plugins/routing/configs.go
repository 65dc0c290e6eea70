package routing

import (
	"context"
	"fmt"
	"github.com/sluice-gateway/sluice/core/kafka"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// resourceHome is the cluster of a config resource: a topic's home, a group's home, a broker's
// cluster; everything else belongs to the first cluster.
func (r *Routing) resourceHome(kind kmsg.ConfigResourceType, name string) string {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		home, _ := r.homeOf(name, [16]byte{})
		return home
	case kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger:
		if id, err := strconv.Atoi(name); err == nil {
			if cluster, _, ok := r.env.Nodes.Physical(int32(id)); ok {
				return cluster
			}
			return ""
		}
	case kmsg.ConfigResourceTypeGroupConfig:
		return r.groupHome(name)
	}
	return r.first().Name()
}

// describeConfigs asks each resource's home. Brokers refuse all resources of a request that has one
// of a kind that they don't know.
func (r *Routing) describeConfigs(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	for _, x := range msg.(*kmsg.DescribeConfigsRequest).Resources {
		switch x.ResourceType {
		case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig:
		default:
			return plugin.Fail(req, kafka.InvalidRequest, fmt.Sprintf("Unexpected resource type %v for resource %s", x.ResourceType, x.ResourceName))
		}
	}
	return forkItems(ctx, r, req, next,
		func(m *kmsg.DescribeConfigsRequest) *[]kmsg.DescribeConfigsRequestResource { return &m.Resources },
		func(x *kmsg.DescribeConfigsRequestResource) string {
			return r.resourceHome(x.ResourceType, x.ResourceName)
		}, nil)
}

// alterConfigs changes each resource at its home. Copies of topics are the replicator's matter.
func (r *Routing) alterConfigs(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	var groups []string
	resp, err := forkItems(ctx, r, req, next,
		func(m *kmsg.AlterConfigsRequest) *[]kmsg.AlterConfigsRequestResource { return &m.Resources },
		func(x *kmsg.AlterConfigsRequestResource) string {
			groups = configuredGroup(groups, x.ResourceType, x.ResourceName)
			return r.resourceHome(x.ResourceType, x.ResourceName)
		}, nil)
	r.shares.reconfigure(ctx, groups)
	return resp, err
}

// incrementalAlterConfigs changes each resource at its home.
func (r *Routing) incrementalAlterConfigs(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	var groups []string
	resp, err := forkItems(ctx, r, req, next,
		func(m *kmsg.IncrementalAlterConfigsRequest) *[]kmsg.IncrementalAlterConfigsRequestResource {
			return &m.Resources
		},
		func(x *kmsg.IncrementalAlterConfigsRequestResource) string {
			groups = configuredGroup(groups, x.ResourceType, x.ResourceName)
			return r.resourceHome(x.ResourceType, x.ResourceName)
		}, nil)
	r.shares.reconfigure(ctx, groups)
	return resp, err
}

// configuredGroup adds the group that a resource is to a list.
func configuredGroup(groups []string, kind kmsg.ConfigResourceType, name string) []string {
	if kind == kmsg.ConfigResourceTypeGroupConfig {
		return append(groups, name)
	}
	return groups
}
