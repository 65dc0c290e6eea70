package routing

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// createTopics creates each topic at its home and then, with the partition count that the home
// chose, on the other clusters: the next move needs it there. A copy that exists is accepted; an
// unreachable cluster costs nothing now.
func (r *Routing) createTopics(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.CreateTopicsRequest)
	byHome := map[string][]kmsg.CreateTopicsRequestTopic{}
	for _, t := range m.Topics {
		home, _ := r.homeOf(t.Topic, [16]byte{})
		byHome[home] = append(byHome[home], t)
	}
	var clusters []string
	var bodies []*kafka.RequestBody
	for _, c := range sortedKeys(byHome) {
		sub := *m
		sub.Topics = byHome[c]
		clusters = append(clusters, c)
		bodies = append(bodies, kafka.RequestBodyOf(&sub))
	}
	if len(clusters) == 0 {
		return r.to(ctx, req, next, r.first().Name())
	}
	create := plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		if f.Target.Cluster == "" {
			return plugin.Fail(f, kafka.PolicyViolation, "no rule gives this topic a home: add it to `routing: topics:` or set a default")
		}
		resp, err := next.Handle(ctx, f)
		if err == nil && !m.ValidateOnly {
			r.copies(ctx, f, resp)
		}
		return resp, err
	})
	forks, results := r.fork(ctx, req, create, clusters, bodies)
	return fork.Gather(forks, results)
}

// partitionsAt asks the home how many partitions it chose; older versions don't say.
func (r *Routing) partitionsAt(ctx context.Context, cluster, topic string) int32 {
	c := r.env.Cluster(cluster)
	topo, err := c.Refresh(ctx)
	if err != nil {
		return 1
	}
	_, physical := r.names(topic)
	if t := topo.Topics[physical[cluster]]; t != nil {
		return int32(len(t.Partitions))
	}
	return 1
}

// names is where the rules put a topic and its physical names.
func (r *Routing) names(topic string) (string, map[string]string) {
	if t := r.env.Catalog.Topic(topic); t != nil {
		return t.Home, t.Names
	}
	home, names, _ := r.env.Catalog.Place(topic)
	return home, names
}

func createOn(ctx context.Context, c plugin.Cluster, t kmsg.CreateTopicsRequestTopic) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = []kmsg.CreateTopicsRequestTopic{t}
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return err
	}
	for _, rt := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if rt.ErrorCode != 0 && kafka.Code(rt.ErrorCode) != kafka.TopicAlreadyExists {
			return fmt.Errorf("error %d", rt.ErrorCode)
		}
	}
	return nil
}

// Create creates a topic with the brokers' defaults at its home and on the other clusters, as
// CreateTopics does. A topic that exists is no error.
func (r *Routing) Create(ctx context.Context, topic string) error {
	home, names := r.names(topic)
	if h, shown := r.homeOf(topic, [16]byte{}); !shown || home == "" {
		return fmt.Errorf("topic %q has no home (%q)", topic, h)
	}
	c := r.env.Cluster(home)
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = names[home], -1, -1
	if err := createOn(ctx, c, t); err != nil {
		return err
	}
	t.Topic, t.NumPartitions = topic, r.partitionsAt(ctx, home, topic)
	if err := r.know(ctx, c, topic, names[home]); err != nil {
		return err
	}
	if r.rules.cfg.CreateOn != "home" {
		r.copyTo(ctx, c, t)
	}
	return nil
}

// know makes the catalog know a topic that its home has made.
func (r *Routing) know(ctx context.Context, home plugin.Cluster, topic, physical string) error {
	pt := home.Topology().Topics[physical]
	if pt == nil {
		return nil
	}
	return r.env.Catalog.Ensure(ctx, catalog.Seen{Name: topic, Cluster: home.Name(), ID: pt.ID, Partitions: len(pt.Partitions)})
}
