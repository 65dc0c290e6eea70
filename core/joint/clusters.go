package joint

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Clusters makes few requests of what clusters are asked for at once about many topics: one per
// broker for the offsets, or the producers, of all of them. It is one for all who ask, so that what
// they have of a cluster in memory is bounded for all of them together.
type Clusters struct {
	ctx     context.Context
	stop    context.CancelFunc
	wg      guard.Group
	mu      sync.Mutex
	joiners map[plugin.Cluster]*joiner
}

// NewClusters returns one without clusters.
func NewClusters() *Clusters {
	b := &Clusters{}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// Close ends the fetches that are on their way. Nobody may ask any more.
func (b *Clusters) Close() error {
	b.stop()
	b.wg.Wait()
	return nil
}

// Over returns clusters that join requests, in place of those given.
func (b *Clusters) Over(clusters []plugin.Cluster) (out []plugin.Cluster) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := map[plugin.Cluster]*joiner{}
	for c, j := range b.joiners {
		if c.Reachable() { // others may have left the file
			kept[c] = j
		}
	}
	for _, c := range clusters {
		if kept[c] == nil {
			if kept[c] = b.joiners[c]; kept[c] == nil {
				kept[c] = &joiner{Cluster: c, reads: newFetches(b.ctx, &b.wg, c)}
			}
		}
		out = append(out, kept[c])
	}
	b.joiners = kept
	return out
}

const (
	// MostPartitions is how many partitions a joint request names.
	MostPartitions = 5000
	// mostNames is how many topics one names. Everybody looks for its own in the answer.
	mostNames = 500
)

// joiner is a cluster that joins requests.
type joiner struct {
	plugin.Cluster
	offsets   Rounds[int32, *kmsg.ListOffsetsRequest, kmsg.Response] // by node
	producers Rounds[int32, *kmsg.DescribeProducersRequest, kmsg.Response]
	produces  Rounds[int32, *kmsg.ProduceRequest, kmsg.Response]
	configs   Rounds[int32, *kmsg.DescribeConfigsRequest, kmsg.Response]
	rights    Rounds[int32, *kmsg.MetadataRequest, kmsg.Response]
	views     Rounds[int32, *kmsg.MetadataRequest, kmsg.Response]
	reads     *fetches
}

// BreakLinks breaks the links of sessions to the cluster, if it can.
func (j *joiner) BreakLinks() {
	if b, ok := j.Cluster.(plugin.LinkBreaker); ok {
		b.BreakLinks()
	}
}

// Do sends a request, or joins it with others.
func (j *joiner) Do(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	switch req := req.(type) {
	case *kmsg.ListOffsetsRequest:
		return together(ctx, j.Cluster, &j.offsets, node, req, listsOffsets)
	case *kmsg.DescribeProducersRequest:
		return together(ctx, j.Cluster, &j.producers, node, req, describesProducers)
	case *kmsg.ProduceRequest:
		return together(ctx, j.Cluster, &j.produces, node, req, triesProduces)
	case *kmsg.DescribeConfigsRequest:
		return together(ctx, j.Cluster, &j.configs, node, req, describesConfigs)
	case *kmsg.MetadataRequest:
		if len(req.Topics) > 0 { // of all is another question
			return together(ctx, j.Cluster, &j.rights, node, req, listsRights)
		}
	}
	return j.Cluster.Do(ctx, node, req)
}

// Refresh asks a cluster what it has of a topic now. Those who ask at the same time ask together:
// with many topics on it, its whole metadata for each move would cost the square of their number.
func Refresh(ctx context.Context, c plugin.Cluster, topic string) error {
	j, ok := c.(*joiner)
	if !ok {
		_, err := c.Refresh(ctx)
		return err
	}
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	_, err := j.views.Do(ctx, plugin.AnyNode, req, func(round []*Ask[*kmsg.MetadataRequest, kmsg.Response]) {
		rounds(round, showsTopics, func(all *kmsg.MetadataRequest) (kmsg.Response, error) {
			resp, err := j.Cluster.Do(context.Background(), plugin.AnyNode, all)
			if err == nil {
				j.Learn(resp.(*kmsg.MetadataResponse))
			}
			return resp, err
		})
	})
	return err
}

// together sends a request in a round with others of its kind.
func together[Q kmsg.Request](ctx context.Context, c plugin.Cluster, j *Rounds[int32, Q, kmsg.Response], node int32, q Q, k kind[Q]) (kmsg.Response, error) {
	return j.Do(ctx, node, q, func(round []*Ask[Q, kmsg.Response]) {
		rounds(round, k, func(all Q) (kmsg.Response, error) { return c.Do(context.Background(), node, all) })
	})
}

// Place is a partition of a topic, by the name that it has on the cluster.
type Place struct {
	Topic     string
	Partition int32
}

// kind says how requests of one kind are joined, and their answers divided.
type kind[Q kmsg.Request] struct {
	most   int                                        // places in a joint request, unless one move alone asks for more
	places func(Q) []Place                            // that a request names
	join   func([]Q) Q                                // several that name no partition twice
	part   func(all kmsg.Response, q Q) kmsg.Response // what answers one of them
}

// rounds asks for all in as few requests as they can be joined to: one may not name a partition
// twice.
func rounds[Q kmsg.Request](open []*Ask[Q, kmsg.Response], k kind[Q], send func(Q) (kmsg.Response, error)) {
	for len(open) > 0 {
		var now, later []*Ask[Q, kmsg.Response]
		var requests []Q
		named := map[Place]bool{}
		for _, a := range open {
			places := k.places(a.Question)
			fits := len(now) == 0 || len(named)+len(places) <= k.most
			for _, p := range places {
				fits = fits && !named[p]
			}
			if !fits {
				later = append(later, a)
				continue
			}
			for _, p := range places {
				named[p] = true
			}
			now, requests = append(now, a), append(requests, a.Question)
		}
		resp, err := send(k.join(requests))
		for _, a := range now {
			if a.Err = err; err == nil {
				a.Answer = k.part(resp, a.Question)
			}
		}
		open = later
	}
}

// Alone is the cluster itself, of which few requests are asked, so that there is nothing to join
// them with.
func Alone(c plugin.Cluster) plugin.Cluster {
	if j, ok := c.(*joiner); ok {
		return j.Cluster
	}
	return c
}
