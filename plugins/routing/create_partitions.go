package routing

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// createPartitions grows topics at their homes, then their copies.
func (r *Routing) createPartitions(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return forkItems(ctx, r, req, next,
		func(m *kmsg.CreatePartitionsRequest) *[]kmsg.CreatePartitionsRequestTopic { return &m.Topics },
		func(t *kmsg.CreatePartitionsRequestTopic) string {
			home, _ := r.homeOf(t.Topic, [16]byte{})
			return home
		},
		func(ctx context.Context, f *plugin.Request, m *kmsg.CreatePartitionsRequest) (*plugin.Response, error) {
			resp, err := next.Handle(ctx, f)
			if err != nil || m.ValidateOnly {
				return resp, err
			}
			for _, t := range m.Topics {
				r.growCopies(ctx, t, f.Target.Cluster)
			}
			return resp, nil
		})
}

func (r *Routing) growCopies(ctx context.Context, t kmsg.CreatePartitionsRequestTopic, home string) {
	_, names := r.names(t.Topic)
	virtual := t.Topic
	for _, c := range r.env.Clusters {
		if c.Name() == home || names[c.Name()] == "" {
			continue
		}
		m := kmsg.NewPtrCreatePartitionsRequest()
		m.TimeoutMillis = 10_000
		t.Topic, t.Assignment = names[c.Name()], nil
		m.Topics = []kmsg.CreatePartitionsRequestTopic{t}
		if _, err := c.Do(ctx, plugin.AnyNode, m); err != nil {
			r.log.WarnContext(ctx, "copy not grown: a move there is refused until it has as many partitions", "topic", virtual, "cluster", c.Name(), "error", err)
		}
	}
}

// forkItems forks a request by what home says of the items of one of its lists; items without a
// home are refused as unknown. send, if not nil, carries out a fork.
func forkItems[M any, PM interface {
	*M
	kmsg.Request
}, T any](ctx context.Context, r *Routing, req *plugin.Request, next plugin.Handler,
	list func(PM) *[]T, home func(*T) string,
	send func(ctx context.Context, f *plugin.Request, m PM) (*plugin.Response, error),
) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(PM)
	items := *list(m)
	if len(items) == 0 {
		return r.to(ctx, req, next, r.first().Name())
	}
	byHome := map[string]PM{}
	for i := range items {
		h := home(&items[i])
		if byHome[h] == nil {
			c := *m
			byHome[h] = &c
			*list(byHome[h]) = nil
		}
		l := list(byHome[h])
		*l = append(*l, items[i])
	}
	var clusters []string
	var bodies []*kafka.RequestBody
	for _, c := range sortedKeys(byHome) {
		clusters = append(clusters, c)
		bodies = append(bodies, kafka.RequestBodyOf(byHome[c]))
	}
	forks, results := r.fork(ctx, req, plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		if f.Target.Cluster == "" {
			return failUnknown(f)
		}
		if send != nil {
			return send(ctx, f, byHome[f.Target.Cluster])
		}
		return next.Handle(ctx, f)
	}), clusters, bodies)
	return fork.Gather(forks, results)
}
