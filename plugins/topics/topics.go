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

// Spec describes the interceptor to the chain's builder.
func Spec() plugin.Spec {
	return plugin.Spec{Type: "topics", Stage: plugin.Physical, Settings: Config{}, New: func(_ context.Context, env plugin.Env, cfg config.Section) (plugin.Interceptor, error) {
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
	_ plugin.Stepper = (*Topics)(nil)
	_ plugin.Namer   = (*Topics)(nil)
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
	name, ok := t.unprefixed(physical)
	return name, ok && !t.Hides(name)
}

func (t *Topics) unprefixed(physical string) (string, bool) {
	name, ok := strings.CutPrefix(physical, t.cfg.Prefix)
	return name, ok && name != ""
}

// Hides reports a topic that clients may not see: one that the section hides, or that clusters and
// replicators keep for themselves.
func (t *Topics) Hides(topic string) bool {
	return t.cfg.hidden(topic) || t.env.Timing.Own(t.PhysicalName(topic))
}

// Keys returns every API that carries names, or is refused.
func (t *Topics) Keys() plugin.KeySet {
	var keys []kmsg.Key
	for _, api := range kafka.APIs() {
		if api.GoesTo != kafka.Refused && (api.Carries&(kafka.Topics|kafka.Groups|kafka.Transactions) != 0 || t.confines(api)) {
			keys = append(keys, api.Key)
		}
	}
	return kafka.NewKeySet(keys...)
}

// Intercept translates one request and its response.
func (t *Topics) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return plugin.InSteps(ctx, t, req, next)
}

// Down translates a request.
func (t *Topics) Down(_ context.Context, req *plugin.Request, s *plugin.Step) plugin.Outcome {
	if req.Key == kmsg.Produce || req.Key == kmsg.Fetch {
		return t.partitionsDown(req, s)
	}
	return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) {
		return t.decoded(ctx, req, next)
	})
}

// Up translates the answer to a Produce or Fetch.
func (t *Topics) Up(_ context.Context, req *plugin.Request, s *plugin.Step, resp *plugin.Response, err error) plugin.Outcome {
	return plugin.Answer(plugin.Kept[translated](s).back(req.Key, resp, err))
}

// decoded translates a request that is decoded, and its response.
func (t *Topics) decoded(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	n := t.names(ctx, req)
	if api, _ := kafka.Lookup(req.Key); t.confines(api) {
		return plugin.Fail(req, kafka.ClusterAuthorizationFailed, everybodys)
	} else if api.Scope == kafka.Whole {
		return next.Handle(ctx, req)
	}
	f, msg, err := plugin.Edit[kmsg.Request](req)
	if err != nil {
		return nil, err
	}
	if !n.confine(msg) {
		return n.confined(msg)
	}
	unseen := t.takeUnseen(msg)
	n.request(msg)
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
	n.membersBack(out, protocolType(msg))
	n.quoteGroup(msg, out)
	n.complete(out)
	unseen.answer(out)
	return resp, nil
}

// names translates for one target cluster.
type names struct {
	*Topics
	ctx     context.Context
	key     kmsg.Key
	cluster plugin.Cluster

	strangers map[topicID]topicID // of the ids that the cluster does not know
	asked     map[topicID]topicID // the client's ids, by those that were sent in their place
	unknown   []kmsg.MetadataResponseTopic
	refreshed bool // the cluster has been asked for the answer's ids
	others    others
	dry       bool // a CreateTopics that only asks whether it would work
}

func (t *Topics) names(ctx context.Context, req *plugin.Request) *names {
	return &names{Topics: t, ctx: ctx, key: req.Key, cluster: t.cluster(req)}
}

// mayLackGroup are the APIs in which the empty text is the id of a group: of clients that only keep
// positions.
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

// physical is the name of a virtual topic on the cluster. A name that no topic can have stays what
// it is, so that the broker says what is wrong with it.
func (n *names) physical(topic string) string { return n.physicalOn(n.cluster, topic) }

func (t *Topics) physicalOn(cluster plugin.Cluster, topic string) string {
	if !kafka.LegalTopic(topic) {
		return topic
	}
	if known := t.env.Catalog.Topic(topic); known != nil {
		return known.Physical(cluster.Name())
	}
	if _, names, ok := t.env.Catalog.Place(topic); ok && names[cluster.Name()] != "" {
		return names[cluster.Name()]
	}
	return t.PhysicalName(topic)
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
