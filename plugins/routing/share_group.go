package routing

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// started is where a share partition starts. Brokers store that with what is acknowledged next, so
// that it may be behind by what was acknowledged last; but they know whether anything is left.
type started struct {
	offset int64
	done   bool // nothing is left
}

// describe asks a cluster where a group starts, by topic and partition; no topics are all.
func (s *shares) describe(ctx context.Context, cluster, group string, topics []string) (map[string]map[int32]started, error) {
	m := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	g.GroupID = group
	for _, name := range topics {
		t := kmsg.NewDescribeShareGroupOffsetsRequestGroupTopic()
		t.Topic = name
		if known := s.env.Catalog.Topic(name); known != nil {
			for p := range known.Partitions {
				t.Partitions = append(t.Partitions, int32(p))
			}
		}
		g.Topics = append(g.Topics, t)
	}
	m.Groups = append(m.Groups, g)
	resp, err := s.ask(ctx, cluster, plugin.AnyNode, m)
	if err != nil {
		return nil, err
	}
	out := map[string]map[int32]started{}
	for _, g := range resp.(*kmsg.DescribeShareGroupOffsetsResponse).Groups {
		if g.ErrorCode != 0 {
			return nil, errors.New(kafka.Code(g.ErrorCode).Name())
		}
		for _, t := range g.Topics {
			out[t.Topic] = map[int32]started{}
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return nil, errors.New(kafka.Code(p.ErrorCode).Name())
				}
				out[t.Topic][p.Partition] = started{p.StartOffset, p.StartOffset >= 0 && p.Lag == 0}
			}
		}
	}
	return out, nil
}

// alter changes where share partitions start, and returns the first code that says otherwise.
func (s *shares) alter(ctx context.Context, cluster string, m *kmsg.AlterShareGroupOffsetsRequest) (kafka.Code, error) {
	resp, err := s.ask(ctx, cluster, plugin.AnyNode, m)
	if err != nil {
		return 0, err
	}
	r := resp.(*kmsg.AlterShareGroupOffsetsResponse)
	code := kafka.Code(r.ErrorCode)
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if code == 0 {
				code = kafka.Code(p.ErrorCode)
			}
		}
	}
	return code, nil
}

// mostEvictions is how often members are sent away that come back before the offsets are changed.
const mostEvictions = 10

// untilEmpty does what a coordinator does with groups without members alone. Members leave the
// group on the gateway's request, and join it again by themselves, since their next heartbeat is
// answered with UNKNOWN_MEMBER_ID; what they have acquired stays theirs.
func (s *shares) untilEmpty(ctx context.Context, cluster, group string, do func() (kafka.Code, error)) error {
	for evicted := 0; ; {
		code, err := do()
		switch {
		case err != nil:
			return err
		case code == 0:
			return nil
		case code == kafka.NonEmptyGroup && evicted < mostEvictions:
			evicted++
			if err := s.evict(ctx, cluster, group); err != nil {
				return err
			}
			continue
		case code == kafka.NotCoordinator, code == kafka.CoordinatorNotAvailable, code == kafka.CoordinatorLoadInProgress:
		default:
			return fmt.Errorf("%s: %s", cluster, code.Name())
		}
		if !guard.Sleep(ctx, coordinatorPause) {
			return fmt.Errorf("%s: %s", cluster, code.Name())
		}
	}
}

// coordinatorPause is how long a coordinator is left alone that is not ready.
const coordinatorPause = 100 * time.Millisecond

// evict lets the members of a group leave.
func (s *shares) evict(ctx context.Context, cluster, group string) error {
	members, err := s.members(ctx, cluster, group)
	for _, member := range members {
		if _, err := s.beat(ctx, cluster, group, member, finalShareEpoch, nil); err != nil {
			return err
		}
	}
	return err
}

// members are those that a coordinator knows of a group.
func (s *shares) members(ctx context.Context, cluster, group string) (out []string, err error) {
	m := kmsg.NewPtrShareGroupDescribeRequest()
	m.GroupIDs = []string{group}
	resp, err := s.ask(ctx, cluster, plugin.AnyNode, m)
	if err != nil {
		return nil, err
	}
	for _, g := range resp.(*kmsg.ShareGroupDescribeResponse).Groups {
		for _, member := range g.Members {
			out = append(out, member.MemberID)
		}
	}
	return out, nil
}

func (s *shares) beat(ctx context.Context, cluster, group, member string, epoch int32, topics []string) (*kmsg.ShareGroupHeartbeatResponse, error) {
	m := kmsg.NewPtrShareGroupHeartbeatRequest()
	m.GroupID, m.MemberID, m.MemberEpoch, m.SubscribedTopicNames = group, member, epoch, topics
	resp, err := s.ask(ctx, cluster, plugin.AnyNode, m)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.ShareGroupHeartbeatResponse), nil
}

// introduce shows a cluster that does not coordinate a group a member of it, until it has assigned
// it the topic's partitions: by then it has made their state.
func (s *shares) introduce(ctx context.Context, key catalog.ShareKey, t *catalog.Topic) error {
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	member, epoch := "A"+base64.RawURLEncoding.EncodeToString(raw[:])[1:], int32(firstShareEpoch)
	defer func() { _, _ = s.beat(context.WithoutCancel(ctx), t.Home, key.Group, member, finalShareEpoch, nil) }()
	for topics := []string{key.Topic}; ; {
		resp, err := s.beat(ctx, t.Home, key.Group, member, epoch, topics)
		if err != nil {
			return err
		}
		switch code := kafka.Code(resp.ErrorCode); code {
		case 0:
			epoch, topics = resp.MemberEpoch, nil
		case kafka.UnknownMemberID, kafka.FencedMemberEpoch:
			epoch, topics = firstShareEpoch, []string{key.Topic}
		case kafka.NotCoordinator, kafka.CoordinatorNotAvailable, kafka.CoordinatorLoadInProgress:
		default:
			return fmt.Errorf("%s: %s", t.Home, code.Name())
		}
		if resp.ErrorCode == 0 && assigned(resp, t) {
			return nil
		}
		if !guard.Sleep(ctx, coordinatorPause) {
			return fmt.Errorf("%s has not assigned the topic in time", t.Home)
		}
	}
}

// assigned reports that a member was given all partitions of a topic, as an only one is.
func assigned(resp *kmsg.ShareGroupHeartbeatResponse, t *catalog.Topic) bool {
	return resp.Assignment != nil && slices.ContainsFunc(resp.Assignment.TopicPartitions, func(a kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition) bool {
		return a.TopicID == t.ID && len(a.Partitions) >= len(t.Partitions)
	})
}

// configure gives a cluster what a group is configured with at its home: the leaders of a topic
// follow it, such as the isolation level.
func (s *shares) configure(ctx context.Context, group, cluster string) error {
	home := s.groupHome(group)
	if home == cluster || !s.env.Cluster(home).Reachable() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, oldHomeAnswers)
	defer cancel()
	want, err := s.configs(ctx, home, group)
	if err != nil {
		return err
	}
	has, err := s.configs(ctx, cluster, group)
	if err != nil {
		return err
	}
	set := kmsg.NewIncrementalAlterConfigsRequestResource()
	set.ResourceType, set.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	for _, name := range sortedKeys(want) {
		if has[name] != want[name] {
			value := want[name]
			set.Configs = append(set.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: name, Op: kmsg.IncrementalAlterConfigOpSet, Value: &value})
		}
	}
	for _, name := range sortedKeys(has) {
		if _, kept := want[name]; !kept {
			set.Configs = append(set.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: name, Op: kmsg.IncrementalAlterConfigOpDelete})
		}
	}
	if len(set.Configs) == 0 {
		return nil
	}
	m := kmsg.NewPtrIncrementalAlterConfigsRequest()
	m.Resources = append(m.Resources, set)
	resp, err := s.ask(ctx, cluster, plugin.AnyNode, m)
	if err != nil {
		return err
	}
	for _, r := range resp.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		if r.ErrorCode != 0 {
			return fmt.Errorf("%s: %s", cluster, kafka.Code(r.ErrorCode).Name())
		}
	}
	return nil
}

// configs are what a group is configured with by itself on a cluster.
func (s *shares) configs(ctx context.Context, cluster, group string) (map[string]string, error) {
	m := kmsg.NewPtrDescribeConfigsRequest()
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	m.Resources = append(m.Resources, res)
	resp, err := s.ask(ctx, cluster, plugin.AnyNode, m)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		for _, c := range r.Configs {
			if c.Source == kmsg.ConfigSourceGroupConfig && c.Value != nil {
				out[c.Name] = *c.Value
			}
		}
	}
	return out, nil
}

// reconfigure is configure for the groups that a request has configured, wherever topics that they
// consume live.
func (s *shares) reconfigure(ctx context.Context, groups []string) {
	if len(groups) == 0 {
		return
	}
	for _, key := range s.env.Catalog.Shares() {
		if !slices.Contains(groups, key.Group) {
			continue
		}
		if at, ok, err := s.env.Catalog.Share(key); err == nil && ok && s.env.Cluster(at.Home) != nil {
			if err := s.configure(ctx, key.Group, at.Home); err != nil {
				s.log.WarnContext(ctx, "a share group's configuration was not taken to the home of a topic", "group", key.Group, "cluster", at.Home, "error", err)
			}
		}
	}
}
