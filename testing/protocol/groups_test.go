package protocol

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// groupMember is one of a consumer group, which commits after every poll.
type groupMember struct {
	h      *house
	client *kgo.Client
	stop   context.CancelFunc
	done   chan struct{}
}

// seen counts what the members of a group have got, by value.
type seen struct {
	mu  sync.Mutex
	all map[string]int
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// twice are the values that were delivered more than once.
func (s *seen) twice() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v, n := range s.all {
		if n > 1 {
			out = append(out, fmt.Sprint(v, " x", n))
		}
	}
	return out
}

// join starts a member.
func (h *house) join(s *seen, group, id string, topics ...string) *groupMember {
	h.t.Helper()
	m := &groupMember{h: h, done: make(chan struct{})}
	m.client = h.client(h.gw.Bootstrap, kgo.ClientID(id), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(500*time.Millisecond), kgo.BlockRebalanceOnPoll())
	ctx, stop := context.WithCancel(h.ctx)
	m.stop = stop
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			f := m.client.PollFetches(ctx)
			s.mu.Lock()
			f.EachRecord(func(r *kgo.Record) { s.all[string(r.Value)]++ })
			s.mu.Unlock()
			if f.NumRecords() > 0 {
				// Also of one that leaves: else the next one gets the records again.
				if err := m.client.CommitUncommittedOffsets(context.WithoutCancel(ctx)); err != nil && ctx.Err() == nil {
					h.t.Logf("%s: commit: %v", id, err)
				}
			}
			m.client.AllowRebalance()
		}
	}()
	return m
}

func (m *groupMember) leave() {
	m.stop()
	<-m.done
	m.client.Close()
}

// write writes n records to the partitions of a topic in turns.
func (h *house) write(c *kgo.Client, topic, label string, n int) {
	h.t.Helper()
	for i := range n {
		r := &kgo.Record{Topic: topic, Partition: int32(i % 3), Value: fmt.Appendf(nil, "%s-%d", label, i)}
		if err := c.ProduceSync(h.ctx, r).FirstErr(); err != nil {
			h.t.Fatalf("%s-%d: %v", label, i, err)
		}
	}
}

// group is the last move of a group.
func (h *house) groupMove(name string) (last failover.Report) {
	for _, m := range h.gw.Moves() {
		if m.Kind == failover.Group && m.Topic == name {
			last = m
		}
	}
	return last
}

// TestAGroupFollowsItsTopics: an edit that moves all topics of a group moves the group, and nothing
// is delivered twice or not at all.
func TestAGroupFollowsItsTopics(t *testing.T) {
	h := build(t, "orders", "refunds")
	h.copier(kafkatest.Faults{}, "orders", "refunds")
	c := h.client(h.gw.Bootstrap)
	s := &seen{all: map[string]int{}}
	members := []*groupMember{h.join(s, "app", "one", "orders", "refunds"), h.join(s, "app", "two", "orders", "refunds")}
	h.write(c, "orders", "before", 30)
	h.write(c, "refunds", "back", 30)
	h.wait("the first records", func() bool { return s.count() == 60 })
	if err := h.gw.EditAll(func(text string) string { return strings.ReplaceAll(text, "{cluster: prod}", "{cluster: dr}") }); err != nil {
		t.Fatal(err)
	}
	h.wait("the group", func() bool { return h.groupMove("app").Phase == failover.Done })
	h.write(c, "orders", "after", 30)
	h.wait("the last records", func() bool { return s.count() == 90 })
	if twice := s.twice(); len(twice) > 0 {
		t.Errorf("delivered twice: %v", twice)
	}
	for _, m := range members {
		m.leave()
	}
	if m := h.groupMove("app"); !m.Planned || m.To != "dr" || m.Positions != 6 {
		t.Errorf("%+v", m)
	}
	at, err := kadm.NewClient(h.client(h.dr.Bootstrap()[0])).FetchOffsets(h.ctx, "app")
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := at.Lookup("orders", 0); !ok || o.At != 20 {
		t.Errorf("dr has %+v, want 20", o)
	}
}

// TestAGroupOutlivesItsHome: the cluster that coordinates it is gone, and nobody edits anything. It
// has another coordinator soon, and its members read on where they were, also one that is started
// afterwards. What they commit then wins over what the cluster that comes back has.
func TestAGroupOutlivesItsHome(t *testing.T) {
	h := buildAt(t, quiet(), map[string]string{"orders": "dr"})
	c := h.client(h.gw.Bootstrap)
	s := &seen{all: map[string]int{}}
	h.edit("default: prod", "default: prod\n          groups: {takeover: 2s, app: prod}")
	one := h.join(s, "app", "one", "orders")
	two := h.join(s, "app", "two", "orders")
	h.write(c, "orders", "before", 30)
	h.wait("the first records", func() bool { return s.count() == 30 })
	h.wait("the mirror", func() bool {
		g := h.gw.Group(tenant, "app")
		return g != nil && g.MirroredOn("dr")
	})
	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	h.write(c, "orders", "meanwhile", 30)
	h.wait("the records of meanwhile", func() bool { return s.count() == 60 })
	h.wait("another home", func() bool { return h.groupMove("app").Phase == failover.Done })
	h.write(c, "orders", "after", 30)
	h.wait("the records behind it", func() bool { return s.count() == 90 })
	one.leave()
	two.leave()
	three := h.join(s, "app", "three", "orders")
	h.write(c, "orders", "again", 30)
	h.wait("the records of a new member", func() bool { return s.count() == 120 })
	three.leave()
	if twice := s.twice(); len(twice) > 0 {
		t.Errorf("delivered twice: %v", twice)
	}
	if m := h.groupMove("app"); m.Planned || m.To != "dr" || m.By != failover.ByTakeover {
		t.Errorf("%+v", m)
	}
	if err := h.gw.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Restart(h.ctx); err != nil {
		t.Fatal(err)
	}
	for _, n := range h.prod.Nodes() {
		if err := h.prod.Restart(h.ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	direct := kadm.NewClient(h.client(h.prod.Bootstrap()[0]))
	h.wait("the positions on the cluster that is back", func() bool {
		at, err := direct.FetchOffsets(h.ctx, "app")
		o, ok := at.Lookup("orders", 0)
		return err == nil && ok && o.At == 40
	})
}

// TestAGroupThatWasToLeaveOutlivesItsHome: a planned move of it waits, as somebody uses its name on
// the cluster that it is to go to, when its home dies. It does not wait for that home for ever.
func TestAGroupThatWasToLeaveOutlivesItsHome(t *testing.T) {
	h := buildAt(t, quiet(), map[string]string{"orders": "dr"})
	h.edit("default: prod", "default: prod\n          groups: {takeover: 2s, app: prod}")
	s := &seen{all: map[string]int{}}
	one := h.join(s, "app", "one", "orders")
	h.write(h.client(h.gw.Bootstrap), "orders", "before", 30)
	h.wait("the first records", func() bool { return s.count() == 30 })
	h.wait("the mirror", func() bool {
		g := h.gw.Group(tenant, "app")
		return g != nil && g.MirroredOn("dr")
	})
	other := h.client(h.dr.Bootstrap()[0], kgo.ConsumerGroup("app"), kgo.ConsumeTopics("orders"))
	go func() {
		for h.ctx.Err() == nil && !other.PollFetches(h.ctx).IsClientClosed() {
		}
	}()
	h.edit("app: prod", "app: dr")
	h.wait("a move that waits", func() bool {
		m := h.groupMove("app")
		return m.Phase == failover.Pending && strings.Contains(m.Error, "members on dr")
	})
	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	other.Close()
	h.wait("another home", func() bool { return h.groupMove("app").Phase == failover.Done })
	if m := h.groupMove("app"); m.Planned || m.To != "dr" {
		t.Errorf("%+v", m)
	}
	h.write(h.client(h.gw.Bootstrap), "orders", "after", 30)
	h.wait("the last records", func() bool { return s.count() == 60 })
	one.leave()
	if twice := s.twice(); len(twice) > 0 {
		t.Errorf("delivered twice: %v", twice)
	}
}

// TestCommitsInFlightAreKept: positions are committed all the time, by several who are no members,
// while their groups go back and forth by a rule: what was acknowledged is there.
func TestCommitsInFlightAreKept(t *testing.T) {
	h := build(t, "orders", "refunds")
	h.write(h.client(h.gw.Bootstrap), "orders", "x", 30)
	ctx, stop := context.WithCancel(h.ctx)
	var wg sync.WaitGroup
	var mu sync.Mutex
	acked := map[string]int64{}
	names := []string{"app-1", "app-2", "app-3"}
	for _, group := range names {
		wg.Go(func() {
			c := kadm.NewClient(h.client(h.gw.Bootstrap, kgo.ClientID(group)))
			for n := int64(1); ctx.Err() == nil; n++ {
				var all kadm.Offsets
				all.AddOffset("orders", 0, n, -1)
				all.AddOffset("orders", 2, n, -1)
				all.AddOffset("refunds", 1, n, -1)
				got, err := c.CommitOffsets(ctx, group, all)
				if err == nil {
					err = got.Error()
				}
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Errorf("%s: commit of %d: %v", group, n, err)
					return
				}
				mu.Lock()
				acked[group] = n
				mu.Unlock()
			}
		})
	}
	enough := func(more int64) {
		mu.Lock()
		from := map[string]int64{}
		for _, g := range names {
			from[g] = acked[g]
		}
		mu.Unlock()
		h.wait("commits", func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, g := range names {
				if acked[g] < from[g]+more {
					return false
				}
			}
			return true
		})
	}
	moves := func() (n int) {
		for _, m := range h.gw.Moves() {
			if m.Kind == failover.Group && m.Phase == failover.Done {
				n++
			}
		}
		return n
	}
	enough(20)
	h.edit("default: prod", "default: prod\n          groups: {\"app-*\": prod}")
	for i := range 4 {
		from, to := "prod", "dr"
		if i%2 == 1 {
			from, to = to, from
		}
		h.edit(`"app-*": `+from, `"app-*": `+to)
		h.wait("the groups", func() bool { return moves() == 3*(i+1) })
		enough(20)
	}
	stop()
	wg.Wait()
	c := kadm.NewClient(h.client(h.gw.Bootstrap))
	for _, group := range names {
		at, err := c.FetchOffsets(h.ctx, group)
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		want := acked[group]
		mu.Unlock()
		for _, p := range []kadm.Offset{{Topic: "orders", Partition: 0}, {Topic: "orders", Partition: 2}, {Topic: "refunds", Partition: 1}} {
			if o, ok := at.Lookup(p.Topic, p.Partition); !ok || o.At < want || o.At > want+1 {
				t.Errorf("%s: %s/%d is at %+v, acknowledged was %d", group, p.Topic, p.Partition, o, want)
			}
		}
	}
}

// TestGroupsThatStay: one whose topics live on two clusters stays where it is, one that has a rule
// goes by it, and one that has members on the new home already, who came past the gateway, is
// refused.
func TestGroupsThatStay(t *testing.T) {
	h := build(t, "orders", "refunds")
	h.copier(kafkatest.Faults{}, "orders", "refunds")
	for group, topics := range map[string][]string{"both": {"orders", "refunds"}, "ruled": {"orders"}, "taken": {"orders"}} {
		for _, topic := range topics {
			h.commit(topic, group, 0)
		}
	}
	h.edit("default: prod", "default: prod\n          groups: {ruled: prod}")
	other := h.client(h.dr.Bootstrap()[0], kgo.ConsumerGroup("taken"), kgo.ConsumeTopics("orders"))
	h.wait("a member from outside", func() bool {
		all, err := kadm.NewClient(h.client(h.dr.Bootstrap()[0])).DescribeGroups(h.ctx, "taken")
		return err == nil && len(all["taken"].Members) == 1
	})
	h.edit("orders: {cluster: prod}", "orders: {cluster: dr}")
	h.moved(1)
	h.wait("the refusal", func() bool { return strings.Contains(h.groupMove("taken").Error, "did not come through this gateway") })
	for _, group := range []string{"both", "ruled", "taken"} {
		if g := h.gw.Group(tenant, group); g == nil || g.Home != "prod" {
			t.Errorf("%s: %+v", group, g)
		}
	}
	other.LeaveGroup()
	h.wait("the move", func() bool { return h.groupMove("taken").Phase == failover.Done })
	h.edit("refunds: {cluster: prod}", "refunds: {cluster: dr}")
	h.wait("the group of both", func() bool { return h.groupMove("both").Phase == failover.Done })
	if g := h.gw.Group(tenant, "ruled"); g.Home != "prod" || g.Generation != 0 {
		t.Errorf("ruled: %+v", g)
	}
}

// TestAMoveBetweenJoinAndSync is an ordinary rebalance to the member: it joins again by its id,
// where an unknown one would be an error to the application.
func TestAMoveBetweenJoinAndSync(t *testing.T) {
	h := build(t, "orders")
	c := h.client(h.gw.Bootstrap)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "app", "consumer", 45_000, 10_000
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name = "range"
	join.Protocols = append(join.Protocols, protocol)
	joined, err := join.RequestWith(h.ctx, c)
	if err == nil && joined.ErrorCode == int16(kafka.MemberIDRequired) {
		join.MemberID = joined.MemberID
		joined, err = join.RequestWith(h.ctx, c)
	}
	if err != nil || joined.ErrorCode != 0 {
		t.Fatalf("%+v, %v", joined, err)
	}
	h.edit("default: prod", "default: prod\n          groups: {app: dr}")
	h.wait("the move", func() bool { return h.groupMove("app").Phase == failover.Done })
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = "app", joined.MemberID, joined.Generation
	sync.ProtocolType, sync.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	answer, err := sync.RequestWith(h.ctx, c)
	if err != nil || answer.ErrorCode != int16(kafka.RebalanceInProgress) {
		t.Errorf("%+v, %v", answer, err)
	}
}

// TestGroupsByCommand: plan and run name groups, and tools see them where they are: before, during
// and after.
func TestGroupsByCommand(t *testing.T) {
	h := build(t, "orders")
	h.write(h.client(h.gw.Bootstrap), "orders", "x", 30)
	h.commit("orders", "app", 4)
	h.commit("orders", "gone", 7)
	adm := kadm.NewClient(h.client(h.gw.Bootstrap))
	gateway := commandLine(t)
	out, code := gateway("failover", "plan", "-c", h.gw.File, "--group", "app", "--to", "dr")
	if code != 0 || !strings.Contains(out, "app") || !strings.Contains(out, "ready") {
		t.Errorf("plan: %d\n%s", code, out)
	}
	if out, code = gateway("failover", "run", "-c", h.gw.File, "--group", "app", "--group", "gone", "--to", "dr"); code != 0 || !strings.Contains(out, "2 groups carried") {
		t.Errorf("run: %d\n%s", code, out)
	}
	if g := h.gw.Group(tenant, "app"); g.Home != "dr" || g.Generation != 1 {
		t.Errorf("%+v", g)
	}
	list, err := adm.ListGroups(h.ctx)
	if err != nil || !slices.Equal(list.Groups(), []string{"app", "gone"}) {
		t.Errorf("listed: %v, %v", list.Groups(), err)
	}
	at, err := adm.FetchOffsets(h.ctx, "app")
	if o, ok := at.Lookup("orders", 0); err != nil || !ok || o.At != 4 {
		t.Errorf("app is at %+v, %v", o, err)
	}
	if _, err := adm.DeleteGroups(h.ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	h.wait("the end of the mirrored positions", func() bool {
		at, err := kadm.NewClient(h.client(h.prod.Bootstrap()[0])).FetchOffsets(h.ctx, "gone")
		_, has := at.Lookup("orders", 0)
		return err == nil && !has
	})
	if err := kafkatest.KillAll(h.dr); err != nil {
		t.Fatal(err)
	}
	list, err = adm.ListGroups(h.ctx)
	if err != nil || !slices.Contains(list.Groups(), "app") {
		t.Errorf("listed while its home is gone: %v, %v", list.Groups(), err)
	}
}

// TestTransactionsStay: a group whose positions are committed in transactions stays where those
// are, and an edit that would take the state of transactions away is refused at its line.
func TestTransactionsStay(t *testing.T) {
	h := build(t, "orders", "refunds")
	h.copier(kafkatest.Faults{}, "orders")
	h.write(h.client(h.gw.Bootstrap), "orders", "x", 6)
	s, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(h.gw.Bootstrap), kgo.TransactionalID("pay-1"), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 6; {
		f := s.PollFetches(h.ctx)
		if h.ctx.Err() != nil {
			t.Fatalf("%d of 6 records", n)
		}
		n += f.NumRecords()
		if err := s.Begin(); err != nil {
			t.Fatal(err)
		}
		s.Produce(h.ctx, &kgo.Record{Topic: "refunds", Value: []byte("x")}, nil)
		if ok, err := s.End(h.ctx, kgo.TryCommit); err != nil || !ok {
			t.Fatalf("commit: %t, %v", ok, err)
		}
	}
	s.Close()
	h.edit("orders: {cluster: prod}", "orders: {cluster: dr}")
	h.moved(1)
	if g := h.gw.Group(tenant, "billing"); g.Home != "prod" || g.Generation != 0 || h.groupMove("billing").ID != "" {
		t.Errorf("the group has moved: %+v", g)
	}
	if err := h.gw.Edit("default: prod", "default: prod\n          transactions: {\"pay-*\": dr}"); err != nil {
		t.Fatal(err)
	}
	var body string
	h.wait("the refusal", func() bool {
		_, body = h.call("GET", "/config", "")
		return strings.Contains(body, "transactional producers have the state")
	})
	if !strings.Contains(body, "pay-1") {
		t.Errorf("the refusal names nobody: %s", body)
	}
	h.edit("          transactions: {\"pay-*\": dr}", "          transactions: {\"new-*\": dr}")
	h.wait("an edit that strands nobody", func() bool {
		_, body := h.call("GET", "/config", "")
		return !strings.Contains(body, "transactional producers have the state")
	})
	out, code := commandLine(t)("failover", "plan", "-c", h.gw.File, "--group", "billing", "--to", "dr")
	if code != 1 || !strings.Contains(out, "transactions: its positions are committed in transactions that live on prod") {
		t.Errorf("%d\n%s", code, out)
	}
}
