package routing

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Where a share group starts in a topic, the topic's home knows. A request about it goes to the
// group's home, which says what is wrong with the group, with the topics that live there; other
// homes are asked by the gateway itself.

// shareAtOnce is how many homes are asked at once on behalf of a request.
const shareAtOnce = 8

// shareHome is where a topic of a request of a group lives; shown is false if clients may not see
// it.
func (r *Routing) shareHome(group, topic string) (home string, shown bool) {
	home, shown = r.homeOf(topic, [16]byte{})
	if shown && r.topic(topic, [16]byte{}) == nil {
		home = r.groupHome(group) // where nobody knows it either
	}
	return home, shown
}

// settle has the homes of topics know where a group is that has moved behind them only in part.
// topics is nil for all.
func (r *Routing) settleShares(ctx context.Context, req *plugin.Request, group string, topics []string) {
	if len(r.env.Clusters) == 1 {
		return
	}
	for _, key := range r.env.Catalog.Shares() {
		if key.Group != group || topics != nil && !slices.Contains(topics, key.Topic) {
			continue
		}
		if t := r.env.Catalog.Topic(key.Topic); t != nil && t.Before == nil {
			r.shares.ready(ctx, req, group, t, r.shares.limit())
		}
	}
}

// describeShareGroupOffsets asks the homes of the groups, and those of topics that live elsewhere.
func (r *Routing) describeShareGroupOffsets(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	f, m, err := plugin.Edit[*kmsg.DescribeShareGroupOffsetsRequest](req)
	if err != nil {
		return nil, err
	}
	var elsewhere []shareQuestion
	for i := range m.Groups {
		g := &m.Groups[i]
		names := topicNames(g.Topics, func(t kmsg.DescribeShareGroupOffsetsRequestGroupTopic) string { return t.Topic })
		r.settleShares(ctx, req, g.GroupID, names)
		elsewhere = append(elsewhere, r.divideDescribed(g)...)
	}
	resp, err := forkItems(ctx, r, f, next,
		func(m *kmsg.DescribeShareGroupOffsetsRequest) *[]kmsg.DescribeShareGroupOffsetsRequestGroup {
			return &m.Groups
		},
		func(g *kmsg.DescribeShareGroupOffsetsRequestGroup) string { return r.groupHome(g.GroupID) }, nil)
	if err != nil || resp == nil {
		return resp, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	out := msg.(*kmsg.DescribeShareGroupOffsetsResponse)
	if err := guard.Parallel(len(elsewhere), shareAtOnce, func(i int) error { return elsewhere[i].ask(ctx, r) }); err != nil {
		return nil, err
	}
	for i := range out.Groups {
		g := &out.Groups[i]
		home := r.groupHome(g.GroupID)
		g.Topics = slices.DeleteFunc(g.Topics, func(t kmsg.DescribeShareGroupOffsetsResponseGroupTopic) bool {
			at, shown := r.shareHome(g.GroupID, t.Topic)
			return !shown || at != home // what it knows of a copy
		})
		for _, q := range elsewhere {
			if q.group.GroupID == g.GroupID && g.ErrorCode == 0 {
				g.Topics = append(g.Topics, q.topics...)
			}
		}
	}
	return resp, nil
}

func topicNames[T any](list []T, name func(T) string) (out []string) {
	if list != nil {
		out = []string{}
	}
	for _, t := range list {
		out = append(out, name(t))
	}
	return out
}

// shareQuestion is what a cluster is asked that is not the group's home.
type shareQuestion struct {
	cluster string
	group   kmsg.DescribeShareGroupOffsetsRequestGroup
	topics  []kmsg.DescribeShareGroupOffsetsResponseGroupTopic // the answer
}

// divideDescribed leaves in a question about a group what its home knows, and returns the others.
func (r *Routing) divideDescribed(g *kmsg.DescribeShareGroupOffsetsRequestGroup) (elsewhere []shareQuestion) {
	home := r.groupHome(g.GroupID)
	if g.Topics == nil {
		for _, c := range r.env.Clusters {
			if c.Name() != home && c.Reachable() {
				elsewhere = append(elsewhere, shareQuestion{cluster: c.Name(), group: *g})
			}
		}
		return elsewhere
	}
	by := map[string][]kmsg.DescribeShareGroupOffsetsRequestGroupTopic{}
	hidden := shareQuestion{group: *g}
	for _, t := range g.Topics {
		at, shown := r.shareHome(g.GroupID, t.Topic)
		if !shown {
			hidden.topics = append(hidden.topics, unknownShare(t))
			continue
		}
		by[at] = append(by[at], t)
	}
	if len(hidden.topics) > 0 {
		elsewhere = append(elsewhere, hidden)
	}
	for _, cluster := range sortedKeys(by) {
		if cluster != home {
			q := shareQuestion{cluster: cluster, group: *g}
			q.group.Topics = by[cluster]
			elsewhere = append(elsewhere, q)
		}
	}
	if g.Topics = by[home]; g.Topics == nil {
		g.Topics = []kmsg.DescribeShareGroupOffsetsRequestGroupTopic{}
	}
	return elsewhere
}

// unknownShare is what brokers answer about a topic that there is not.
func unknownShare(t kmsg.DescribeShareGroupOffsetsRequestGroupTopic) kmsg.DescribeShareGroupOffsetsResponseGroupTopic {
	out := kmsg.DescribeShareGroupOffsetsResponseGroupTopic{Topic: t.Topic}
	for _, p := range t.Partitions {
		out.Partitions = append(out.Partitions, kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition{Partition: p, StartOffset: -1, Lag: -1})
	}
	return out
}

// ask asks the cluster; one that does not answer costs what lives there.
func (q *shareQuestion) ask(ctx context.Context, r *Routing) error {
	if q.cluster == "" {
		return nil
	}
	m := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	m.Groups = append(m.Groups, q.group)
	resp, err := r.shares.ask(ctx, q.cluster, plugin.AnyNode, m)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	code := int16(kafka.NotCoordinator)
	if err == nil {
		code = 0
		for _, g := range resp.(*kmsg.DescribeShareGroupOffsetsResponse).Groups {
			if code = g.ErrorCode; code == 0 {
				for _, t := range g.Topics {
					if r.livesAt(q.cluster, t.Topic) {
						q.topics = append(q.topics, t)
					}
				}
			}
		}
	}
	if code == 0 {
		return nil
	}
	for _, t := range q.group.Topics {
		failed := unknownShare(t)
		for i := range failed.Partitions {
			failed.Partitions[i].ErrorCode = code
		}
		q.topics = append(q.topics, failed)
	}
	return nil
}

// byShareHome divides topics by home: those of the group's own home come first.
func byShareHome[T any](r *Routing, group string, topics []T, name func(T) string) (own []T, others map[string][]T, unseen []T) {
	home := r.groupHome(group)
	others = map[string][]T{}
	for _, t := range topics {
		switch at, shown := r.shareHome(group, name(t)); {
		case !shown:
			unseen = append(unseen, t)
		case at == home:
			own = append(own, t)
		default:
			others[at] = append(others[at], t)
		}
	}
	return own, others, unseen
}

// hasMembers reports that a group has members, which another cluster than its home does not know.
func (r *Routing) hasMembers(ctx context.Context, group string) (bool, error) {
	members, err := r.shares.members(ctx, r.groupHome(group), group)
	return len(members) > 0, err
}

// shareChange is how requests that change what is known of a share group in topics are taken apart.
type shareChange[T, A any] struct {
	name func(T) string
	// about is a request about topics alone.
	about func(topics []T) kmsg.Request
	// parts are an answer's code, and what it says of topics.
	parts func(kmsg.Response) (code *int16, topics *[]A)
	// refused says a code of each topic.
	refused func(topics []T, code kafka.Code) []A
}

// changeShares asks the group's home, which refuses while the group has members, and then the homes
// of the other topics. It returns what the answer says of topics, nil if it refuses all.
func changeShares[T, A any](ctx context.Context, r *Routing, f *plugin.Request, next plugin.Handler, group string, topics *[]T, c shareChange[T, A]) (*plugin.Response, []A, error) {
	r.settleShares(ctx, f, group, topicNames(*topics, c.name))
	own, others, unseen := byShareHome(r, group, *topics, c.name)
	if len(others) > 0 {
		if has, err := r.hasMembers(ctx, group); err != nil || has {
			refusal := c.about(nil).ResponseKind()
			code, _ := c.parts(refusal)
			*code = int16(kafka.NonEmptyGroup)
			return plugin.Respond(refusal), nil, err
		}
	}
	*topics = own
	resp, err := r.to(ctx, f, next, r.groupHome(group))
	if err != nil || resp == nil {
		return resp, nil, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, nil, err
	}
	code, said := c.parts(msg)
	if *code != 0 {
		return resp, nil, nil
	}
	for _, cluster := range sortedKeys(others) {
		failed := kafka.NotCoordinator
		if answer, err := r.shares.ask(ctx, cluster, plugin.AnyNode, c.about(others[cluster])); err == nil {
			code, more := c.parts(answer)
			if *code == 0 {
				*said = append(*said, *more...)
				continue
			}
			failed = kafka.Code(*code)
		}
		*said = append(*said, c.refused(others[cluster], failed)...)
	}
	*said = append(*said, c.refused(unseen, kafka.UnknownTopicOrPartition)...)
	return resp, *said, nil
}

// alterShareGroupOffsets sets where a share group is in topics, at their homes.
func (r *Routing) alterShareGroupOffsets(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	f, m, err := plugin.Edit[*kmsg.AlterShareGroupOffsetsRequest](req)
	if err != nil {
		return nil, err
	}
	resp, topics, err := changeShares(ctx, r, f, next, m.GroupID, &m.Topics, shareChange[kmsg.AlterShareGroupOffsetsRequestTopic, kmsg.AlterShareGroupOffsetsResponseTopic]{
		name: func(t kmsg.AlterShareGroupOffsetsRequestTopic) string { return t.Topic },
		about: func(topics []kmsg.AlterShareGroupOffsetsRequestTopic) kmsg.Request {
			there := *m
			there.Topics = topics
			return &there
		},
		parts: func(resp kmsg.Response) (*int16, *[]kmsg.AlterShareGroupOffsetsResponseTopic) {
			a := resp.(*kmsg.AlterShareGroupOffsetsResponse)
			return &a.ErrorCode, &a.Topics
		},
		refused: refusedAlter,
	})
	if err != nil {
		return nil, err
	}
	return resp, r.altered(ctx, m.GroupID, topics)
}

func refusedAlter(topics []kmsg.AlterShareGroupOffsetsRequestTopic, code kafka.Code) (out []kmsg.AlterShareGroupOffsetsResponseTopic) {
	for _, t := range topics {
		a := kmsg.AlterShareGroupOffsetsResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			a.Partitions = append(a.Partitions, kmsg.AlterShareGroupOffsetsResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(code)})
		}
		out = append(out, a)
	}
	return out
}

// altered notes that the homes of topics know where a group is: they were told.
func (r *Routing) altered(ctx context.Context, group string, topics []kmsg.AlterShareGroupOffsetsResponseTopic) error {
	if len(r.env.Clusters) == 1 {
		return nil
	}
	for _, a := range topics {
		t := r.env.Catalog.Topic(a.Topic)
		if t == nil || t.Before != nil || slices.ContainsFunc(a.Partitions, func(p kmsg.AlterShareGroupOffsetsResponseTopicPartition) bool { return p.ErrorCode != 0 }) {
			continue
		}
		key := catalog.ShareKey{Group: group, Topic: a.Topic}
		high := shownOf(t)
		there, err := r.shares.describe(ctx, t.Home, group, []string{a.Topic})
		if err != nil {
			continue // the mirror asks again
		}
		if err := r.shares.told(ctx, key, t, shareAt(t, there[a.Topic], high)); err != nil {
			return err
		}
	}
	return nil
}

// deleteShareGroupOffsets forgets a share group in topics, at their homes.
func (r *Routing) deleteShareGroupOffsets(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	f, m, err := plugin.Edit[*kmsg.DeleteShareGroupOffsetsRequest](req)
	if err != nil {
		return nil, err
	}
	resp, topics, err := changeShares(ctx, r, f, next, m.GroupID, &m.Topics, shareChange[kmsg.DeleteShareGroupOffsetsRequestTopic, kmsg.DeleteShareGroupOffsetsResponseTopic]{
		name: func(t kmsg.DeleteShareGroupOffsetsRequestTopic) string { return t.Topic },
		about: func(topics []kmsg.DeleteShareGroupOffsetsRequestTopic) kmsg.Request {
			there := *m
			there.Topics = topics
			return &there
		},
		parts: func(resp kmsg.Response) (*int16, *[]kmsg.DeleteShareGroupOffsetsResponseTopic) {
			a := resp.(*kmsg.DeleteShareGroupOffsetsResponse)
			return &a.ErrorCode, &a.Topics
		},
		refused: refusedDelete,
	})
	if err != nil {
		return nil, err
	}
	for _, a := range topics {
		if t := r.env.Catalog.Topic(a.Topic); a.ErrorCode == 0 && t != nil && len(r.env.Clusters) > 1 {
			if err := r.shares.deleted(ctx, catalog.ShareKey{Group: m.GroupID, Topic: a.Topic}, t); err != nil {
				return nil, err
			}
		}
	}
	return resp, nil
}

func refusedDelete(topics []kmsg.DeleteShareGroupOffsetsRequestTopic, code kafka.Code) (out []kmsg.DeleteShareGroupOffsetsResponseTopic) {
	for _, t := range topics {
		out = append(out, kmsg.DeleteShareGroupOffsetsResponseTopic{Topic: t.Topic, ErrorCode: int16(code)})
	}
	return out
}
