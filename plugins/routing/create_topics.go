package routing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
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
			return plugin.Fail(f, policyViolation, "no rule gives this topic a home: add it to `routing: topics:` or set a default")
		}
		resp, err := next.Handle(ctx, f)
		if err == nil && !m.ValidateOnly {
			r.copies(ctx, f, resp)
		}
		return resp, err
	})
	forks, results := r.fork(ctx, req, create, clusters, bodies)
	return plugin.Gather(forks, results)
}

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
			if t.NumPartitions = c.NumPartitions; t.NumPartitions <= 0 {
				t.NumPartitions = r.partitionsAt(ctx, req.Target.Cluster, t.Topic)
			}
			r.copyTo(ctx, req.Target.Cluster, t)
		}
	}
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

func (r *Routing) copyTo(ctx context.Context, home string, t kmsg.CreateTopicsRequestTopic) {
	_, names := r.names(t.Topic)
	virtual := t.Topic
	for _, c := range r.env.Clusters {
		if c.Name() == home || names[c.Name()] == "" {
			continue
		}
		t.Topic = names[c.Name()]
		if t.ReplicationFactor > 0 {
			t.ReplicationFactor = min(t.ReplicationFactor, int16(max(len(c.Topology().Brokers), 1)))
		}
		err := createOn(ctx, c, t)
		if err == nil {
			continue
		}
		again := errors.Is(err, plugin.ErrUnreachable)
		r.log.Warn("copy of a new topic not created: a move there is refused until it exists", "topic", virtual, "cluster", c.Name(), "tried_again", again, "error", err)
		if again {
			later := t // the loop goes on with t
			r.stall.background(func(ctx context.Context) { r.copyLater(ctx, c, r.env.Cluster(home), names[home], later) })
		}
	}
}

// copyLater creates a copy when its cluster is back, unless the topic is gone by then.
func (r *Routing) copyLater(ctx context.Context, c, home plugin.Cluster, original string, t kmsg.CreateTopicsRequestTopic) {
	for pause(ctx, copyRetry); ctx.Err() == nil; pause(ctx, copyRetry) {
		topo, err := home.Refresh(ctx)
		if err != nil || !c.Reachable() {
			continue
		}
		if topo.Topics[original] == nil {
			return
		}
		if err = createOn(ctx, c, t); !errors.Is(err, plugin.ErrUnreachable) {
			r.log.Info("copy of a new topic tried again", "topic", t.Topic, "cluster", c.Name(), "error", err)
			return
		}
	}
}

// copyRetry is how often a cluster that was unreachable is looked at for copies of new topics.
const copyRetry = 2 * time.Second

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
		if rt.ErrorCode != 0 && rt.ErrorCode != topicExists {
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
	if r.rules.cfg.CreateOn != "home" {
		r.copyTo(ctx, home, t)
	}
	topo := c.Topology()
	pt := topo.Topics[names[home]]
	if pt == nil {
		return nil
	}
	return r.env.Catalog.Ensure(ctx, catalog.Seen{Name: topic, Cluster: home, ID: pt.ID, Partitions: len(pt.Partitions)})
}
