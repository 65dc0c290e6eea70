// Package routing decides which cluster a request goes to: topics, groups and transactional ids
// have a home; a request that names several is forked by cluster and its answers are merged.
// Produces pass the gate of their topic here, so that a move can hold them.
package routing

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Spec describes the interceptor to the chain's builder.
func Spec() plugin.Spec {
	return plugin.Spec{Type: "routing", Stage: plugin.Routing, Settings: Config{}, New: func(ctx context.Context, env plugin.Env, cfg config.Section) (plugin.Interceptor, error) {
		return New(ctx, env, cfg)
	}}
}

// Routing is the interceptor.
type Routing struct {
	env   plugin.Env
	rules *rules
	lost  error
	log   *slog.Logger
	rows  map[kmsg.Key]row
	stall *stalls
	stubs *stubs

	shares   *shares
	creators creators
}

// row answers one API.
type row func(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error)

var (
	_ plugin.Stepper   = (*Routing)(nil)
	_ plugin.Placement = (*Routing)(nil)
	_ plugin.Creator   = (*Routing)(nil)
	_ plugin.Sweeper   = (*Routing)(nil)
	_ plugin.Leaver    = (*Routing)(nil)
	_ plugin.Keeper    = (*Routing)(nil)
	_ plugin.Doubtful  = (*Routing)(nil)
	_ plugin.Sender    = (*Routing)(nil)
	_ plugin.Stubber   = (*Routing)(nil)
)

// New compiles the rules of a section.
func New(_ context.Context, env plugin.Env, section config.Section) (*Routing, error) {
	rules, err := compile(section, env.Configs)
	if err != nil {
		return nil, err
	}
	home := rules.fallback
	if home == "" {
		home = rules.clusters[0]
	}
	var lost error
	if rules.groupHome = home; !rules.everyGroup() {
		kept, ok, err := env.Catalog.Kept(keptGroupHome)
		if err != nil {
			return nil, err
		}
		if now := rules.aliases[kept]; ok && now != "" {
			rules.groupHome = now
		} else if ok && needs(env.Catalog, kept) {
			lost = config.Errors{section.Errorf([]string{"groups"}, "groups and transactional ids that no rule names are coordinated by cluster %q, which is not one of this virtual cluster's any more: their positions are there. If it has another name now, keep the old one as an alias, `aliases: [%s]`. If it is to go, put it back and move them first, `gateway failover run --from %s --to %s`, or see that the positions are on another cluster and name that: `groups: {\"*\": %s}, transactions: {\"*\": %s}`", kept, kept, kept, home, home, home)}
		}
	}
	if lost == nil {
		lost = homeless(env.Catalog, rules, section)
	}
	r := &Routing{env: env, rules: rules, lost: lost, log: env.Log, stall: newStalls(env), stubs: newStubs(env)}
	r.shares = newShares(r)
	r.rows = r.table()
	if errs := r.strands(section); r.lost == nil && len(errs) > 0 {
		r.lost = errs
	}
	return r, nil
}

// homeless says which groups live on a cluster that is gone.
func homeless(v *catalog.Virtual, rules *rules, section config.Section) error {
	left := map[string][]string{}
	for _, g := range v.Groups() {
		if rules.aliases[g.Home] == "" {
			left[g.Home] = append(left[g.Home], g.Name)
		}
	}
	for _, home := range sortedKeys(left) {
		return config.Errors{section.Errorf([]string{"groups"}, "cluster %q is not one of this virtual cluster's any more, but %d consumer groups live there, such as %q: their positions are there. If it has another name now, keep the old one as an alias, `aliases: [%s]`. If it is to go, put it back and let them move first: a rule of `groups:`, or gateway failover run --group, and --unplanned for one whose positions nobody else was given", home, len(left[home]), left[home][0], home)}
	}
	return nil
}

// needs reports that groups or transactional ids may have their home on a cluster.
func needs(v *catalog.Virtual, cluster string) bool {
	for _, g := range v.Groups() {
		if g.Home == cluster {
			return true
		}
	}
	for _, home := range v.Transactional() {
		if home == cluster {
			return true
		}
	}
	return !v.KnowsGroups(cluster)
}

// Warnings are about rules that are probably not meant.
func (r *Routing) Warnings() config.Errors { return r.rules.warnings }

// keptGroupHome is the key of groupHome in the catalog.
const keptGroupHome = "group_home"

// Lost says that the cluster is gone where groups without a rule are, or that transactional
// producers would lose theirs.
func (r *Routing) Lost() error { return r.lost }

// SetBelow gives the chain below, for requests that routing makes itself.
func (r *Routing) SetBelow(below func(key kmsg.Key) plugin.Handler) { r.shares.below = below }

// Keep stores where groups without a rule are.
func (r *Routing) Keep(ctx context.Context) error {
	r.shares.begin()
	return r.env.Catalog.Keep(ctx, keptGroupHome, r.rules.groupHome)
}

// table is the list of the APIs that routing decides on, besides Produce and Fetch; one file each.
func (r *Routing) table() map[kmsg.Key]row {
	return map[kmsg.Key]row{
		kmsg.ListOffsets:          r.listOffsets,
		kmsg.OffsetForLeaderEpoch: r.offsetForLeaderEpoch,
		kmsg.DeleteRecords:        r.deleteRecords,
		kmsg.DescribeProducers:    r.describeProducers,

		kmsg.Metadata:                r.metadata,
		kmsg.DescribeTopicPartitions: r.describeTopicPartitions,
		kmsg.DescribeCluster:         r.anyCluster,
		kmsg.CreateTopics:            r.createTopics,
		kmsg.DeleteTopics:            r.deleteTopics,
		kmsg.CreatePartitions:        r.createPartitions,
		kmsg.DescribeConfigs:         r.describeConfigs,
		kmsg.AlterConfigs:            r.alterConfigs,
		kmsg.IncrementalAlterConfigs: r.incrementalAlterConfigs,
		kmsg.ListConfigResources:     r.listConfigResources,

		kmsg.FindCoordinator:        r.findCoordinator,
		kmsg.JoinGroup:              r.ofMember(r.joinGroup),
		kmsg.SyncGroup:              r.ofMember(r.syncGroup),
		kmsg.Heartbeat:              r.ofMember(r.heartbeat),
		kmsg.LeaveGroup:             r.leaveGroup,
		kmsg.ConsumerGroupHeartbeat: r.ofMember(r.consumerGroupHeartbeat),
		kmsg.OffsetCommit:           r.ofMember(r.offsetCommit),
		kmsg.OffsetFetch:            r.offsetFetch,
		kmsg.OffsetDelete:           r.offsetDelete,
		kmsg.ListGroups:             r.listGroups,
		kmsg.DescribeGroups:         r.describeGroups,
		kmsg.ConsumerGroupDescribe:  r.consumerGroupDescribe,
		kmsg.DeleteGroups:           r.deleteGroups,

		kmsg.ShareFetch:                r.shareFetch,
		kmsg.ShareAcknowledge:          r.shareAcknowledge,
		kmsg.ShareGroupHeartbeat:       r.shareGroupHeartbeat,
		kmsg.ShareGroupDescribe:        r.shareGroupDescribe,
		kmsg.DescribeShareGroupOffsets: r.describeShareGroupOffsets,
		kmsg.AlterShareGroupOffsets:    r.alterShareGroupOffsets,
		kmsg.DeleteShareGroupOffsets:   r.deleteShareGroupOffsets,

		kmsg.InitProducerID:       r.initProducerID,
		kmsg.AddPartitionsToTxn:   r.addPartitionsToTxn,
		kmsg.AddOffsetsToTxn:      r.transaction,
		kmsg.EndTxn:               r.transaction,
		kmsg.TxnOffsetCommit:      r.ofMember(r.txnOffsetCommit),
		kmsg.DescribeTransactions: r.describeTransactions,
		kmsg.ListTransactions:     r.listTransactions,

		kmsg.DescribeACLs:                 r.anyCluster,
		kmsg.CreateACLs:                   r.allClusters,
		kmsg.DeleteACLs:                   r.allClusters,
		kmsg.DescribeClientQuotas:         r.anyCluster,
		kmsg.AlterClientQuotas:            r.allClusters,
		kmsg.DescribeUserSCRAMCredentials: r.anyCluster,
		kmsg.AlterUserSCRAMCredentials:    r.allClusters,

		kmsg.DescribeLogDirs:            r.describeLogDirs,
		kmsg.ElectLeaders:               r.electLeaders,
		kmsg.AlterPartitionAssignments:  r.alterPartitionAssignments,
		kmsg.ListPartitionReassignments: r.listPartitionReassignments,
	}
}

// Keys returns the rows that routing stands in.
func (r *Routing) Keys() plugin.KeySet {
	keys := []kmsg.Key{kmsg.Produce, kmsg.Fetch}
	for k := range r.rows {
		keys = append(keys, k)
	}
	return kafka.NewKeySet(keys...)
}

// Intercept answers one request.
func (r *Routing) Intercept(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return plugin.InSteps(ctx, r, req, next)
}

// Down sends a request to the cluster that it is for.
func (r *Routing) Down(_ context.Context, req *plugin.Request, s *plugin.Step) plugin.Outcome {
	switch req.Key {
	case kmsg.Produce:
		return r.produceDown(req, s)
	case kmsg.Fetch:
		return r.fetchDown(req, s)
	}
	row, ok := r.rows[req.Key]
	if !ok {
		return plugin.Answer(nil, fmt.Errorf("routing has no row for %s", kmsg.NameForKey(int16(req.Key))))
	}
	return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) { return row(ctx, req, next) })
}

// Up sees what came of a Produce or Fetch.
func (r *Routing) Up(ctx context.Context, req *plugin.Request, s *plugin.Step, resp *plugin.Response, err error) plugin.Outcome {
	if req.Key == kmsg.Produce {
		return r.produceUp(req, s, resp, err)
	}
	return r.fetchUp(ctx, req, resp, err)
}

// Close ends the watch over stalled topics.
func (r *Routing) Close() error {
	r.stall.close()
	return r.shares.close()
}

// Home says where the rules put a topic.
func (r *Routing) Home(topic string) plugin.Home { return r.rules.home(topic) }

// SetHome returns the edits that put a topic on a cluster.
func (r *Routing) SetHome(topic, cluster, name string) []config.Edit {
	return r.rules.setHome(topic, cluster, name)
}

// Topics lists the names and globs of the rules.
func (r *Routing) Topics() []string { return sortedKeys(r.rules.cfg.Topics) }

// LeaveCluster returns the edits that move everything that lives on a cluster by these rules, but
// for transactions.
func (r *Routing) LeaveCluster(from, to string) []config.Edit { return r.rules.leave(from, to) }

// topic returns the catalog's topic by name or id; nil for one that the virtual cluster doesn't
// know or that belongs to no cluster.
func (r *Routing) topic(name string, id [16]byte) *catalog.Topic {
	if name == "" && id != ([16]byte{}) {
		return r.env.Catalog.ByID(id)
	}
	return r.env.Catalog.Topic(name)
}

// homeOf is where a topic lives: what the catalog says, else what the rules say. For a topic that
// clients may not see, also one that the catalog knows, it is "", and shown false. What is wrong
// with a name that no topic can have is said by any cluster.
func (r *Routing) homeOf(name string, id [16]byte) (cluster string, shown bool) {
	t := r.topic(name, id)
	if t == nil && id != ([16]byte{}) && name == "" {
		return "", false
	}
	if t == nil && !kafka.LegalTopic(name) {
		return r.reachable().Name(), true
	}
	if t != nil {
		return r.homeOfKnown(t)
	}
	cluster, shown = r.rules.place(name)
	if !shown || r.env.Catalog.Hidden(name) {
		return "", false
	}
	return cluster, cluster != ""
}

// homeOfKnown is homeOf for a topic of the catalog.
func (r *Routing) homeOfKnown(t *catalog.Topic) (cluster string, shown bool) {
	cluster, shown = r.rules.place(t.Name)
	if !shown || r.env.Catalog.Hides(t) {
		return "", false
	}
	if t.Home != "" {
		return t.Home, true
	}
	return cluster, cluster != ""
}

// first is the cluster that answers what concerns no topic.
func (r *Routing) first() plugin.Cluster {
	if c := r.env.Cluster(r.rules.fallback); c != nil {
		return c
	}
	return r.env.Clusters[0]
}

// to sends a request as it is to one cluster.
func (r *Routing) to(ctx context.Context, req *plugin.Request, next plugin.Handler, cluster string) (*plugin.Response, error) {
	f := req.With(req.Body)
	f.Target = plugin.Target{Cluster: cluster, Node: plugin.AnyNode}
	return next.Handle(ctx, f)
}

// fork runs one sub-request per cluster.
func (r *Routing) fork(ctx context.Context, req *plugin.Request, next plugin.Handler, clusters []string, bodies []*kafka.RequestBody) ([]*plugin.Request, []fork.Result) {
	for _, b := range bodies {
		_, _ = b.Peek() // bodies may be shared by forks, which decode them at the same time
	}
	forks := req.Fork(len(clusters), "cluster")
	for i := range forks {
		forks[i].Body = bodies[i]
		forks[i].Target = plugin.Target{Cluster: clusters[i], Node: plugin.AnyNode}
	}
	return forks, fork.Parallel(ctx, forks, next)
}
