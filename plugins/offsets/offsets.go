// Package offsets translates offsets, leader epochs and producer ids between the virtual log of a
// partition and its home, by the lineage in the catalog.
package offsets

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Spec describes the interceptor to the chain's builder.
func Spec() plugin.Spec {
	return plugin.Spec{Type: "offsets", Stage: plugin.Physical, Settings: struct{}{}, New: func(_ context.Context, env plugin.Env, cfg config.Section) (plugin.Interceptor, error) {
		var c struct{}
		if err := cfg.Decode(&c); err != nil {
			return nil, err
		}
		return New(env), nil
	}}
}

// Offsets is the interceptor.
type Offsets struct {
	env  plugin.Env
	log  *slog.Logger
	rows map[kmsg.Key]row
}

type row func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error)

var _ plugin.Stepper = (*Offsets)(nil)

// New returns the interceptor; it has no settings.
func New(env plugin.Env) *Offsets {
	o := &Offsets{env: env, log: env.Log}
	o.rows = map[kmsg.Key]row{
		kmsg.ListOffsets:             o.listOffsets,
		kmsg.OffsetForLeaderEpoch:    o.offsetForLeaderEpoch,
		kmsg.DeleteRecords:           o.deleteRecords,
		kmsg.Metadata:                o.metadata,
		kmsg.DescribeTopicPartitions: o.describeTopicPartitions,
		kmsg.OffsetFetch:             o.offsetFetch,
		kmsg.DescribeProducers:       o.describeProducers,

		kmsg.ShareFetch:                o.shareFetch,
		kmsg.ShareAcknowledge:          o.shareAcknowledge,
		kmsg.DescribeShareGroupOffsets: o.describeShareGroupOffsets,
		kmsg.AlterShareGroupOffsets:    o.alterShareGroupOffsets,
	}
	return o
}

// Keys returns the APIs that carry offsets of a log, epochs or producer ids. Offsets of groups are
// virtual at their coordinator too: OffsetCommit passes.
func (o *Offsets) Keys() plugin.KeySet {
	keys := []kmsg.Key{kmsg.Produce, kmsg.Fetch}
	for k := range o.rows {
		keys = append(keys, k)
	}
	return kafka.NewKeySet(keys...)
}

// Intercept translates one request and its response.
func (o *Offsets) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return plugin.InSteps(ctx, o, req, next)
}

// Down translates a request.
func (o *Offsets) Down(_ context.Context, req *plugin.Request, s *plugin.Step) plugin.Outcome {
	switch req.Key {
	case kmsg.Fetch:
		return o.fetchDown(req, s)
	case kmsg.Produce:
		return o.produceDown(req, s)
	}
	return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) {
		return o.rows[req.Key](ctx, req, next)
	})
}

// Up translates the answer to a Produce or Fetch.
func (o *Offsets) Up(ctx context.Context, req *plugin.Request, s *plugin.Step, resp *plugin.Response, err error) plugin.Outcome {
	if req.Key == kmsg.Produce {
		return o.produceUp(req, resp, err)
	}
	return o.fetchUp(ctx, req, s, resp, err)
}

// cluster is the target of a request.
func (o *Offsets) cluster(req *plugin.Request) plugin.Cluster {
	name := req.Target.Cluster
	if name == "" {
		name = req.Session.Cluster
	}
	if c := o.env.Cluster(name); c != nil {
		return c
	}
	return o.env.Clusters[0]
}

// lineage finds the topic behind a name of the target cluster, as it is (or, until a move is
// published, was) when the cluster is its home; nil where nothing is to be translated. It works
// above and below the interceptor that turns names.
func (o *Offsets) lineage(c plugin.Cluster, name string) *catalog.Topic {
	return o.lineageOf(c, []byte(name), [16]byte{})
}

// lineageOf is lineage for a topic as requests name it, by name or id.
func (o *Offsets) lineageOf(c plugin.Cluster, name []byte, id [16]byte) *catalog.Topic {
	if len(name) > 0 {
		if t := o.env.Catalog.FindPhysical(c.Name(), name); t != nil {
			return at(t, c)
		}
		return at(o.env.Catalog.Find(name, id), c)
	}
	if t := c.Topology().IDs[id]; t != nil {
		return o.lineage(c, t.Name)
	}
	return at(o.env.Catalog.ByID(id), c)
}

// at is the topic as it is, or until a move is published was, when the cluster is its home.
func at(t *catalog.Topic, c plugin.Cluster) *catalog.Topic {
	switch {
	case t == nil:
		return nil
	case t.Home == c.Name():
		return t
	case t.Before != nil && t.Before.Home == c.Name():
		return t.Before
	}
	return nil
}

// reserve makes sure that an offset may be shown.
func (o *Offsets) reserve(ctx context.Context, t *catalog.Topic, partition int32, offset int64) error {
	return o.env.Catalog.Reserve(ctx, t.Name, partition, offset)
}
