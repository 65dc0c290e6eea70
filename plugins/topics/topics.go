// Package topics turns virtual names and topic ids into those of the target cluster and back. What
// is hidden, or belongs to another virtual cluster, never passes on the way up.
package topics

import (
	"context"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

const invalidRequest = 42

// Spec describes the interceptor to the chain's builder.
func Spec() plugin.Spec {
	return plugin.Spec{Type: "topics", Stage: plugin.Physical, New: func(_ context.Context, env plugin.Env, cfg config.Section) (plugin.Interceptor, error) {
		return New(env, cfg)
	}}
}

// Topics is the interceptor.
type Topics struct {
	env plugin.Env
	cfg Config
	log *slog.Logger
}

var (
	_ plugin.Interceptor = (*Topics)(nil)
	_ plugin.Namer       = (*Topics)(nil)
)

// New decodes the section.
func New(env plugin.Env, section config.Section) (*Topics, error) {
	cfg, err := decode(section)
	if err != nil {
		return nil, err
	}
	return &Topics{env: env, cfg: cfg, log: env.Log}, nil
}

// PhysicalName is the name of a virtual topic on clusters without an explicit one.
func (t *Topics) PhysicalName(topic string) string { return t.cfg.Prefix + topic }

// VirtualName inverts PhysicalName; false for a hidden topic or one of another virtual cluster.
func (t *Topics) VirtualName(physical string) (string, bool) {
	name, ok := strings.CutPrefix(physical, t.cfg.Prefix)
	return name, ok && name != "" && !t.Hides(name)
}

// Hides reports a topic that clients may not see: one that the section hides, or that clusters and replicators keep for
// themselves.
func (t *Topics) Hides(topic string) bool {
	return t.cfg.hidden(topic) || t.env.Timing.Own(t.PhysicalName(topic))
}

// Keys returns every API that carries names.
func (t *Topics) Keys() plugin.KeySet {
	var keys []kmsg.Key
	for _, api := range kafka.APIs() {
		if api.GoesTo != kafka.Refused && api.Carries&(kafka.Topics|kafka.Groups|kafka.Transactions) != 0 {
			keys = append(keys, api.Key)
		}
	}
	return kafka.NewKeySet(keys...)
}

// Intercept translates one request and its response.
func (t *Topics) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	if (req.Key == kmsg.Produce || req.Key == kmsg.Fetch) && t.sameNames(req) {
		return t.hot(ctx, req, next)
	}
	n := t.names(ctx, req)
	switch req.Key {
	case kmsg.Produce:
		return n.produce(ctx, req, next)
	case kmsg.Fetch:
		return n.fetch(ctx, req, next)
	case kmsg.DescribeACLs, kmsg.CreateACLs, kmsg.DeleteACLs:
		if t.cfg.Prefix != "" {
			return plugin.Fail(req, invalidRequest, "ACLs of a virtual cluster with a prefix are set on its clusters")
		}
		return next.Handle(ctx, req)
	}
	f, msg, err := plugin.Edit[kmsg.Request](req)
	if err != nil {
		return nil, err
	}
	unseen := t.takeUnseen(msg)
	if err := n.request(msg); err != nil {
		return plugin.Fail(req, invalidRequest, err.Error())
	}
	resp, err := next.Handle(ctx, f)
	if err != nil || resp == nil {
		return resp, err
	}
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	if err := n.response(ctx, out); err != nil {
		return nil, err
	}
	unseen.answer(out)
	return resp, nil
}

// names translates for one target cluster.
type names struct {
	*Topics
	ctx     context.Context
	key     kmsg.Key
	cluster plugin.Cluster
}

func (t *Topics) names(ctx context.Context, req *plugin.Request) *names {
	return &names{Topics: t, ctx: ctx, key: req.Key, cluster: t.cluster(req)}
}

// mayLackGroup are the APIs in which the empty text is the id of a group: of clients that only keep positions.
var mayLackGroup = kafka.NewKeySet(kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.TxnOffsetCommit, kmsg.DescribeGroups, kmsg.DeleteGroups, kmsg.FindCoordinator)

// group is the id of a group on the clusters. None stays none, which brokers refuse.
func (n *names) group(id string) string {
	if id == "" && !mayLackGroup.Has(n.key) {
		return id
	}
	return n.cfg.Prefix + id
}

// transaction is a transactional id on the clusters. None stays none.
func (n *names) transaction(id string) string {
	if id == "" {
		return id
	}
	return n.cfg.Prefix + id
}

// cluster is the target of a request.
func (t *Topics) cluster(req *plugin.Request) plugin.Cluster {
	name := req.Target.Cluster
	if name == "" {
		name = req.Session.Cluster
	}
	if c := t.env.Cluster(name); c != nil {
		return c
	}
	return t.env.Clusters[0]
}

// physical is the name of a virtual topic on the cluster. A name that no topic can have stays what it is, so that the broker
// says what is wrong with it.
func (n *names) physical(topic string) string {
	if !kafka.LegalTopic(topic) {
		return topic
	}
	if known := n.env.Catalog.Topic(topic); known != nil {
		return known.Physical(n.cluster.Name())
	}
	if _, names, ok := n.env.Catalog.Place(topic); ok && names[n.cluster.Name()] != "" {
		return names[n.cluster.Name()]
	}
	return n.PhysicalName(topic)
}

// physicalID is the id on the cluster of a virtual topic; zero, which brokers refuse as unknown,
// if there is none.
func (n *names) physicalID(virtual [16]byte) [16]byte {
	known := n.env.Catalog.ByID(virtual)
	if known == nil {
		return [16]byte{}
	}
	name := known.Physical(n.cluster.Name())
	if t := n.cluster.Topology().Topics[name]; t != nil {
		return t.ID
	}
	if topo, err := n.cluster.Refresh(n.ctx); err == nil && topo.Topics[name] != nil {
		return topo.Topics[name].ID
	}
	return [16]byte{}
}

// virtual finds the virtual topic behind a physical name: its catalog entry, if there is one, and
// its name; false for what clients may not see.
func (n *names) virtual(physical string) (*catalog.Topic, string, bool) {
	if !kafka.LegalTopic(physical) {
		return nil, physical, true // a client's, see physical
	}
	if known := n.env.Catalog.ByPhysical(n.cluster.Name(), physical); known != nil {
		return known, known.Name, !n.Hides(known.Name)
	}
	name, ok := n.VirtualName(physical)
	return nil, name, ok
}

// virtualID is the virtual id behind a physical one.
func (n *names) virtualID(physical [16]byte) [16]byte {
	if t := n.cluster.Topology().IDs[physical]; t != nil {
		if known, _, ok := n.virtual(t.Name); ok && known != nil {
			return known.ID
		}
	}
	return [16]byte{}
}
