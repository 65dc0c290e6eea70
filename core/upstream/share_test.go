package upstream

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// TestShareConsumersSeeVirtualNodes: leaders are named where a partition has another one, and
// nowhere else, whatever brokers write there.
func TestShareConsumersSeeVirtualNodes(t *testing.T) {
	e, _ := hiding()
	want := e.nodes.Virtual("prod", nodeB)
	codes := []kafka.Code{kafka.NotLeaderOrFollower, kafka.FencedLeaderEpoch, kafka.None, kafka.UnknownTopicID}
	leaders := []int32{virtualB, virtualB, -1, -1}
	versions(t, kmsg.ShareFetch, func(t *testing.T, version int16, edited bool) {
		m := kmsg.NewPtrShareFetchResponse()
		m.Version = version
		m.NodeEndpoints = []kmsg.ShareFetchResponseNodeEndpoint{{NodeID: nodeB, Host: "hidden", Port: hiddenPort}}
		topic := kmsg.ShareFetchResponseTopic{}
		for i, code := range codes {
			p := kmsg.NewShareFetchResponseTopicPartition()
			p.Partition, p.ErrorCode, p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = int32(i), int16(code), nodeB, 5
			topic.Partitions = append(topic.Partitions, p)
		}
		m.Topics = append(m.Topics, topic)
		got := shown[*kmsg.ShareFetchResponse](t, m, edited)
		for i, p := range got.Topics[0].Partitions {
			equal(t, p.CurrentLeader.LeaderID, leaders[i])
		}
		n := got.NodeEndpoints[0]
		equal(t, []any{n.NodeID, n.Host, n.Port}, []any{virtualB, want.Host, want.Port})
	})
	versions(t, kmsg.ShareAcknowledge, func(t *testing.T, version int16, edited bool) {
		m := kmsg.NewPtrShareAcknowledgeResponse()
		m.Version = version
		m.NodeEndpoints = []kmsg.ShareAcknowledgeResponseNodeEndpoint{{NodeID: nodeB, Host: "hidden", Port: hiddenPort}}
		topic := kmsg.ShareAcknowledgeResponseTopic{}
		for i, code := range codes {
			p := kmsg.NewShareAcknowledgeResponseTopicPartition()
			p.Partition, p.ErrorCode, p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = int32(i), int16(code), nodeB, 5
			topic.Partitions = append(topic.Partitions, p)
		}
		m.Topics = append(m.Topics, topic)
		got := shown[*kmsg.ShareAcknowledgeResponse](t, m, edited)
		for i, p := range got.Topics[0].Partitions {
			equal(t, p.CurrentLeader.LeaderID, leaders[i])
		}
		n := got.NodeEndpoints[0]
		equal(t, []any{n.NodeID, n.Host, n.Port}, []any{virtualB, want.Host, want.Port})
	})
}

// TestAShareFetchMayWaitForLong: its broker is no dead one meanwhile.
func TestAShareFetchMayWaitForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newest(kmsg.ShareFetch).(*kmsg.ShareFetchRequest)
		m.MaxWaitMillis = 300_000
		if got := time.Until(deadline(request(session(t, 0), m), time.Now())); got != 315*time.Second {
			t.Errorf("its answer is overdue after %s", got)
		}
	})
}

// TestAShareFetchIsNotSentTwice: a broker that has had it has moved its session on.
func TestAShareFetchIsNotSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) { b.on = f.cut(kmsg.ShareFetch) })
		m := newest(kmsg.ShareFetch).(*kmsg.ShareFetchRequest)
		m.MaxWaitMillis = 60_000
		if _, err := e.Handle(t.Context(), request(session(t, 0), m)); !errors.Is(err, plugin.ErrUnreachable) {
			t.Errorf("answered %v", err)
		}
		if n := f.arrivals(kmsg.ShareFetch); n != 1 {
			t.Errorf("arrived %d times", n)
		}
	})
}

// TestHangingUp ends the links of one session to one cluster, and what it asks next has a new one.
func TestHangingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		one, other := session(t, 0), session(t, 0)
		ask := func(s *plugin.Session) {
			t.Helper()
			if _, err := e.Handle(t.Context(), request(s, newest(kmsg.ListGroups))); err != nil {
				t.Fatal(err)
			}
		}
		c := e.clusters[0]
		c.HangUp(one) // which has none yet
		ask(one)
		ask(other)
		before := c.Links()
		c.HangUp(one)
		synctest.Wait()
		if got := before - c.Links(); got != 1 {
			t.Errorf("%d links have ended, want 1", got)
		}
		ask(one)
		if got := f.arrivals(kmsg.ListGroups); got != 3 {
			t.Errorf("%d requests have arrived, want 3", got)
		}
	})
}
