package protocol

import (
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestShareGroups: through the gateway, members of share groups see what they see of a broker,
// wherever the topic and the group live.
func TestShareGroups(t *testing.T) {
	h := build(t, "direct-topic")
	if err := h.gw.Edit("          topics:\n", "          topics:\n            \"away-*\": {cluster: dr}\n"); err != nil {
		t.Fatal(err)
	}
	for story, tell := range clients.ShareStories {
		for where, bootstrap := range map[string]string{"direct": h.prod.Bootstrap()[0], "here": h.gw.Bootstrap, "away": h.gw.Bootstrap} {
			name := where + "-" + strings.ReplaceAll(story, " ", "-")
			t.Run(where+"/"+story, func(t *testing.T) {
				s := clients.Share{Bootstrap: bootstrap, Topic: name, Group: "group-" + name, Partitions: 3}
				if err := tell(s, h.ctx); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// queue is a share group through the gateway, whose members take what there is until the test ends.
type queue struct {
	*house
	*clients.Queue
}

func (h *house) queue(topic, group string, members int) *queue {
	h.t.Helper()
	s := clients.Share{Bootstrap: h.gw.Bootstrap, Topic: topic, Group: group, Partitions: 3}
	if err := s.FromTheStart(h.ctx); err != nil {
		h.t.Fatal(err)
	}
	q, err := s.Consume(h.ctx, members)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(q.Close)
	return &queue{h, q}
}

// write writes n records.
func (q *queue) write(label string, n int) []string {
	q.t.Helper()
	values, err := q.Produce(q.ctx, label, n)
	if err != nil {
		q.t.Fatal(err)
	}
	return values
}

// taken waits until all values have been delivered, and returns how often they were again.
func (q *queue) taken(what string, values []string) (again int) {
	q.t.Helper()
	q.wait(what, func() bool { return q.Missing(values) == 0 })
	return q.Again(values)
}

// settled waits until the group starts behind everything that was acknowledged.
func (q *queue) settled(end map[int32]int64) {
	q.t.Helper()
	adm := kadm.NewClient(q.client(q.gw.Bootstrap))
	var last any
	if !eventually.True(func() bool {
		all, err := adm.DescribeShareGroupOffsets(q.ctx, q.Group)
		last = all
		if err != nil {
			return false
		}
		for p, at := range end {
			if o, ok := all[q.Group].Offsets.Lookup(q.Topic, p); !ok || o.StartOffset != at {
				return false
			}
		}
		return true
	}) {
		q.t.Fatalf("the group starts at %+v, want %v", last, end)
	}
}

// TestShareGroupsFollowTheirTopic to another cluster, whose offsets differ, and back, while members
// consume: nothing is lost, and what was acknowledged before the move does not come again.
func TestShareGroupsFollowTheirTopic(t *testing.T) {
	h := build(t, "orders")
	direct := h.client(h.dr.Bootstrap()[0])
	h.produce(direct, "orders", "older", 25) // something the copy had before
	if _, err := h.admin(h.dr).DeleteRecords(h.ctx, offsets("orders", 25)); err != nil {
		t.Fatal(err)
	}
	q := h.queue("orders", "workers", 2)
	c := h.copier(kafkatest.Faults{}, "orders")
	before := q.write("before", 60)
	q.taken("what was written before", before)
	q.settled(map[int32]int64{0: 20, 1: 20, 2: 20})
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	during := q.write("during", 60)
	h.moved(1)
	after := q.write("after", 60)
	q.taken("what was written during the move", during)
	q.taken("what was written after it", after)
	q.settled(map[int32]int64{0: 60, 1: 60, 2: 60})
	if again := q.taken("what was written before", before); again != 0 {
		t.Errorf("%d records that were acknowledged before the move came again", again)
	}

	cut := c.Position()
	c.Stop()
	back, err := kafkatest.StartCopier(h.ctx, kafkatest.CopierConfig{From: h.dr.Bootstrap(), To: h.prod.Bootstrap(), Topics: []string{"orders"}, Start: cut})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(back.Stop)
	if err := h.gw.Edit("orders: {cluster: dr}", "orders: {cluster: prod}"); err != nil {
		t.Fatal(err)
	}
	h.moved(2)
	home := q.write("home", 60)
	q.taken("what was written at home again", home)
	q.settled(map[int32]int64{0: 80, 1: 80, 2: 80})
	if again := q.taken("what was written before", append(before, during...)); again != 0 {
		t.Logf("%d records came again", again)
	}
}

// TestShareGroupsOverACopyThatHasDrifted: what a replicator wrote twice is given to members by the
// new home like anything else. They don't see it, and it does not hold up the group.
func TestShareGroupsOverACopyThatHasDrifted(t *testing.T) {
	h := build(t, "orders")
	first := clients.Share{Bootstrap: h.gw.Bootstrap, Topic: "orders", Partitions: 3}
	all, err := first.Produce(h.ctx, "before", 60)
	if err != nil {
		t.Fatal(err)
	}
	h.copier(kafkatest.Faults{Duplicate: 4}, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	q := h.queue("orders", "workers", 2)
	all = append(all, q.write("after", 60)...)
	if again := q.taken("everything", all); again != 0 {
		t.Errorf("%d records were delivered twice", again)
	}
	q.settled(map[int32]int64{0: 40, 1: 40, 2: 40})
	ends, err := kafkatest.Ends(h.ctx, h.dr.Bootstrap(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	there, err := h.admin(h.dr).DescribeShareGroupOffsets(h.ctx, "workers")
	if err != nil {
		t.Fatal(err)
	}
	for p, end := range ends["orders"] {
		if o, _ := there["workers"].Offsets.Lookup("orders", p); o.StartOffset != end || end <= 40 {
			t.Errorf("partition %d of the copy starts at %d, want its end, %d, behind what was written twice", p, o.StartOffset, end)
		}
	}
}

// TestShareGroupsGoOnWithoutTheOldHome from where it last said that they were, also if the gateway
// has been started anew since.
func TestShareGroupsGoOnWithoutTheOldHome(t *testing.T) {
	h := build(t, "orders")
	if err := h.gw.Edit("          topics:\n", "          groups: {\"*\": dr}\n          topics:\n"); err != nil {
		t.Fatal(err)
	}
	h.wait("the rule", func() bool { _, body := h.call("GET", "/config", ""); return strings.Contains(body, "groups") })
	q := h.queue("orders", "workers", 2)
	c := h.copier(kafkatest.Faults{}, "orders")
	before := q.write("before", 60)
	q.taken("what was written before", before)
	if err := c.CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	q.settled(map[int32]int64{0: 20, 1: 20, 2: 20})
	var asked atomic.Int32
	h.prod.ControlKey(int16(kmsg.DescribeShareGroupOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		asked.Add(1)
		return nil, nil, false
	})
	h.wait("what its home says to be stored", func() bool { return asked.Load() > 1 }) // it is when it is asked again
	h.wait("distances", func() bool {
		for _, p := range h.gw.Topic(tenant, "orders").Partitions {
			if _, known := p.Delta("dr"); !known {
				return false
			}
		}
		return true
	})
	q.Close()
	for _, n := range h.prod.Nodes() {
		if err := h.prod.Kill(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.gw.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Restart(h.ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr, unplanned: always}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	next, err := q.Consume(h.ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(next.Close)
	q.Queue = next
	after := q.write("after", 60)
	q.taken("what was written after the move", after)
	if again := len(before) - q.Missing(before); again != 0 {
		t.Errorf("%d records that were acknowledged came again", again)
	}
}

// TestShareGroupsBehindAPrefix are those of one virtual cluster.
func TestShareGroupsBehindAPrefix(t *testing.T) {
	h := build(t)
	if err := h.gw.Edit("topics: {hide", "topics: {prefix: team., hide"); err != nil {
		t.Fatal(err)
	}
	h.wait("the prefix", func() bool { _, body := h.call("GET", "/config", ""); return strings.Contains(body, "team.") })
	for story, tell := range clients.ShareStories {
		t.Run(story, func(t *testing.T) {
			name := strings.ReplaceAll(story, " ", "-")
			if err := tell(clients.Share{Bootstrap: h.gw.Bootstrap, Topic: name, Group: name, Partitions: 3}, h.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	groups, err := h.admin(h.prod).ListGroups(h.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups.Groups() {
		if !strings.HasPrefix(g, "team.") {
			t.Errorf("the cluster has a group %q", g)
		}
	}
}

// TestOffsetsOfShareGroups are asked from, and changed at, the homes of the topics, while the home
// of the group says whether they may be; nothing is left of a group that is deleted.
func TestOffsetsOfShareGroups(t *testing.T) {
	h := build(t, "here")
	if err := h.gw.Edit("          topics:\n", "          topics:\n            away: {cluster: dr}\n"); err != nil {
		t.Fatal(err)
	}
	h.wait("the rule", func() bool { _, body := h.call("GET", "/config", ""); return strings.Contains(body, "away") })
	adm := kadm.NewClient(h.client(h.gw.Bootstrap))
	if r, err := adm.CreateTopic(h.ctx, 3, -1, nil, "away"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	all := map[string]*queue{}
	for _, topic := range []string{"here", "away"} {
		all[topic] = h.queue(topic, "workers", 1)
		q := all[topic]
		q.taken(topic, q.write(topic, 30))
		q.settled(map[int32]int64{0: 10, 1: 10, 2: 10})
	}
	to := kadm.Offsets{}
	for topic := range all {
		to.AddOffset(topic, 0, 4, -1)
	}
	starts := func(what string, want map[string]int64) {
		t.Helper()
		got := map[string]int64{}
		all, err := adm.DescribeShareGroupOffsets(h.ctx, "workers")
		if err != nil {
			t.Fatal(err)
		}
		for topic, p := range all["workers"].Offsets {
			got[topic] = p[0].StartOffset
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: partitions 0 start at %v, want %v", what, got, want)
		}
	}
	alter := func() error {
		_, err := adm.AlterShareGroupOffsets(h.ctx, "workers", to)
		return err
	}
	if err := alter(); !errors.Is(err, kerr.NonEmptyGroup) {
		t.Errorf("with members: %v", err)
	}
	starts("with members", map[string]int64{"here": 10, "away": 10})
	for _, q := range all {
		q.Close()
	}
	h.wait("the members to have left", func() bool { return alter() == nil })
	starts("altered", map[string]int64{"here": 4, "away": 4})
	for topic, q := range all {
		next, err := q.Consume(h.ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		h.wait("what is delivered again of "+topic, func() bool { return next.Missing([]string{topic + "-12", topic + "-27"}) == 0 })
		if n := next.Missing([]string{topic + "-9"}); n != 1 {
			t.Errorf("%s-9, in front of the new start, is delivered", topic)
		}
		next.Close()
	}
	h.wait("the deletion of offsets", func() bool {
		r, err := adm.DeleteShareGroupOffsets(h.ctx, "workers", "away")
		return err == nil && r.Error() == nil
	})
	starts("without one", map[string]int64{"here": 10})
	if r, err := adm.DeleteGroup(h.ctx, "workers"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	for _, c := range []*kafkatest.FakeCluster{h.prod, h.dr} {
		left, err := h.admin(c).ListGroups(h.ctx)
		if err != nil || len(left) > 0 {
			t.Errorf("%s has groups %v %v", c.Name(), left.Groups(), err)
		}
	}
}
