package upstream

import (
	"github.com/sluice-gateway/sluice/core/kafka"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/wire"
	"github.com/sluice-gateway/sluice/testing/fact"
)

func brokerIDs(topo *plugin.Topology) (ids []int32) {
	for _, b := range topo.Brokers {
		ids = append(ids, b.ID)
	}
	return ids
}

// TestLearnMerges what passes by into what is known; views that were handed out don't change.
func TestLearnMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1)
		f.topics["orders"], f.topics["gone"], f.topics["recreated"] = []int32{0, 1}, []int32{0}, []int32{0}
		c := f.known()
		before := c.Topology()
		m := kmsg.NewPtrMetadataResponse()
		m.Version = 12
		m.ClusterID, m.ControllerID = kmsg.StringPtr("hidden-cluster"), 1
		m.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "moved", Port: 5}, {NodeID: 2, Host: "new", Port: 6}}
		topic := func(name string, id [16]byte, code int16, leaders ...int32) {
			rt := kmsg.MetadataResponseTopic{Topic: kmsg.StringPtr(name), TopicID: id, ErrorCode: code}
			for i, l := range slices.Backward(leaders) { // brokers list partitions in any order
				rt.Partitions = append(rt.Partitions, kmsg.MetadataResponseTopicPartition{Partition: int32(i), Leader: l, LeaderEpoch: 6})
			}
			m.Topics = append(m.Topics, rt)
		}
		topic("gone", [16]byte{}, 3)
		topic("recreated", [16]byte{9}, 0, 1)
		topic("orders", [16]byte{}, 5) // an error without partitions says nothing of them
		topic("new", [16]byte{8}, 0, 2, 1, 0)
		topic("without id", [16]byte{}, 0, 1)
		m.Topics[4].Partitions[0].Partition = 1
		m.Topics = append(m.Topics, kmsg.MetadataResponseTopic{TopicID: [16]byte{7}, ErrorCode: 100})
		c.Learn(m)

		topo := c.Topology()
		equal(t, slices.Sorted(maps.Keys(topo.Topics)), []string{"new", "orders", "recreated", "without id"})
		equal(t, []any{brokerIDs(topo), topo.Brokers[0].Host, topo.Brokers[1].Host, topo.Controller}, []any{[]int32{0, 1, 2}, "hidden-0", "moved", 1})
		for id, want := range map[[16]byte]string{topicID("orders"): "orders", {9}: "recreated", {8}: "new", topicID("gone"): "", topicID("recreated"): "", {}: ""} {
			if got := topo.IDs[id]; (got == nil) != (want == "") || got != nil && got != topo.Topics[want] {
				t.Errorf("the id of %q is %v", want, got)
			}
		}
		for p, want := range []int32{2, 1, 0, -1} {
			if node, _ := topo.Leader("new", int32(p)); node != want {
				t.Errorf("partition %d is led by %d, want %d", p, node, want)
			}
		}
		if node, epoch := topo.Leader("without id", 0); node != -1 || epoch != -1 {
			t.Errorf("a partition that is not listed is led by %d", node)
		}
		if node, epoch := topo.Leader("orders", 1); node != 1 || epoch != 5 {
			t.Errorf("orders is led by %d in epoch %d", node, epoch)
		}
		if before.IDs[topicID("gone")] == nil || before.IDs[[16]byte{8}] != nil {
			t.Error("a view that was handed out has changed")
		}
		equal(t, []any{len(before.Topics), len(before.IDs), brokerIDs(before), before.Brokers[1].Host}, []any{3, 3, []int32{0, 1}, "hidden-1"})
	})
}

// TestRefresh: nodes that are down stay known, or clients would lose their addresses; deleted
// topics go.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 2, 0, 1)
		f.topics["orders"], f.topics["gone"] = []int32{0}, []int32{1}
		c := f.known()
		f.list(func() {
			f.unlisted[0] = true
			delete(f.topics, "gone")
			f.topics["new"] = []int32{1}
		})
		topo, err := c.Refresh(t.Context())
		if err != nil || topo != c.Topology() {
			t.Fatal(err)
		}
		equal(t, []any{brokerIDs(topo), topo.ClusterID}, []any{[]int32{0, 1, 2}, "hidden-cluster"})
		equal(t, slices.Sorted(maps.Keys(topo.Topics)), []string{"new", "orders"})
		if topo.IDs[topicID("gone")] != nil || topo.IDs[topicID("new")] != topo.Topics["new"] {
			t.Error(topo.IDs)
		}
	})
}

func TestConcurrentRefreshesShareARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		c := f.known()
		before := f.broker(0).asked
		release := make(chan struct{})
		f.broker(0).set(func(b *broker) {
			b.on = func(*arrived) bool { <-release; return false }
		})
		var asking sync.WaitGroup
		views := make([]*plugin.Topology, 10)
		for i := range views {
			asking.Go(func() { views[i], _ = c.Refresh(t.Context()) })
		}
		synctest.Wait()
		close(release)
		asking.Wait()
		distinct := map[*plugin.Topology]bool{}
		for _, v := range views {
			if distinct[v] = true; v == nil || len(distinct) > 2 {
				t.Error("another view")
			}
		}
		if n := f.broker(0).asked - before; n != len(distinct) {
			t.Errorf("asked %d times", n)
		}
		if topo, err := c.Refresh(t.Context()); err != nil || topo == views[0] {
			t.Error("a later refresh is not asked")
		}
	})
}

// TestADeadClusterIsRemembered: a gateway that starts while no broker answers has the nodes and
// versions seen last.
func TestADeadClusterIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0, 1)
		f.produce = 7
		alive := f.known()
		f.all(func(b *broker) { b.down = true })
		c := f.open(0)
		topo := c.Topology()
		equal(t, []any{brokerIDs(topo), topo.ClusterID, topo.Controller, topo.Brokers[1].Host, *topo.Brokers[1].Rack}, []any{[]int32{0, 1}, "hidden-cluster", 0, "hidden-1", "rack"})
		equal(t, topo.Versions.ApiKeys, alive.Topology().Versions.ApiKeys)
		equal(t, []int16{c.version(kmsg.Produce, 13), c.version(kmsg.Produce, 5), c.version(kmsg.Fetch, 99)}, []int16{7, 5, 18})
		equal(t, c.addresses(plugin.AnyNode), []string{address(0), address(1)})
		c.check(t.Context())
		if c.Reachable() || !c.LastAnswer().IsZero() || len(c.Topology().Brokers) != 2 {
			t.Error("a check that nobody answered changed what is known")
		}
	})
}

// TestASlotIsKept: with another one clients would take its nodes for those of another cluster.
func TestASlotIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		f.known()
		c, err := NewCluster(f.section("prod", 3), f.store.catalog(t), quiet(), &wire.Buffers{}, 1<<20, nil)
		if err == nil {
			_ = c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "slot: 0") {
			t.Error(err)
		}
	})
}

// TestWhatIsNotInForceStoresNothing, and what it has learned then is stored when it is.
func TestWhatIsNotInForceStoresNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		cat := f.store.catalog(t)
		c := Unwatched(f.section("prod", 0), cat, &wire.Buffers{})
		c.limit, c.log, c.dial = 1<<20, quiet(), f.dial
		defer func() { _ = c.Close() }()
		if _, err := c.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, ok, err := Known(cat, "prod"); ok || err != nil {
			t.Errorf("stored: %t, %v", ok, err)
		}
		c.InForce(t.Context())
		{
			slot, id, ok, err := Known(cat, "prod")
			about := fact.Of(t, "stored: slot %d, id %q, %t, %v", slot, id, ok, err)
			if fact.True(about, "ok", ok) && fact.NoError(about, err) {
				fact.Equal(about, "slot", slot, 0)
				fact.Other(about, "id", id, "")
			}
		}
	})
}

func TestAClusterThatWasNeverSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		f.all(func(b *broker) { b.down = true })
		c := f.open(0)
		equal(t, []any{len(c.Topology().Brokers), c.Topology().Controller, c.Topology().Versions == nil}, []any{0, -1, true})
		equal(t, c.addresses(plugin.AnyNode), []string{address(0)})
		equal(t, []int16{c.version(kmsg.Fetch, 99), c.version(kmsg.Fetch, 4)}, []int16{18, 4})
		equal(t, len(end(c).nodes.All()), 1)
		// A broker that says no more than that it does not want to is no cluster either.
		f.all(func(b *broker) {
			b.down = false
			b.on = func(a *arrived) bool {
				refusal := kmsg.NewPtrApiVersionsResponse()
				refusal.ErrorCode = 35
				a.answer(refusal)
				return true
			}
		})
		time.Sleep(time.Second)
		if c.check(t.Context()); c.Reachable() || c.Topology().Versions != nil {
			t.Error("reachable")
		}
	})
}

// TestAClusterThatAnswersIsAsked: one broken link is no reason to answer from what is known.
func TestAClusterThatAnswersIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.list(func() { f.topics["orders"] = []int32{1, 0} })
		f.broker(0).on = times(1, kmsg.Metadata, (*arrived).cut)
		m := newest(kmsg.Metadata).(*kmsg.MetadataRequest)
		m.Topics = nil
		resp, err := e.Handle(t.Context(), request(session(t, 0), m))
		if err != nil {
			t.Fatal(err)
		}
		msg, _ := resp.Body.Peek()
		equal(t, msg.(*kmsg.MetadataResponse).Topics[0].Partitions[0].Leader, 1<<20+1)
	})
}

// TestLastKnownMetadata: the clients of a cluster that does not answer keep the view they had, in
// every version.
func TestLastKnownMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		c := e.clusters[0]
		c.Topology().Topics["orders"].Partitions[1].Leader = -1
		f.all(func(b *broker) { b.down = true })
		c.setReachable(false, nil)
		for v := range kmsg.NewPtrMetadataRequest().MaxVersion() + 1 {
			ask := func(topics ...kmsg.MetadataRequestTopic) *kmsg.MetadataResponse {
				m := kmsg.NewPtrMetadataRequest()
				m.Version, m.Topics = v, append([]kmsg.MetadataRequestTopic{}, topics...) // not null, which asks for all
				resp, err := e.Handle(t.Context(), request(session(t, 0), m))
				if err != nil {
					t.Fatalf("version %d: %v", v, err)
				}
				msg, _ := resp.Body.Edit()
				return msg.(*kmsg.MetadataResponse)
			}
			got := ask(kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("orders")}, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("unknown")})
			equal(t, []any{got.ControllerID, *got.ClusterID, len(got.Brokers), got.Brokers[1].NodeID}, []any{1 << 20, VirtualClusterID("vc"), 2, 1<<20 + 1})
			o, u := got.Topics[0], got.Topics[1]
			equal(t, []any{*o.Topic, o.TopicID, o.ErrorCode, o.Partitions[0].Leader, o.Partitions[0].LeaderEpoch, o.Partitions[1].Leader}, []any{"orders", topicID("orders"), 0, 1 << 20, 5, -1})
			equal(t, []any{*u.Topic, u.ErrorCode, len(u.Partitions)}, []any{"unknown", kafka.LeaderNotAvailable, 0})
			if n := len(ask().Topics); (n > 0) != (v == 0) {
				t.Errorf("version %d: %d topics for an empty list, which stands for all in version 0 alone", v, n)
			}
			if v >= 10 {
				equal(t, *ask(kmsg.MetadataRequestTopic{TopicID: topicID("orders")}).Topics[0].Topic, "orders")
			}
		}
		m := newest(kmsg.Metadata).(*kmsg.MetadataRequest)
		m.Topics = nil
		resp, err := e.Handle(t.Context(), request(session(t, plugin.AnyNode), m))
		if err != nil {
			t.Fatal(err)
		}
		msg, _ := resp.Body.Peek()
		equal(t, len(msg.(*kmsg.MetadataResponse).Topics), 1)
	})
}
