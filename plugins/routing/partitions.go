package routing

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// byHome forks a request that lists partitions by the homes of their topics. What clients may not
// see is answered as unknown, without asking anybody.
func (r *Routing) byHome(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	clusters, bodies, err := fork.Split(req.Body, func(p fork.Part) string {
		home, _ := r.homeOf(p.Topic, p.ID)
		return home
	})
	if err != nil {
		return nil, err
	}
	if len(clusters) == 0 {
		return r.to(ctx, req, next, r.first().Name())
	}
	return r.forkKnown(ctx, req, next, clusters, bodies)
}

// forkKnown runs one fork per cluster; the one of cluster "" is refused as unknown.
func (r *Routing) forkKnown(ctx context.Context, req *plugin.Request, next plugin.Handler, clusters []string, bodies []*kafka.RequestBody) (*plugin.Response, error) {
	h := plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		if f.Target.Cluster == "" {
			return failUnknown(f)
		}
		return next.Handle(ctx, f)
	})
	forks, results := r.fork(ctx, req, h, clusters, bodies)
	return fork.Gather(forks, results)
}

// failUnknown answers a request whose topics clients may not see as brokers do when there are none:
// 3 by name, 100 by id.
func failUnknown(req *plugin.Request) (*plugin.Response, error) {
	code, message := int16(kafka.UnknownTopicOrPartition), "This server does not host this topic-partition."
	since := map[kmsg.Key]int16{kmsg.Produce: 13, kmsg.Fetch: 13, kmsg.OffsetCommit: 10}
	if v, ok := since[req.Key]; ok && req.Version >= v {
		code, message = int16(kafka.UnknownTopicID), "This server does not host this topic ID."
	}
	switch req.Key {
	case kmsg.Produce:
		message = "" // which brokers don't send either
	case kmsg.ListPartitionReassignments: // lists what there is
		m, err := req.Body.Peek()
		if err != nil {
			return nil, err
		}
		return plugin.Respond(m.ResponseKind()), nil
	}
	body, err := kafka.ErrorOfItems(req.Body, kafka.Code(code), message)
	if err != nil {
		return nil, err
	}
	return &plugin.Response{Body: body}, nil
}

// awaitReads waits while a move holds the positions of a topic that the request names.
func (r *Routing) awaitReads(ctx context.Context, req *plugin.Request) error {
	gates := map[*gate.Gate]bool{}
	if _, _, err := fork.Split(req.Body, func(p fork.Part) bool {
		gates[r.env.Gates.Gate(p.Topic)] = true
		return true
	}); err != nil {
		return err
	}
	for g := range gates {
		if err := g.AwaitReads(ctx, req.AtGate()); err != nil {
			return err
		}
	}
	return nil
}
