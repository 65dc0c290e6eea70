package routing

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// metadata asks each cluster for the topics that live there and shows the union. Until a move is
// published clients see the old home. A topic of a home that can't tell its leaders keeps the
// partitions it is known to have, led by the home's first node: requests for them are held there.
func (r *Routing) metadata(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.MetadataRequest)
	if m.Topics == nil || req.Version == 0 && len(m.Topics) == 0 { // all
		return r.metadataOfAll(ctx, req, next, m)
	}
	if len(m.Topics) == 0 {
		return r.metadataFork(ctx, req, next, m, false, map[string][]kmsg.MetadataRequestTopic{r.reachable().Name(): {}}, nil)
	}
	byHome := map[string][]kmsg.MetadataRequestTopic{}
	var refused []kmsg.MetadataResponseTopic
	ids := 0
	for _, t := range m.Topics {
		if t.TopicID != ([16]byte{}) {
			ids++
		}
	}
	for _, t := range m.Topics {
		name := ""
		if t.Topic != nil {
			name = *t.Topic
		} else if t.TopicID == ([16]byte{}) { // it is left out, or brokers refuse the whole request
			if ids == 0 {
				return refuseMetadata(req)
			}
			continue
		}
		home, ok := r.viewHome(name, t.TopicID)
		if !ok {
			rt := kmsg.NewMetadataResponseTopic()
			rt.Topic, rt.TopicID, rt.ErrorCode = t.Topic, t.TopicID, int16(kafka.UnknownTopicOrPartition)
			if t.TopicID != ([16]byte{}) {
				rt.ErrorCode = int16(kafka.UnknownTopicID)
			}
			refused = append(refused, rt)
			continue
		}
		byHome[home] = append(byHome[home], t)
	}
	if len(byHome) == 0 {
		byHome[r.reachable().Name()] = []kmsg.MetadataRequestTopic{}
	}
	return r.metadataFork(ctx, req, next, m, false, byHome, refused)
}

// refuseMetadata refuses a request that names a topic neither by name nor by id, as brokers do:
// with nodes and topics of nobody.
func refuseMetadata(req *plugin.Request) (*plugin.Response, error) {
	resp, err := plugin.Fail(req, kafka.UnknownServerError, "")
	if err != nil {
		return nil, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.MetadataResponse)
	for i := range m.Topics {
		if m.Topics[i].Topic == nil {
			m.Topics[i].Topic = new(string)
		}
	}
	return resp, nil
}

// viewHome is the home of a topic that clients are to be told.
func (r *Routing) viewHome(name string, id [16]byte) (string, bool) {
	home, shown := r.homeOf(name, id)
	if t := r.topic(name, id); t != nil && shown && t.Before != nil {
		return t.Before.Home, true
	}
	return home, shown
}

// reachable is the first cluster that answers, or the first one.
func (r *Routing) reachable() plugin.Cluster {
	if c := r.first(); c.Reachable() {
		return c
	}
	for _, c := range r.env.Clusters {
		if c.Reachable() {
			return c
		}
	}
	return r.first()
}

func (r *Routing) metadataOfAll(ctx context.Context, req *plugin.Request, next plugin.Handler, m *kmsg.MetadataRequest) (*plugin.Response, error) {
	byHome := map[string][]kmsg.MetadataRequestTopic{}
	for _, c := range r.env.Clusters {
		byHome[c.Name()] = nil
	}
	return r.metadataFork(ctx, req, next, m, true, byHome, nil)
}

func (r *Routing) metadataFork(ctx context.Context, req *plugin.Request, next plugin.Handler, m *kmsg.MetadataRequest, all bool, byHome map[string][]kmsg.MetadataRequestTopic, refused []kmsg.MetadataResponseTopic) (*plugin.Response, error) {
	var clusters []string
	var bodies []*kafka.RequestBody
	for _, name := range sortedKeys(byHome) {
		sub := *m
		sub.Topics, sub.AllowAutoTopicCreation = byHome[name], false
		clusters = append(clusters, name)
		bodies = append(bodies, kafka.RequestBodyOf(&sub))
	}
	ask := plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		resp, err := next.Handle(ctx, f)
		if err != nil {
			return resp, err
		}
		return resp, r.keepOwn(f.Target.Cluster, resp, all)
	})
	forks, results := r.fork(ctx, req, ask, clusters, bodies)
	resp, err := fork.Gather(forks, results)
	if err != nil {
		return nil, err
	}
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	merged := out.(*kmsg.MetadataResponse)
	merged.Topics = append(merged.Topics, refused...)
	if m.AllowAutoTopicCreation || !kafka.Has(req.Key, req.Version, kafka.AutoCreation) { // before version 4 every client asks for it
		r.autoCreate(ctx, merged)
	}
	return resp, nil
}

// keepOwn drops what a cluster shows of topics that live elsewhere, and completes topics whose home
// can't tell its leaders.
func (r *Routing) keepOwn(cluster string, resp *plugin.Response, all bool) error {
	msg, err := resp.Body.Edit()
	if err != nil {
		return err
	}
	m := msg.(*kmsg.MetadataResponse)
	kept := m.Topics[:0]
	for _, t := range m.Topics {
		name := ""
		if t.Topic != nil {
			name = *t.Topic
		}
		home, shown := r.viewHome(name, t.TopicID)
		if all && (!shown || home != cluster) {
			continue
		}
		r.complete(&t)
		kept = append(kept, t)
	}
	m.Topics = kept
	return nil
}

// complete gives a topic that its home has no leaders for the partitions that the catalog knows.
func (r *Routing) complete(t *kmsg.MetadataResponseTopic) {
	if kafka.Code(t.ErrorCode) != kafka.LeaderNotAvailable || len(t.Partitions) > 0 {
		return
	}
	name := ""
	if t.Topic != nil {
		name = *t.Topic
	}
	known := r.topic(name, t.TopicID)
	if known == nil {
		return
	}
	view := known.View()
	t.ErrorCode, t.Topic, t.TopicID = 0, &known.Name, known.ID
	node := r.env.Nodes.Virtual(view.Home, -1)
	for i := range view.Partitions {
		t.Partitions = append(t.Partitions, heldPartition(view, int32(i), node.ID))
	}
}

func heldPartition(t *catalog.Topic, partition, node int32) kmsg.MetadataResponseTopicPartition {
	p := kmsg.NewMetadataResponseTopicPartition()
	p.Partition, p.Leader = partition, node
	p.LeaderEpoch = t.Generation << catalog.EpochBits
	p.Replicas, p.ISR = []int32{node}, []int32{node}
	return p
}
