package protocol

import (
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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
			if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: prod}\n            later: {cluster: dr}"); err != nil {
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
