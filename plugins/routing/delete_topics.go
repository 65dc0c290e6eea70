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

// deleteTopics deletes at the home first; what it deleted becomes a tombstone until every copy is
// gone, so that a replicator's copy does not bring the topic back.
func (r *Routing) deleteTopics(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.DeleteTopicsRequest)
	byHome := map[string]*kmsg.DeleteTopicsRequest{}
	at := func(home string) *kmsg.DeleteTopicsRequest {
		if byHome[home] == nil {
			sub := *m
			sub.TopicNames, sub.Topics = nil, nil
			byHome[home] = &sub
		}
		return byHome[home]
	}
	for _, n := range m.TopicNames {
		home, _ := r.homeOf(n, [16]byte{})
		sub := at(home)
		sub.TopicNames = append(sub.TopicNames, n)
	}
	for _, t := range m.Topics {
		name := ""
		if t.Topic != nil {
			name = *t.Topic
		}
		home, _ := r.homeOf(name, t.TopicID)
		if t.Topic != nil && t.TopicID != ([16]byte{}) {
			home = "" // refused: it might name two
		}
		sub := at(home)
		sub.Topics = append(sub.Topics, t)
	}
	var clusters []string
	var bodies []*kafka.RequestBody
	for _, c := range sortedKeys(byHome) {
		clusters = append(clusters, c)
		bodies = append(bodies, kafka.RequestBodyOf(byHome[c]))
	}
	if len(clusters) == 0 {
		return r.to(ctx, req, next, r.first().Name())
	}
	remove := plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		if f.Target.Cluster == "" {
			return failDelete(f)
		}
		resp, err := next.Handle(ctx, f)
		if err == nil {
			err = r.bury(ctx, resp)
		}
		return resp, err
	})
	forks, results := r.fork(ctx, req, remove, clusters, bodies)
	return fork.Gather(forks, results)
}

// failDelete is failUnknown for topics of which some are given by name and some by id, or by both.
func failDelete(req *plugin.Request) (*plugin.Response, error) {
	resp, err := failUnknown(req)
	if err != nil {
		return nil, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.DeleteTopicsResponse)
	for i := range m.Topics {
		switch t := &m.Topics[i]; {
		case t.Topic == nil:
			t.ErrorCode = int16(kafka.UnknownTopicID)
		case t.TopicID != ([16]byte{}):
			t.ErrorCode, t.ErrorMessage = int16(kafka.InvalidRequest), kmsg.StringPtr("You may not specify both topic name and topic id.")
		}
	}
	return resp, nil
}

// bury makes tombstones of what was deleted and deletes the copies.
func (r *Routing) bury(ctx context.Context, resp *plugin.Response) error {
	msg, err := resp.Body.Peek()
	if err != nil {
		return err
	}
	for _, t := range msg.(*kmsg.DeleteTopicsResponse).Topics {
		if t.ErrorCode != 0 || t.Topic == nil {
			continue
		}
		known := r.env.Catalog.Topic(*t.Topic)
		if known == nil {
			continue
		}
		var left []string
		for _, c := range r.env.Clusters {
			if c.Name() == known.Home || r.deleteCopy(ctx, c, known) == nil {
				continue
			}
			left = append(left, c.Name())
		}
		if err := r.env.Catalog.Update(ctx, known.Name, func(n *catalog.Topic) error {
			n.Deleted, n.Missing = append([]string{}, left...), nil
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (r *Routing) deleteCopy(ctx context.Context, c plugin.Cluster, t *catalog.Topic) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req := kmsg.NewPtrDeleteTopicsRequest()
	name := t.Physical(c.Name())
	req.TimeoutMillis = 5000
	req.TopicNames = []string{name}
	dt := kmsg.NewDeleteTopicsRequestTopic()
	dt.Topic = &name
	req.Topics = []kmsg.DeleteTopicsRequestTopic{dt}
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return err
	}
	for _, rt := range resp.(*kmsg.DeleteTopicsResponse).Topics {
		if rt.ErrorCode != 0 && kafka.Code(rt.ErrorCode) != kafka.UnknownTopicOrPartition {
			return fmt.Errorf("delete of %s on %s: error %d", name, c.Name(), rt.ErrorCode)
		}
	}
	return nil
}

// sweepDeleted deletes the copies of a deleted topic that could not be reached before, and forgets
// the topic when none is left.
func (r *Routing) sweepDeleted(ctx context.Context, t *catalog.Topic) {
	var left []string
	for _, name := range t.Deleted {
		if c := r.env.Cluster(name); c != nil && (!c.Reachable() || r.deleteCopy(ctx, c, t) != nil) {
			left = append(left, name)
		}
	}
	if len(left) == 0 {
		if err := r.env.Catalog.Forget(ctx, t.Name); err != nil {
			r.log.WarnContext(ctx, "tombstone not removed", "topic", t.Name, "error", err)
		}
	}
}
