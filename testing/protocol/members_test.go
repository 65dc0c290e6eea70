package protocol

import (
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// TestATopicThatIsMadeLaterReachesTheGroupsCluster: members of the new protocol (KIP-848) say once
// what they subscribe to, and the coordinator assigns what its cluster knows.
func TestATopicThatIsMadeLaterReachesTheGroupsCluster(t *testing.T) {
	for name, subscribe := range map[string]func(*kmsg.ConsumerGroupHeartbeatRequest){
		"by name": func(m *kmsg.ConsumerGroupHeartbeatRequest) { m.SubscribedTopicNames = []string{"later"} },
		"by an expression": func(m *kmsg.ConsumerGroupHeartbeatRequest) {
			expr := "lat.*"
			m.SubscribedTopicRegex = &expr
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, "orders")
			before := h.gw.Snapshot().Revision
			if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: prod}\n            later: {cluster: dr}\n          groups: {g: prod}"); err != nil {
				t.Fatal(err)
			}
			h.wait("the reload", func() bool { return h.gw.Snapshot().Revision != before })
			there, away := kadm.NewClient(h.client("ignored:1", kgo.SeedBrokers(h.prod.Bootstrap()...))), kadm.NewClient(h.client("", kgo.SeedBrokers(h.dr.Bootstrap()...)))
			node := h.client(h.gw.Bootstrap).SeedBrokers()[0] // one connection
			beat := func(first bool) {
				m := kmsg.NewPtrConsumerGroupHeartbeatRequest()
				m.Group, m.MemberID, m.MemberEpoch, m.RebalanceTimeoutMillis = "g", "member", 1, 45_000
				if first {
					m.MemberEpoch, m.Topics = 0, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
					subscribe(m)
				}
				_, _ = node.Request(h.ctx, m) // whatever the coordinator says
			}
			beat(true)
			if _, err := away.CreateTopic(h.ctx, 2, 1, nil, "later"); err != nil {
				t.Fatal(err)
			}
			ask := kmsg.NewPtrMetadataRequest()
			h.wait("the gateway to know the topic", func() bool {
				_, _ = node.Request(h.ctx, ask)
				return h.gw.Topic(tenant, "later") != nil
			})
			var tries atomic.Int32
			refuse := atomic.Bool{}
			refuse.Store(true)
			h.prod.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
				h.prod.KeepControl()
				if !refuse.Load() {
					return nil, nil, false
				}
				tries.Add(1)
				resp, err := refusal(req, 44)
				return resp, err, true
			})
			for range 20 {
				beat(false)
			}
			if n := tries.Load(); n != 1 {
				t.Errorf("a cluster that refuses the topic was asked %d times", n)
			}
			refuse.Store(false)
			beat(true) // it says so again
			h.wait("the topic on the group's cluster", func() bool {
				beat(false)
				topics, err := there.ListTopics(h.ctx, "later")
				return err == nil && topics.Has("later") && len(topics["later"].Partitions) == 2
			})
		})
	}
}

// TestAMemberWithoutPartitionsHoldsUpNobody: while members of the new protocol come to another
// home, each is waited for until it has given up what it has, and may ask for its positions until
// then. One that has nothing says so once, when it joins, and never again.
func TestAMemberWithoutPartitionsHoldsUpNobody(t *testing.T) {
	h := build(t, "orders")
	h.edit("default: prod", "default: prod\n          groups: {app: prod}")
	h.write(h.client(h.gw.Bootstrap), "orders", "x", 3)
	h.commit("orders", "app", 0)
	var asked []*kmsg.ConsumerGroupHeartbeatRequest // the last of each member
	var nodes []*kgo.Broker
	beat := func(i int, change func(*kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatResponse {
		t.Helper()
		m := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		m.Group, m.RebalanceTimeoutMillis, m.MemberID, m.MemberEpoch = "app", -1, asked[i].MemberID, asked[i].MemberEpoch
		change(m)
		resp, err := nodes[i].Request(h.ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		a := resp.(*kmsg.ConsumerGroupHeartbeatResponse)
		if a.ErrorCode == 0 {
			m.MemberEpoch = a.MemberEpoch
		}
		asked[i] = m
		return a
	}
	nothing := func(*kmsg.ConsumerGroupHeartbeatRequest) {}
	gaveUp := func(m *kmsg.ConsumerGroupHeartbeatRequest) { m.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{} }
	for i, id := range []string{"AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBB"} {
		first := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		first.MemberID = id
		asked, nodes = append(asked, first), append(nodes, h.client(h.gw.Bootstrap, kgo.ClientID(id)).SeedBrokers()[0])
		a := beat(i, func(m *kmsg.ConsumerGroupHeartbeatRequest) {
			gaveUp(m)
			m.MemberEpoch, m.RebalanceTimeoutMillis, m.SubscribedTopicNames = 0, 45_000, []string{"orders"}
		})
		if has := a.Assignment != nil && len(a.Assignment.Topics) > 0; a.ErrorCode != 0 || has != (i == 0) {
			t.Fatalf("%s: %+v", id, a)
		}
		if i == 0 {
			beat(0, func(m *kmsg.ConsumerGroupHeartbeatRequest) {
				for _, x := range a.Assignment.Topics {
					m.Topics = append(m.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: x.TopicID, Partitions: x.Partitions})
				}
			})
		}
	}
	h.edit("groups: {app: prod}", "groups: {app: dr}")
	h.wait("the move", func() bool { return h.groupMove("app").Phase == failover.Done })
	for i := range nodes {
		if a := beat(i, nothing); a.ErrorCode != 0 || a.Assignment == nil || len(a.Assignment.Topics) > 0 {
			t.Errorf("member %d is not to give up what it has: %+v", i, a)
		}
	}
	ask := kmsg.NewPtrOffsetFetchRequest()
	of := kmsg.NewOffsetFetchRequestGroup()
	of.Group, of.MemberID, of.MemberEpoch = "app", &asked[0].MemberID, asked[0].MemberEpoch
	ask.Groups = append(ask.Groups, of)
	h.dr.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if of := req.(*kmsg.OffsetFetchRequest).Groups[0]; of.MemberID != nil || of.MemberEpoch != -1 {
			t.Errorf("the new home is asked for positions by a member that it does not know: %+v", of)
		}
		return nil, nil, false
	})
	got, err := nodes[0].Request(h.ctx, ask)
	if err != nil {
		t.Fatal(err)
	}
	if of := got.(*kmsg.OffsetFetchResponse).Groups[0]; of.ErrorCode != 0 || len(of.Topics) != 1 {
		t.Errorf("a member that asks for its positions before it comes to the new home gets %+v", of)
	}
	if a := beat(0, gaveUp); kafka.Code(a.ErrorCode) != kafka.UnknownMemberID {
		t.Errorf("all have given up what they had, and the first one still waits: %+v", a)
	}
	if a := beat(1, nothing); kafka.Code(a.ErrorCode) != kafka.UnknownMemberID {
		t.Errorf("all have given up what they had, and the second one still waits: %+v", a)
	}
}
