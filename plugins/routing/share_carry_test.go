package routing

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// shareCluster is a cluster that knows share groups, as far as carrying them needs it.
type shareCluster struct {
	starts    map[string]map[int32]int64 // by topic, in the names and offsets that it is asked in
	lag       int64
	members   int
	rejoin    int // how often a member comes back before the offsets are changed
	alters    []int64
	unready   int // answers before the coordinator is
	configs   map[string]string
	introduce int
}

func (c *shareCluster) answer(m kmsg.Request, topicID [16]byte) kmsg.Response {
	switch m := m.(type) {
	case *kmsg.DescribeShareGroupOffsetsRequest:
		r := kmsg.NewPtrDescribeShareGroupOffsetsResponse()
		g := kmsg.DescribeShareGroupOffsetsResponseGroup{GroupID: m.Groups[0].GroupID}
		for name, starts := range c.starts {
			t := kmsg.DescribeShareGroupOffsetsResponseGroupTopic{Topic: name}
			for p, at := range starts {
				t.Partitions = append(t.Partitions, kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition{Partition: p, StartOffset: at, Lag: c.lag})
			}
			g.Topics = append(g.Topics, t)
		}
		r.Groups = append(r.Groups, g)
		return r
	case *kmsg.AlterShareGroupOffsetsRequest:
		r := kmsg.NewPtrAlterShareGroupOffsetsResponse()
		if c.unready > 0 {
			c.unready--
			r.ErrorCode = int16(kafka.CoordinatorLoadInProgress)
			return r
		}
		if c.members > 0 {
			r.ErrorCode = int16(kafka.NonEmptyGroup)
			return r
		}
		for _, p := range m.Topics[0].Partitions {
			c.alters = append(c.alters, p.StartOffset)
		}
		return r
	case *kmsg.ShareGroupDescribeRequest:
		r := kmsg.NewPtrShareGroupDescribeResponse()
		g := kmsg.ShareGroupDescribeResponseGroup{GroupID: m.GroupIDs[0]}
		for i := range c.members {
			g.Members = append(g.Members, kmsg.ShareGroupDescribeResponseGroupMember{MemberID: fmt.Sprint("m-", i)})
		}
		r.Groups = append(r.Groups, g)
		return r
	case *kmsg.ShareGroupHeartbeatRequest:
		r := kmsg.NewPtrShareGroupHeartbeatResponse()
		switch m.MemberEpoch {
		case -1:
			if c.members--; c.members <= 0 && c.rejoin > 0 {
				c.rejoin--
				c.members = 1
			}
		case 0:
			c.members++
			c.introduce++
			r.MemberEpoch = 1
		default:
			r.MemberEpoch = 2
			r.Assignment = &kmsg.ShareGroupHeartbeatResponseAssignment{TopicPartitions: []kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition{{TopicID: topicID, Partitions: []int32{0, 1, 2, 3}}}}
		}
		return r
	case *kmsg.DescribeConfigsRequest:
		r := kmsg.NewPtrDescribeConfigsResponse()
		x := kmsg.DescribeConfigsResponseResource{ResourceType: m.Resources[0].ResourceType, ResourceName: m.Resources[0].ResourceName}
		for name, value := range c.configs {
			x.Configs = append(x.Configs, kmsg.DescribeConfigsResponseResourceConfig{Name: name, Value: &value, Source: kmsg.ConfigSourceGroupConfig})
		}
		r.Resources = append(r.Resources, x)
		return r
	case *kmsg.IncrementalAlterConfigsRequest:
		for _, x := range m.Resources[0].Configs {
			if delete(c.configs, x.Name); x.Op == kmsg.IncrementalAlterConfigOpSet {
				c.configs[x.Name] = *x.Value
			}
		}
		return m.ResponseKind()
	}
	return m.ResponseKind()
}

// TestWhereAShareGroupIsIsCarried to the home of its topic before that is asked for records.
func TestWhereAShareGroupIsIsCarried(t *testing.T) {
	four := func(at ...int64) map[string]map[int32]int64 {
		return map[string]map[int32]int64{"orders": {0: at[0], 1: at[1], 2: at[2], 3: at[3]}}
	}
	stored := &catalog.Share{Home: "prod", Partitions: 4, Starts: []int64{40, 41, -1, 43}}
	for name, c := range map[string]struct {
		group  string // app-* has its home on dr
		prod   *shareCluster
		dr     *shareCluster
		stored *catalog.Share
		alters []int64 // virtual
		shown  int     // members that the gateway has shown dr
		fails  bool
	}{
		"from an old home that lives, whose offsets are its own": {"workers", &shareCluster{starts: four(50, 51, 52, 53), lag: 7}, &shareCluster{}, stored, []int64{50, 51, 52, 53}, 0, false},
		"from what an old home said last":                        {"workers", nil, &shareCluster{}, stored, []int64{40, 41, 43}, 1, false},
		"of a group that the gateway has never seen":             {"workers", &shareCluster{starts: four(50, 51, 52, 53), lag: 7}, &shareCluster{}, nil, []int64{50, 51, 52, 53}, 0, false},
		"of a new group, to a home that is not its own":          {"workers", &shareCluster{members: 1}, &shareCluster{}, nil, nil, 1, false},
		"of a group that there is not":                           {"workers", &shareCluster{}, &shareCluster{}, nil, nil, 0, true},
		"of a group that has nothing left":                       {"workers", &shareCluster{starts: four(50, 51, 52, 53)}, &shareCluster{}, stored, []int64{100, 100, 100, 100}, 0, false},
		"of a new group, to its home":                            {"app-1", &shareCluster{}, &shareCluster{}, nil, nil, 0, false},
		"to its home, where members are":                         {"app-1", &shareCluster{starts: four(50, 51, 52, 53), lag: 7}, &shareCluster{members: 3}, stored, []int64{50, 51, 52, 53}, 0, false},
		"to its home, where members come back":                   {"app-1", &shareCluster{starts: four(50, 51, 52, 53), lag: 7}, &shareCluster{members: 2, rejoin: 3}, stored, []int64{50, 51, 52, 53}, 0, false},
		"to its home, where members come back again and again":   {"app-1", &shareCluster{starts: four(50, 51, 52, 53), lag: 7}, &shareCluster{members: 1, rejoin: 1000}, stored, nil, 0, true},
		"to a coordinator that is not ready":                     {"workers", &shareCluster{starts: four(50, 51, 52, 53), lag: 7}, &shareCluster{unready: 2}, stored, []int64{50, 51, 52, 53}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, rulesYAML)
			clusters := map[string]*shareCluster{"prod": c.prod, "dr": c.dr}
			s.below.answer = func(cluster string, m kmsg.Request) kmsg.Response {
				if clusters[cluster] == nil {
					return nil
				}
				return clusters[cluster].answer(m, s.id("orders"))
			}
			key := catalog.ShareKey{Group: c.group, Topic: "orders"}
			if c.stored != nil {
				share := *c.stored
				share.Topic = s.id("orders")
				if err := s.env.Catalog.KeepShares(t.Context(), map[catalog.ShareKey]*catalog.Share{key: &share}); err != nil {
					t.Fatal(err)
				}
			}
			s.moves("orders", "dr", nil)
			req := plugintest.Request(t, kmsg.NewPtrShareFetchRequest(), "dr")
			topic := s.env.Catalog.Topic("orders")
			if got := s.r.shares.ready(t.Context(), req, c.group, topic, time.Minute); got == c.fails {
				t.Fatalf("ready: %t", got)
			}
			if !slices.Equal(c.dr.alters, c.alters) {
				t.Errorf("dr starts at %v, want %v", c.dr.alters, c.alters)
			}
			if c.dr.introduce != c.shown {
				t.Errorf("dr was shown %d members, want %d", c.dr.introduce, c.shown)
			}
			if c.fails {
				return
			}
			now, ok, err := s.env.Catalog.Share(key)
			if err != nil {
				t.Fatal(err)
			}
			if carried := len(c.alters) > 0 || c.shown > 0; ok != carried { // clients may make groups up
				t.Fatalf("stored: %t, want %t", ok, carried)
			}
			if ok && (now.Generation != 1 || now.Home != "dr") {
				t.Errorf("stored %+v", now)
			}
			asked := len(s.below.asked)
			if s.r.shares.ready(t.Context(), req, c.group, topic, time.Minute); len(s.below.asked) != asked {
				t.Errorf("asked again: %q", s.below.asked[asked:])
			}
		})
	}
}

// TestATopicThatWasAway and comes back before the group has consumed there is where it was.
func TestATopicThatWasAway(t *testing.T) {
	s := newStand(t, rulesYAML)
	key := catalog.ShareKey{Group: "workers", Topic: "orders"}
	if err := s.env.Catalog.KeepShares(t.Context(), map[catalog.ShareKey]*catalog.Share{key: {Topic: s.id("orders"), Home: "prod", Partitions: 4, Starts: []int64{1, 2, 3, 4}}}); err != nil {
		t.Fatal(err)
	}
	s.moves("orders", "dr", nil)
	s.moves("orders", "prod", nil)
	if !s.r.shares.ready(t.Context(), plugintest.Request(t, kmsg.NewPtrShareFetchRequest(), "prod"), "workers", s.env.Catalog.Topic("orders"), time.Minute) {
		t.Error("not ready")
	}
	if len(s.below.asked) != 0 {
		t.Errorf("asked %q", s.below.asked)
	}
}

// TestATopicGrowsAwayFromTheGroup: the topic's home is shown a member for the new partitions.
func TestATopicGrowsAwayFromTheGroup(t *testing.T) {
	s := newStand(t, rulesYAML)
	dr := &shareCluster{configs: map[string]string{}}
	prod := &shareCluster{members: 1}
	s.below.answer = func(cluster string, m kmsg.Request) kmsg.Response {
		return map[string]*shareCluster{"prod": prod, "dr": dr}[cluster].answer(m, s.id("logs-a"))
	}
	ready := func() bool {
		return s.r.shares.ready(t.Context(), plugintest.Request(t, kmsg.NewPtrShareFetchRequest(), "dr"), "workers", s.env.Catalog.Topic("logs-a"), time.Minute)
	}
	if ready(); !ready() || dr.introduce != 1 {
		t.Errorf("shown %d members, want 1", dr.introduce)
	}
	if err := s.env.Catalog.Update(t.Context(), "logs-a", func(n *catalog.Topic) error { n.Partitions = n.Partitions[:3]; return nil }); err != nil {
		t.Fatal(err)
	}
	if !ready() || dr.introduce != 1 {
		t.Errorf("with fewer partitions: shown %d members, want 1", dr.introduce)
	}
	if err := s.env.Catalog.KeepShares(t.Context(), map[catalog.ShareKey]*catalog.Share{{Group: "workers", Topic: "logs-a"}: {Topic: s.id("logs-a"), Home: "dr", Partitions: 2}}); err != nil {
		t.Fatal(err)
	}
	s.r.shares.known = map[catalog.ShareKey]knownShare{}
	if !ready() || dr.introduce != 2 {
		t.Errorf("grown: shown %d members, want 2", dr.introduce)
	}
}

// TestTheConfigurationOfAShareGroup is that of its home wherever its topics live.
func TestTheConfigurationOfAShareGroup(t *testing.T) {
	s := newStand(t, rulesYAML)
	prod := &shareCluster{configs: map[string]string{"share.isolation.level": "read_committed", "same": "1"}}
	dr := &shareCluster{configs: map[string]string{"old": "x", "same": "1"}}
	s.below.answer = func(cluster string, m kmsg.Request) kmsg.Response {
		return map[string]*shareCluster{"prod": prod, "dr": dr}[cluster].answer(m, [16]byte{})
	}
	if err := s.r.shares.configure(t.Context(), "workers", "dr"); err != nil {
		t.Fatal(err)
	}
	if want := prod.configs; fmt.Sprint(dr.configs) != fmt.Sprint(want) {
		t.Errorf("dr has %v, want %v", dr.configs, want)
	}
}

// TestTheMirrorKeepsWhatIsInForce: what a home says of a group that has not been carried there yet
// is of another time.
func TestTheMirrorKeepsWhatIsInForce(t *testing.T) {
	s := newStand(t, rulesYAML)
	key := catalog.ShareKey{Group: "workers", Topic: "orders"}
	keep := func(generation int32, starts ...int64) []int64 {
		t.Helper()
		if err := s.r.shares.keep(t.Context(), map[catalog.ShareKey]*catalog.Share{key: {Topic: s.id("orders"), Generation: generation, Home: "prod", Starts: starts}}); err != nil {
			t.Fatal(err)
		}
		now, _, err := s.env.Catalog.Share(key)
		if err != nil {
			t.Fatal(err)
		}
		return now.Starts
	}
	if got := keep(0, 5, 6); !slices.Equal(got, []int64{5, 6}) {
		t.Errorf("of a topic that has never moved: %v", got)
	}
	if got := keep(0, 7, 8); !slices.Equal(got, []int64{7, 8}) {
		t.Errorf("newer: %v", got)
	}
	s.moves("orders", "dr", nil)
	if got := keep(1, 0, 0); !slices.Equal(got, []int64{7, 8}) {
		t.Errorf("of a home where it has not been carried to: %v", got)
	}
	if got := keep(0, 9, 9); !slices.Equal(got, []int64{7, 8}) {
		t.Errorf("of a home that is none any more: %v", got)
	}
}
