package routing

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// copies creates what the home created on the other clusters.
func (r *Routing) copies(ctx context.Context, req *plugin.Request, resp *plugin.Response) {
	if r.rules.cfg.CreateOn == "home" {
		return
	}
	asked, err := req.Body.Peek()
	if err != nil {
		return
	}
	answer, err := resp.Body.Peek()
	if err != nil {
		return
	}
	created := answer.(*kmsg.CreateTopicsResponse)
	for _, t := range asked.(*kmsg.CreateTopicsRequest).Topics {
		for _, c := range created.Topics {
			if c.Topic != t.Topic || c.ErrorCode != 0 {
				continue
			}
			t.ReplicaAssignment = nil
			t.Configs = slices.DeleteFunc(slices.Clone(t.Configs), func(f kmsg.CreateTopicsRequestTopicConfig) bool { return namesNodes(f.Name) })
			if t.NumPartitions = c.NumPartitions; t.NumPartitions <= 0 {
				t.NumPartitions = r.partitionsAt(ctx, req.Target.Cluster, t.Topic)
			}
			r.copyTo(ctx, r.env.Cluster(req.Target.Cluster), t)
		}
	}
}

// copyTo creates a topic that home has made on the other clusters. The catalog notes those that
// can't be reached.
func (r *Routing) copyTo(ctx context.Context, home plugin.Cluster, t kmsg.CreateTopicsRequestTopic) {
	_, names := r.names(t.Topic)
	virtual := t.Topic
	var missing []string
	for _, c := range r.env.Clusters {
		if c.Name() == home.Name() || names[c.Name()] == "" {
			continue
		}
		t.Topic = names[c.Name()]
		err := createCopy(ctx, c, t)
		if err == nil {
			continue
		}
		again := errors.Is(err, plugin.ErrUnreachable)
		if again {
			missing = append(missing, c.Name())
		}
		r.log.WarnContext(ctx, "copy of a new topic not created: a move there is refused until it exists", "topic", virtual, "cluster", c.Name(), "tried_again", again, "error", err)
	}
	if len(missing) == 0 {
		return
	}
	err := r.know(ctx, home, virtual, names[home.Name()])
	if err == nil {
		err = r.env.Catalog.Update(ctx, virtual, func(n *catalog.Topic) error {
			n.Missing = missing
			return nil
		})
	}
	if err != nil {
		r.log.WarnContext(ctx, "copies that are to be created not noted", "topic", virtual, "clusters", missing, "error", err)
	}
}

// createCopy creates a topic with as many replicas as the cluster has brokers for.
func createCopy(ctx context.Context, c plugin.Cluster, t kmsg.CreateTopicsRequestTopic) error {
	if !c.Reachable() {
		return plugin.ErrUnreachable
	}
	if t.ReplicationFactor > 0 {
		t.ReplicationFactor = min(t.ReplicationFactor, int16(max(len(c.Topology().Brokers), 1)))
	}
	return createOn(ctx, c, t)
}

// Sweep does for a topic what clusters that could not be reached before still lack.
func (r *Routing) Sweep(ctx context.Context, t *catalog.Topic) {
	if t.Deleted != nil {
		r.sweepDeleted(ctx, t)
		return
	}
	var done []string
	for _, name := range t.Missing {
		c, home := r.env.Cluster(name), r.env.Cluster(t.Home)
		if c == nil || home == nil || c == home || r.rules.cfg.CreateOn == "home" {
			done = append(done, name) // the file does not want it any more
		} else if r.copyLate(ctx, home, c, t) {
			done = append(done, name)
		}
	}
	if len(done) == 0 {
		return
	}
	if err := r.env.Catalog.Update(ctx, t.Name, func(n *catalog.Topic) error {
		n.Missing = slices.DeleteFunc(n.Missing, func(name string) bool { return slices.Contains(done, name) })
		return nil
	}); err != nil {
		r.log.WarnContext(ctx, "copy not noted", "topic", t.Name, "clusters", done, "error", err)
	}
}

// copyLate creates a copy as the topic is at home now, unless it is gone there. It reports false if
// that is to be tried again.
func (r *Routing) copyLate(ctx context.Context, home, c plugin.Cluster, t *catalog.Topic) bool {
	if !c.Reachable() {
		return false
	}
	original, err := describe(ctx, home, t.Physical(home.Name()))
	if err == nil && original != nil {
		original.Topic = t.Physical(c.Name())
		err = createCopy(ctx, c, *original)
	}
	if errors.Is(err, plugin.ErrUnreachable) {
		return false
	}
	r.log.InfoContext(ctx, "copy of a new topic tried again", "topic", t.Name, "cluster", c.Name(), "error", err)
	return true
}

// describe is the request that would create a topic as it is on a cluster; nil if there is none.
func describe(ctx context.Context, c plugin.Cluster, topic string) (*kmsg.CreateTopicsRequestTopic, error) {
	topo, err := c.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	pt := topo.Topics[topic]
	if pt == nil || len(pt.Partitions) == 0 {
		return nil, nil
	}
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(len(pt.Partitions)), int16(len(pt.Partitions[0].Replicas))
	req, res := kmsg.NewPtrDescribeConfigsRequest(), kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	req.Resources = append(req.Resources, res)
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return nil, err
	}
	for _, res := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		for _, cfg := range res.Configs {
			if cfg.Source == kmsg.ConfigSourceDynamicTopicConfig && !namesNodes(cfg.Name) {
				own := kmsg.NewCreateTopicsRequestTopicConfig()
				own.Name, own.Value = cfg.Name, cfg.Value
				t.Configs = append(t.Configs, own)
			}
		}
	}
	return &t, nil
}

// namesNodes reports a setting of topics that is about the nodes of one cluster.
func namesNodes(config string) bool {
	return kafka.ConfigValueOf(kmsg.ConfigResourceTypeTopic, config) == kafka.NodeList
}
