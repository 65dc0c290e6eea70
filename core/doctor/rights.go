package doctor

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/upstream"
)

// What the gateway's own requests, and its clients', can't do without.
var (
	clusterRights = []kmsg.ACLOperation{kmsg.ACLOperationCreate, kmsg.ACLOperationDescribe}
	topicRights   = []kmsg.ACLOperation{kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationRead, kmsg.ACLOperationWrite}
)

// rights looks at what this machine may do on a cluster: its requests reach the cluster as the
// gateway's do, and those of all clients with them.
type rights struct {
	c     *upstream.Cluster
	known bool // the cluster tells
	lacks []string
	asked map[string]bool // groups and transactional ids by kind and name: whether they may be used
}

func (d *doctor) rights(ctx context.Context, subject string, c *upstream.Cluster) {
	r := &rights{c: c, asked: map[string]bool{}}
	others, authorizer, err := r.others(ctx)
	if !authorizer {
		d.say(OK, subject, "rights", "", "the cluster has no authorizer: everything is allowed")
		return
	}
	topics, unseen := r.topics(ctx)
	err = cmp.Or(err, r.cluster(ctx), unseen, r.existing(ctx))
	const fix = "allow these operations with kafka-acls.sh to the principal that this machine is there"
	switch {
	case len(r.lacks) > 0:
		d.say(Fail, subject, "rights", fix, "not allowed: %s", few(r.lacks))
	case err != nil:
		d.say(Warn, subject, "rights", fix+", Describe on the cluster first of all", "not all of them could be looked at: %v", err)
	case r.known:
		d.say(OK, subject, "rights", "", "what the gateway needs is allowed, on the cluster, its topics, groups and transactional ids")
	default:
		d.say(OK, subject, "rights", "", "the cluster does not tell (Kafka 2.3 does)")
	}
	if more := r.more(ctx, others, topics); len(more) > 0 {
		d.say(Warn, subject, "rights of clients", "clients act on the cluster as this machine does: "+fix+", if they are to go through the gateway",
			"others are allowed what this machine is not: %s", few(more))
	} else if len(others) > 0 {
		d.say(OK, subject, "rights of clients", "", "no ACL allows others what this machine is not")
	}
}

// few names the first of many.
func few(list []string) string {
	if n := len(list) - 5; n > 0 {
		return fmt.Sprintf("%s; and %d more", strings.Join(list[:5], "; "), n)
	}
	return strings.Join(list, "; ")
}

func missing(ops int32, want []kmsg.ACLOperation) (out []string) {
	for _, op := range want {
		if ops&(1<<op) == 0 {
			out = append(out, operation(op))
		}
	}
	return out
}

// operation is its name as kafka-acls.sh writes it.
func operation(op kmsg.ACLOperation) string {
	var b strings.Builder
	for word := range strings.SplitSeq(op.String(), "_") {
		b.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return b.String()
}

// cluster asks what may be done on the cluster as such (KIP-430).
func (r *rights) cluster(ctx context.Context) error {
	if !offered(r.c.Topology(), kmsg.DescribeCluster) {
		return nil
	}
	req := kmsg.NewPtrDescribeClusterRequest()
	req.IncludeClusterAuthorizedOperations = true
	resp, err := r.c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return err
	}
	if ops := resp.(*kmsg.DescribeClusterResponse).ClusterAuthorizedOperations; ops != math.MinInt32 {
		r.known = true
		for _, m := range missing(ops, clusterRights) {
			r.lacks = append(r.lacks, m+" on the cluster")
		}
	}
	return nil
}

// topics asks what may be done with the topics that may be seen, and returns it.
func (r *rights) topics(ctx context.Context) (map[string]int32, error) {
	all := map[string]int32{}
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	resp, err := r.c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return nil, err
	}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if t.AuthorizedOperations == math.MinInt32 || t.IsInternal || t.Topic == nil {
			continue
		}
		r.known, all[*t.Topic] = true, t.AuthorizedOperations
		if m := missing(t.AuthorizedOperations, topicRights); len(m) > 0 {
			r.lacks = append(r.lacks, fmt.Sprintf("%s on topic %s", strings.Join(m, ", "), *t.Topic))
		}
	}
	return all, nil
}

const (
	group         = "group"
	transactional = "transactional id"
)

// existing looks at the groups and transactional ids that there are.
func (r *rights) existing(ctx context.Context) error {
	var groups, ids []string
	for _, b := range r.c.Topology().Brokers {
		resp, err := r.c.Do(ctx, b.ID, kmsg.NewPtrListGroupsRequest())
		if err != nil {
			return err
		}
		for _, g := range resp.(*kmsg.ListGroupsResponse).Groups {
			if g.ProtocolType == "consumer" || g.ProtocolType == "" { // others are those of Connect and the like
				groups = append(groups, g.Group)
			}
		}
		if !offered(r.c.Topology(), kmsg.ListTransactions) {
			continue
		}
		if resp, err = r.c.Do(ctx, b.ID, kmsg.NewPtrListTransactionsRequest()); err != nil {
			return err
		}
		for _, t := range resp.(*kmsg.ListTransactionsResponse).TransactionStates {
			ids = append(ids, t.TransactionalID)
		}
	}
	for kind, names := range map[string][]string{group: groups, transactional: ids} {
		for _, name := range names {
			ok, err := r.may(ctx, kind, name)
			if err != nil {
				return err
			}
			if !ok {
				r.lacks = append(r.lacks, lack(kind, name))
			}
		}
	}
	slices.Sort(r.lacks)
	r.lacks = slices.Compact(r.lacks)
	return nil
}

func lack(kind, name string) string {
	if kind == group {
		return "Read on group " + name
	}
	return "Write on transactional id " + name
}

// may says whether a group may be joined, or a transactional id used. A broker looks at rights
// before all else, so it is asked for what can't be done: a heartbeat of no member, the end of a
// transaction of no producer.
func (r *rights) may(ctx context.Context, kind, name string) (bool, error) {
	if ok, asked := r.asked[kind+name]; asked {
		return ok, nil
	}
	var req kmsg.Request
	if kind == group {
		h := kmsg.NewPtrHeartbeatRequest()
		h.Group, h.Generation = name, -1
		req = h
	} else {
		e := kmsg.NewPtrEndTxnRequest()
		e.TransactionalID, e.ProducerID, e.ProducerEpoch = name, -1, -1
		req = e
	}
	resp, err := r.c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return false, err
	}
	var code kafka.Code
	switch m := resp.(type) {
	case *kmsg.HeartbeatResponse:
		code = kafka.Code(m.ErrorCode)
	case *kmsg.EndTxnResponse:
		code = kafka.Code(m.ErrorCode)
	}
	ok := code != kafka.GroupAuthorizationFailed && code != kafka.TransactionalIDAuthorizationFailed
	r.asked[kind+name] = ok
	return ok, nil
}

// allowed is one thing that an ACL allows to somebody.
type allowed struct {
	kind      kmsg.ACLResourceType
	name      string
	prefix    bool
	op        kmsg.ACLOperation
	principal string
}

// others lists what ACLs allow on named topics, groups and transactional ids; it is false without
// an authorizer.
func (r *rights) others(ctx context.Context) (list []allowed, authorizer bool, err error) {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAllow
	resp, err := r.c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return nil, true, err
	}
	acls := resp.(*kmsg.DescribeACLsResponse)
	if kafka.Code(acls.ErrorCode) == kafka.SecurityDisabled {
		return nil, false, nil
	}
	if err := kerr.ErrorForCode(acls.ErrorCode); err != nil {
		return nil, true, fmt.Errorf("the ACLs: %w", err)
	}
	for _, res := range acls.Resources {
		if res.ResourceName == "*" {
			continue
		}
		for _, a := range res.ACLs {
			list = append(list, allowed{res.ResourceType, res.ResourceName, res.ResourcePatternType == kmsg.ACLResourcePatternTypePrefixed, a.Operation, a.Principal})
		}
	}
	slices.SortFunc(list, func(a, b allowed) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.principal, b.principal))
	})
	return list, true, nil
}

// more is what others are allowed, and this machine is not.
func (r *rights) more(ctx context.Context, others []allowed, topics map[string]int32) (out []string) {
	for _, o := range others {
		if ctx.Err() != nil {
			return out
		}
		what := ""
		switch o.kind {
		case kmsg.ACLResourceTypeTopic:
			what = r.topic(ctx, o, topics)
		case kmsg.ACLResourceTypeGroup:
			if ok, err := r.may(ctx, group, o.name); err == nil && !ok && (o.op == kmsg.ACLOperationRead || o.op == kmsg.ACLOperationAll) {
				what = lack(group, o.name)
			}
		case kmsg.ACLResourceTypeTransactionalId:
			if ok, err := r.may(ctx, transactional, o.name); err == nil && !ok && (o.op == kmsg.ACLOperationWrite || o.op == kmsg.ACLOperationAll) {
				what = lack(transactional, o.name)
			}
		}
		if what == "" || slices.Contains(r.lacks, what) {
			continue
		}
		if o.prefix {
			what += "*"
		}
		if what += " (" + o.principal + ")"; !slices.Contains(out, what) {
			out = append(out, what)
		}
	}
	return out
}

// topic says what an ACL of a topic allows that this machine may not do. Topics that it may not see
// look to it as if they did not exist, and of those that don't exist only this can be told.
func (r *rights) topic(ctx context.Context, o allowed, topics map[string]int32) string {
	if ops, seen := topics[o.name]; seen {
		if o.op != kmsg.ACLOperationAll && ops&(1<<o.op) == 0 {
			return operation(o.op) + " on topic " + o.name
		}
		return ""
	}
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(o.name)
	req.Topics, req.AllowAutoTopicCreation = append(req.Topics, t), false
	resp, err := r.c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return ""
	}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if kafka.Code(t.ErrorCode) == kafka.TopicAuthorizationFailed {
			return "Describe on topic " + o.name
		}
	}
	return ""
}
