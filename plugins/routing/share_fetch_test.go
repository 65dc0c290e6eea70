package routing

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// stand is a member of a share group that is connected to node 0 of prod.
type stand struct {
	t       *testing.T
	r       *Routing
	env     plugin.Env
	session *plugin.Session
	below   *below
}

// below answers requests of routing's own, and notes them.
type below struct {
	mu     sync.Mutex
	asked  []string
	answer func(cluster string, m kmsg.Request) kmsg.Response
}

func (b *below) Handle(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, fmt.Sprint(kmsg.NameForKey(msg.Key()), " ", req.Target.Cluster))
	out := b.answer(req.Target.Cluster, msg)
	if out == nil {
		return nil, plugin.ErrUnreachable
	}
	return plugin.Respond(out), nil
}

func newStand(t *testing.T, yaml string) *stand {
	t.Helper()
	r, env := build(t, yaml)
	s := &stand{t: t, r: r, env: env, session: plugin.NewSession(t.Context(), 1, nil, nil), below: &below{}}
	s.session.Cluster, s.session.Node = "prod", 0
	s.below.answer = func(_ string, m kmsg.Request) kmsg.Response { return m.ResponseKind() }
	r.SetBelow(func(kmsg.Key) plugin.Handler { return s.below })
	return s
}

func (s *stand) id(topic string) [16]byte { return s.env.Catalog.Topic(topic).ID }

// moves moves a topic; between says what is done while it is not published.
func (s *stand) moves(topic, to string, between func()) {
	s.t.Helper()
	change := func(do func(*catalog.Topic)) {
		if err := s.env.Catalog.Update(s.t.Context(), topic, func(n *catalog.Topic) error { do(n); return nil }); err != nil {
			s.t.Fatal(err)
		}
	}
	change(func(n *catalog.Topic) {
		before := n.Clone()
		n.Home, n.Generation, n.Before, n.HomeID = to, n.Generation+1, before, plugintest.ID(to, topic)
		for p := range n.Partitions {
			part := &before.Partitions[p]
			n.Partitions[p] = part.Advance(catalog.Segment{Generation: n.Generation, Start: 100, PhysicalStart: 70, Cluster: to}, part.Distance.Shift(-30), 100, 3)
		}
	})
	if between != nil {
		between()
	}
	change(func(n *catalog.Topic) { n.Published, n.Before = n.Generation, nil })
}

// wants is what a member asks of a topic's partitions.
func (s *stand) wants(topic string, partitions ...int32) kmsg.ShareFetchRequestTopic {
	t := kmsg.ShareFetchRequestTopic{TopicID: s.id(topic)}
	for _, p := range partitions {
		t.Partitions = append(t.Partitions, kmsg.ShareFetchRequestTopicPartition{Partition: p, PartitionMaxBytes: 1000})
	}
	return t
}

// fetch sends a ShareFetch. answer is the broker's; nil is one without an error.
func (s *stand) fetch(epoch int32, answer func(*kmsg.ShareFetchRequest) *kmsg.ShareFetchResponse, topics ...kmsg.ShareFetchRequestTopic) (sent *kmsg.ShareFetchRequest, out *kmsg.ShareFetchResponse) {
	s.t.Helper()
	group, member := "workers", "m"
	m := kmsg.NewPtrShareFetchRequest()
	m.Version, m.GroupID, m.MemberID, m.ShareSessionEpoch, m.Topics = 2, &group, &member, epoch, topics
	return s.send(m, answer)
}

func (s *stand) send(m *kmsg.ShareFetchRequest, answer func(*kmsg.ShareFetchRequest) *kmsg.ShareFetchResponse) (sent *kmsg.ShareFetchRequest, out *kmsg.ShareFetchResponse) {
	s.t.Helper()
	req := plugintest.Request(s.t, m, "")
	req.Session = s.session
	resp, err := s.r.Intercept(s.t.Context(), req, plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
		if f.Target.Cluster != "prod" {
			s.t.Errorf("sent to %q", f.Target.Cluster)
		}
		sent = plugintest.Sent[*kmsg.ShareFetchRequest](s.t, f)
		if answer == nil {
			r := kmsg.NewPtrShareFetchResponse()
			r.Version = 2
			return plugintest.Encode(r), nil
		}
		return plugintest.Encode(answer(sent)), nil
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	return sent, plugintest.Decode[*kmsg.ShareFetchResponse](s.t, resp)
}

// asks lists the partitions of a request by topic.
func (s *stand) asks(m *kmsg.ShareFetchRequest) (out []string) {
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			out = append(out, fmt.Sprint(s.env.Catalog.ByID(t.TopicID).Name, "/", p.Partition))
		}
	}
	for _, t := range m.ForgottenTopicsData {
		for _, p := range t.Partitions {
			out = append(out, fmt.Sprint("forget ", s.env.Catalog.ByID(t.TopicID).Name, "/", p))
		}
	}
	return out
}

// says lists what an answer says of partitions: the codes, the leader, and how many records.
func (s *stand) says(m *kmsg.ShareFetchResponse) (out []string) {
	for _, t := range m.Topics {
		name := "unknown"
		if known := s.env.Catalog.ByID(t.TopicID); known != nil {
			name = known.Name
		}
		for _, p := range t.Partitions {
			if p.Records == nil {
				s.t.Errorf("%s/%d has null records, of which Java's share consumer dies", name, p.Partition)
			}
			out = append(out, fmt.Sprintf("%s/%d: %d, acknowledged %d, leader %d, %d bytes", name, p.Partition, p.ErrorCode, p.AcknowledgeErrorCode, p.CurrentLeader.LeaderID, len(p.Records)))
		}
	}
	return out
}

func (s *stand) want(what string, got []string, want ...string) {
	s.t.Helper()
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

const drNode1 = 2<<20 + 1

// TestAShareSessionAsksForWhatLivesThere: of what lives elsewhere, the member is told the leader.
func TestAShareSessionAsksForWhatLivesThere(t *testing.T) {
	s := newStand(t, rulesYAML)
	sent, out := s.fetch(0, nil, s.wants("orders", 0, 1), s.wants("logs-a", 1))
	s.want("asked", s.asks(sent), "orders/0", "orders/1")
	s.want("told", s.says(out), fmt.Sprint("logs-a/1: 6, acknowledged 0, leader ", drNode1, ", 0 bytes"))
	if n := out.NodeEndpoints; len(n) != 1 || n[0].NodeID != drNode1 || n[0].Host != "gateway" {
		t.Errorf("nodes %+v", n)
	}
	if sent.MaxWaitMillis != 0 {
		t.Error("the member is told only when there are records elsewhere")
	}
	sent, out = s.fetch(1, nil)
	s.want("asked next", s.asks(sent))
	s.want("told again, as it still wants it", s.says(out), fmt.Sprint("logs-a/1: 6, acknowledged 0, leader ", drNode1, ", 0 bytes"))
	forgets := kmsg.NewPtrShareFetchRequest()
	forgets.Version, forgets.ShareSessionEpoch = 2, 2
	group, member := "workers", "m"
	forgets.GroupID, forgets.MemberID = &group, &member
	forgets.ForgottenTopicsData = []kmsg.ShareFetchRequestForgottenTopicsData{{TopicID: s.id("logs-a"), Partitions: []int32{1}}, {TopicID: s.id("orders"), Partitions: []int32{1}}}
	sent, out = s.send(forgets, nil)
	s.want("asked last", s.asks(sent), "forget orders/1")
	s.want("told last", s.says(out))
}

// TestATopicLeavesAShareSession when it moves, and comes back to it.
func TestATopicLeavesAShareSession(t *testing.T) {
	s := newStand(t, rulesYAML)
	s.fetch(0, nil, s.wants("orders", 1))
	acks := s.wants("orders", 1)
	acks.Partitions[0].AcknowledgementBatches = []kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch{{FirstOffset: 5, LastOffset: 6, AcknowledgeTypes: []int8{1}}}
	s.moves("orders", "dr", func() {
		sent, out := s.fetch(1, nil)
		s.want("asked before it is published", s.asks(sent), "forget orders/1")
		s.want("told before it is published", s.says(out))
	})
	sent, out := s.fetch(2, nil, acks)
	s.want("asked", s.asks(sent))
	s.want("told", s.says(out), fmt.Sprint("orders/1: 6, acknowledged 6, leader ", drNode1, ", 0 bytes"))
	s.moves("orders", "prod", nil)
	sent, out = s.fetch(3, nil)
	s.want("asked when it is back", s.asks(sent), "orders/1")
	s.want("told when it is back", s.says(out))
}

// TestSessionsOfAGroupAreHungUp on one cluster, and forgotten with their connection.
func TestSessionsOfAGroupAreHungUp(t *testing.T) {
	s := newStand(t, rulesYAML)
	s.fetch(0, nil, s.wants("orders", 1))
	s.r.shares.hangUp(t.Context(), "others", "prod")
	s.r.shares.hangUp(t.Context(), "workers", "dr")
	if _, out := s.fetch(1, nil); out.ErrorCode != 0 {
		t.Errorf("another group, or on another cluster: %d", out.ErrorCode)
	}
	s.r.shares.hangUp(t.Context(), "workers", "prod")
	if _, out := s.fetch(2, nil); kafka.Code(out.ErrorCode) != kafka.ShareSessionNotFound {
		t.Errorf("its member goes on: %d", out.ErrorCode)
	}
	if err := s.session.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.r.shares.open.all); n != 0 {
		t.Errorf("%d connections are kept that have ended", n)
	}
}

// TestSessionsOutliveARuntime: after an edit of the file, another interceptor hangs them up.
func TestSessionsOutliveARuntime(t *testing.T) {
	s := newStand(t, rulesYAML)
	s.fetch(0, nil, s.wants("orders", 1))
	next, err := New(t.Context(), s.env, plugintest.Section(t, rulesYAML))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.Close() })
	next.shares.hangUp(t.Context(), "workers", "prod")
	if _, out := s.fetch(1, nil); kafka.Code(out.ErrorCode) != kafka.ShareSessionNotFound {
		t.Errorf("its member goes on: %d", out.ErrorCode)
	}
}

// TestRequestsOfOneMemberAtOnce don't meet.
func TestRequestsOfOneMemberAtOnce(t *testing.T) {
	s := newStand(t, rulesYAML)
	s.fetch(0, nil, s.wants("orders", 1))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				s.fetch(1, nil, s.wants("orders", int32(i%4)), s.wants("logs-a", int32(i%4)))
				s.r.shares.open.on(s.session).endAll("workers", "dr")
			}
		})
	}
	wg.Wait()
}

// TestATopicMovesWhileAShareFetchWaits: what comes then is not shown, and what was acknowledged is.
func TestATopicMovesWhileAShareFetchWaits(t *testing.T) {
	s := newStand(t, rulesYAML)
	s.fetch(0, nil, s.wants("orders", 1))
	records := func(m *kmsg.ShareFetchRequest) *kmsg.ShareFetchResponse {
		r := kmsg.NewPtrShareFetchResponse()
		r.Version = 2
		p := kmsg.NewShareFetchResponseTopicPartition()
		p.Partition, p.Records, p.CurrentLeader.LeaderID = 1, []byte("records"), -1
		p.AcquiredRecords = []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord{{LastOffset: 3, DeliveryCount: 1}}
		r.Topics = []kmsg.ShareFetchResponseTopic{{TopicID: s.id("orders"), Partitions: []kmsg.ShareFetchResponseTopicPartition{p}}}
		return r
	}
	_, out := s.fetch(1, records)
	s.want("at home", s.says(out), "orders/1: 0, acknowledged 0, leader -1, 7 bytes")
	_, out = s.fetch(2, func(m *kmsg.ShareFetchRequest) *kmsg.ShareFetchResponse {
		s.moves("orders", "dr", nil)
		return records(m)
	})
	s.want("moved", s.says(out), fmt.Sprint("orders/1: 6, acknowledged 0, leader ", drNode1, ", 0 bytes"))
	if n := out.Topics[0].Partitions[0].AcquiredRecords; len(n) != 0 {
		t.Errorf("acquired %v", n)
	}
}

// TestShareSessionsEnd as the broker's do.
func TestShareSessionsEnd(t *testing.T) {
	refuse := func(code kafka.Code) func(*kmsg.ShareFetchRequest) *kmsg.ShareFetchResponse {
		return func(*kmsg.ShareFetchRequest) *kmsg.ShareFetchResponse {
			r := kmsg.NewPtrShareFetchResponse()
			r.Version, r.ErrorCode = 2, int16(code)
			return r
		}
	}
	s := newStand(t, rulesYAML)
	if _, out := s.fetch(1, nil); kafka.Code(out.ErrorCode) != kafka.ShareSessionNotFound {
		t.Errorf("a session that nobody began: %d", out.ErrorCode)
	}
	if _, out := s.fetch(-1, refuse(kafka.InvalidRequest)); kafka.Code(out.ErrorCode) != kafka.InvalidRequest {
		t.Errorf("what the broker says of it: %d", out.ErrorCode)
	}
	for name, end := range map[string]func(){
		"the broker": func() { s.fetch(1, refuse(kafka.InvalidShareSessionEpoch)) },
		"the member": func() { s.fetch(-1, nil) },
	} {
		s.fetch(0, nil, s.wants("orders", 0))
		end()
		if _, out := s.fetch(2, nil); kafka.Code(out.ErrorCode) != kafka.ShareSessionNotFound {
			t.Errorf("a session that %s ended: %d", name, out.ErrorCode)
		}
	}
	group := "workers"
	for i := range mostMembers {
		member := fmt.Sprint("member-", i)
		m := kmsg.NewPtrShareFetchRequest()
		m.Version, m.GroupID, m.MemberID = 2, &group, &member
		s.send(m, nil)
	}
	if _, out := s.fetch(0, nil); kafka.Code(out.ErrorCode) != kafka.ShareSessionLimitReached {
		t.Errorf("one session too many: %d", out.ErrorCode)
	}
}

// TestATopicThatIsGone is unknown, and is not asked for again and again.
func TestATopicThatIsGone(t *testing.T) {
	s := newStand(t, rulesYAML)
	topic := s.wants("orders", 0)
	none := s.wants("orders", 99)
	s.fetch(0, nil, topic)
	sent, _ := s.fetch(1, nil, none)
	s.want("a partition that there is not, which the broker says", s.asks(sent), "orders/99")
	if err := s.env.Catalog.Update(t.Context(), "orders", func(n *catalog.Topic) error { n.Deleted = []string{"dr"}; return nil }); err != nil {
		t.Fatal(err)
	}
	_, out := s.fetch(2, nil)
	s.want("gone", s.says(out), "unknown/0: 100, acknowledged 0, leader -1, 0 bytes")
	_, out = s.fetch(3, nil)
	s.want("gone for long", s.says(out))
	_, out = s.fetch(4, nil, topic)
	s.want("asked for", s.says(out), "unknown/0: 100, acknowledged 0, leader -1, 0 bytes")
}

// TestAcknowledgementsGoWhereTheTopicLives, or are refused.
func TestAcknowledgementsGoWhereTheTopicLives(t *testing.T) {
	s := newStand(t, rulesYAML)
	acknowledge := func(epoch int32) (sent *kmsg.ShareAcknowledgeRequest, out *kmsg.ShareAcknowledgeResponse) {
		group, member := "workers", "m"
		m := kmsg.NewPtrShareAcknowledgeRequest()
		m.Version, m.GroupID, m.MemberID, m.ShareSessionEpoch = 2, &group, &member, epoch
		for _, name := range []string{"orders", "logs-a"} {
			m.Topics = append(m.Topics, kmsg.ShareAcknowledgeRequestTopic{TopicID: s.id(name), Partitions: []kmsg.ShareAcknowledgeRequestTopicPartition{{Partition: 1}}})
		}
		req := plugintest.Request(t, m, "")
		req.Session = s.session
		resp, err := s.r.Intercept(t.Context(), req, plugin.HandlerFunc(func(_ context.Context, f *plugin.Request) (*plugin.Response, error) {
			sent = plugintest.Sent[*kmsg.ShareAcknowledgeRequest](t, f)
			return plugin.Fail(f, 0, "")
		}))
		if err != nil {
			t.Fatal(err)
		}
		return sent, plugintest.Decode[*kmsg.ShareAcknowledgeResponse](t, resp)
	}
	if _, out := acknowledge(1); kafka.Code(out.ErrorCode) != kafka.ShareSessionNotFound {
		t.Errorf("without a session: %d", out.ErrorCode)
	}
	s.fetch(0, nil, s.wants("orders", 1))
	sent, out := acknowledge(1)
	if len(sent.Topics) != 1 || sent.Topics[0].TopicID != s.id("orders") {
		t.Errorf("sent %+v", sent.Topics)
	}
	if len(out.Topics) != 2 || out.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("answered %+v", out.Topics)
	}
	if p := out.Topics[1].Partitions[0]; kafka.Code(p.ErrorCode) != kafka.NotLeaderOrFollower || p.CurrentLeader.LeaderID != drNode1 {
		t.Errorf("of a topic that lives elsewhere %+v", p)
	}
	if len(out.NodeEndpoints) != 1 || out.NodeEndpoints[0].NodeID != drNode1 {
		t.Errorf("nodes %+v", out.NodeEndpoints)
	}
	acknowledge(-1)
	if _, out := acknowledge(2); kafka.Code(out.ErrorCode) != kafka.ShareSessionNotFound {
		t.Errorf("behind the end: %d", out.ErrorCode)
	}
}

// TestAShareFetchWithoutAnythingToAskFor waits as long as one for records.
func TestAShareFetchWithoutAnythingToAskFor(t *testing.T) {
	s := newStand(t, rulesYAML)
	began := time.Now()
	group, member := "workers", "m"
	m := kmsg.NewPtrShareFetchRequest()
	m.Version, m.GroupID, m.MemberID, m.MaxWaitMillis = 2, &group, &member, 50
	if s.send(m, nil); time.Since(began) < 50*time.Millisecond {
		t.Error("its member would ask again and again")
	}
}
