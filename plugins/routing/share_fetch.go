package routing

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Epochs of share sessions that begin and end one.
const (
	firstShareEpoch = 0
	finalShareEpoch = -1
)

// shareCluster is the cluster that a share session is on: that of the node which the client has
// dialled. On the bootstrap address it is the home of the first topic, where another node says who
// leads it.
func (r *Routing) shareCluster(s *plugin.Session, group string, ids ...[16]byte) string {
	if s.Node != plugin.AnyNode {
		return s.Cluster
	}
	for _, id := range ids {
		if home, shown := r.homeOf("", id); shown {
			return home
		}
	}
	return r.groupHome(group)
}

// shareFetching is a ShareFetch on its way.
type shareFetching struct {
	*Routing
	m       *kmsg.ShareFetchRequest
	session *shareSession
	judged  map[[16]byte]judgedTopic
	refused map[sharePart]shareRefusal
}

// judgedTopic is a topic of a share session.
type judgedTopic struct {
	topic *catalog.Topic // nil: nobody knows it
	kind  verdictKind
}

// shareRefusal is a partition that the cluster is not asked for.
type shareRefusal struct {
	judgedTopic
	acks  bool // what is acknowledged in it is refused
	fetch bool // it is wanted, and its member told who has it
}

// shareFetch sends a ShareFetch to the node that the client has dialled, without what does not live
// there: that is answered as a broker does that does not lead it, with who does (KIP-951).
func (r *Routing) shareFetch(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	f, m, err := plugin.Edit[*kmsg.ShareFetchRequest](req)
	if err != nil {
		return nil, err
	}
	sessions, who := r.shares.open.on(req.Session), shareMemberOf(m.GroupID, m.MemberID)
	if sessions == nil {
		return failShare(req, kafka.ShareSessionNotFound), nil
	}
	session := sessions.find(who)
	if m.ShareSessionEpoch == firstShareEpoch {
		var ids [][16]byte
		for _, t := range m.Topics {
			ids = append(ids, t.TopicID)
		}
		if session = sessions.begin(who, r.shareCluster(req.Session, who.group, ids...)); session == nil {
			return failShare(req, kafka.ShareSessionLimitReached), nil
		}
	}
	if session == nil {
		m.Topics, m.ForgottenTopicsData, m.MaxWaitMillis = nil, nil, 0
		return r.noShareSession(ctx, req, f, next, who.group)
	}
	k := &shareFetching{Routing: r, m: m, session: session, judged: map[[16]byte]judgedTopic{}, refused: map[sharePart]shareRefusal{}}
	k.divide(ctx, req, who.group)
	if m.ShareSessionEpoch == firstShareEpoch {
		sessions.goesOn(who, session)
	}
	f.Target = plugin.Target{Cluster: session.cluster, Node: plugin.AnyNode}
	resp, err := next.Handle(ctx, f)
	if err != nil || resp == nil {
		sessions.end(who, session)
		return resp, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	out := msg.(*kmsg.ShareFetchResponse)
	if out.ErrorCode != 0 || m.ShareSessionEpoch == finalShareEpoch {
		sessions.end(who, session)
		return resp, nil
	}
	if none := k.answer(out); none && len(out.Topics) == 0 { // brokers answer at once who asks for nothing
		r.pauseShare(ctx, req, m)
	}
	return resp, nil
}

// noShareSession answers a request of a session that has not begun on this connection, or has
// ended: as a broker does, which also knows what else is wrong with it.
func (r *Routing) noShareSession(ctx context.Context, req, bare *plugin.Request, next plugin.Handler, group string) (*plugin.Response, error) {
	bare.Target = plugin.Target{Cluster: r.shareCluster(req.Session, group), Node: plugin.AnyNode}
	resp, err := next.Handle(ctx, bare)
	if err != nil || resp == nil || resp.Body.ErrorCode() != 0 {
		return resp, err
	}
	return failShare(req, kafka.ShareSessionNotFound), nil
}

func shareMemberOf(group, member *string) (m shareMember) {
	if group != nil {
		m.group = *group
	}
	if member != nil {
		m.member = *member
	}
	return m
}

// pauseShare waits as long as a ShareFetch does for records, or until a move is published.
func (r *Routing) pauseShare(ctx context.Context, req *plugin.Request, m *kmsg.ShareFetchRequest) {
	wait := time.Until(req.Arrived.Add(min(time.Duration(m.MaxWaitMillis)*time.Millisecond, 500*time.Millisecond)))
	if wait <= 0 {
		return
	}
	defer req.Pause("its topics live elsewhere, or their move is not published yet", trace.SpanContext{})()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.env.Gates.Moved():
	case <-ctx.Done():
	}
}

// patience is how long the member waits for records, and so for what must come before them: later
// it would rather have an empty answer, and some clients give the connection up.
func (k *shareFetching) patience() time.Duration {
	return min(max(time.Duration(k.m.MaxWaitMillis)*time.Millisecond, leastPatience), k.shares.limit())
}

const leastPatience = 100 * time.Millisecond

// judge says what becomes of a topic. One whose home does not know yet where the group is in it is
// not asked for.
func (k *shareFetching) judge(ctx context.Context, req *plugin.Request, group string, id [16]byte) judgedTopic {
	j, ok := k.judged[id]
	if !ok {
		j.topic = k.env.Catalog.ByID(id)
		if j.kind = k.shareVerdict(k.session.cluster, j.topic); j.kind == serve && !k.shares.ready(ctx, req, group, j.topic, k.patience()) {
			j.kind = quiet
		}
		k.judged[id] = j
	}
	return j
}

// divide leaves in a request what lives on the session's cluster, and has the cluster's session
// agree with what the member wants.
func (k *shareFetching) divide(ctx context.Context, req *plugin.Request, group string) {
	k.session.mu.Lock()
	defer k.session.mu.Unlock()
	fetches := k.m.ShareSessionEpoch != finalShareEpoch && !k.m.IsRenewAck
	var topics []kmsg.ShareFetchRequestTopic
	for _, t := range k.m.Topics {
		j := k.judge(ctx, req, group, t.TopicID)
		kept := t
		kept.Partitions = nil
		for _, p := range t.Partitions {
			part, acks := sharePart{t.TopicID, p.Partition}, len(p.AcknowledgementBatches) > 0
			known := j.topic != nil && p.Partition >= 0 && int(p.Partition) < len(j.topic.Partitions)
			switch {
			case j.kind != serve:
				k.refused[part] = shareRefusal{j, acks, fetches && !known}
			case acks || !known: // what there is not, the cluster says is not there
				kept.Partitions = append(kept.Partitions, p)
				if known && fetches {
					k.session.sent[part] = true
				}
			}
			if known && fetches {
				k.session.wanted[part] = p.PartitionMaxBytes
			}
		}
		if len(kept.Partitions) > 0 {
			topics = append(topics, kept)
		}
	}
	k.m.Topics = topics
	k.forget()
	if fetches {
		k.agree(ctx, req, group)
	}
	if len(k.refused) > 0 {
		k.m.MaxWaitMillis, k.m.MinBytes = 0, 0 // the member is told at once
	}
}

// forget leaves out of the session what the member forgets.
func (k *shareFetching) forget() {
	var forgotten []kmsg.ShareFetchRequestForgottenTopicsData
	for _, t := range k.m.ForgottenTopicsData {
		kept := t
		kept.Partitions = slices.DeleteFunc(slices.Clone(t.Partitions), func(p int32) bool {
			part := sharePart{t.TopicID, p}
			sent := k.session.sent[part]
			delete(k.session.wanted, part)
			delete(k.session.sent, part)
			return !sent
		})
		if len(kept.Partitions) > 0 {
			forgotten = append(forgotten, kept)
		}
	}
	k.m.ForgottenTopicsData = forgotten
}

// agree asks the cluster for what is wanted and lives there, and no more for what does not.
func (k *shareFetching) agree(ctx context.Context, req *plugin.Request, group string) {
	var add []kmsg.ShareFetchRequestTopic
	var remove []kmsg.ShareFetchRequestForgottenTopicsData
	for _, part := range k.session.parts() {
		j := k.judge(ctx, req, group, part.id)
		switch sent := k.session.sent[part]; {
		case j.kind == serve && !sent:
			k.session.sent[part] = true
			if n := len(add); n == 0 || add[n-1].TopicID != part.id {
				add = append(add, kmsg.ShareFetchRequestTopic{TopicID: part.id})
			}
			t := &add[len(add)-1]
			t.Partitions = append(t.Partitions, kmsg.ShareFetchRequestTopicPartition{Partition: part.partition, PartitionMaxBytes: k.session.wanted[part]})
		case j.kind == serve:
		default:
			if sent {
				delete(k.session.sent, part)
				if n := len(remove); n == 0 || remove[n-1].TopicID != part.id {
					remove = append(remove, kmsg.ShareFetchRequestForgottenTopicsData{TopicID: part.id})
				}
				t := &remove[len(remove)-1]
				t.Partitions = append(t.Partitions, part.partition)
			}
			if j.kind != quiet {
				k.refused[part] = shareRefusal{j, k.refused[part].acks, true}
			}
			if j.kind == unknown {
				delete(k.session.wanted, part)
			}
		}
	}
	k.m.Topics, k.m.ForgottenTopicsData = append(k.m.Topics, add...), append(k.m.ForgottenTopicsData, remove...)
}

// answer takes out of an answer what has moved meanwhile, and adds what was refused. It reports
// that the cluster is asked for nothing.
func (k *shareFetching) answer(out *kmsg.ShareFetchResponse) (none bool) {
	at := map[sharePart]*kmsg.ShareFetchResponseTopicPartition{}
	for i := range out.Topics {
		t := &out.Topics[i]
		j := judgedTopic{topic: k.env.Catalog.ByID(t.TopicID)}
		j.kind = k.shareVerdict(k.session.cluster, j.topic)
		for n := range t.Partitions {
			p, part := &t.Partitions[n], sharePart{t.TopicID, t.Partitions[n].Partition}
			at[part] = p
			if j.kind == serve {
				continue
			}
			if p.Records, p.AcquiredRecords = []byte{}, nil; j.kind != quiet {
				k.refused[part] = shareRefusal{j, k.refused[part].acks, true}
			}
		}
	}
	var more []kmsg.ShareFetchResponseTopic
	for _, part := range sortedParts(k.refused) {
		p := at[part]
		if p == nil {
			if n := len(more); n == 0 || more[n-1].TopicID != part.id {
				more = append(more, kmsg.ShareFetchResponseTopic{TopicID: part.id})
			}
			t := &more[len(more)-1]
			n := kmsg.NewShareFetchResponseTopicPartition()
			n.Partition, n.CurrentLeader.LeaderID, n.CurrentLeader.LeaderEpoch = part.partition, -1, -1
			n.Records = []byte{} // Java's consumer dies of null ones
			t.Partitions = append(t.Partitions, n)
			p = &t.Partitions[len(t.Partitions)-1]
		}
		k.tell(out, p, k.refused[part])
	}
	out.Topics = append(out.Topics, more...)
	k.session.mu.Lock()
	defer k.session.mu.Unlock()
	return len(k.session.sent) == 0
}

// tell answers a partition that was refused.
func (k *shareFetching) tell(out *kmsg.ShareFetchResponse, p *kmsg.ShareFetchResponseTopicPartition, r shareRefusal) {
	code := int16(shareRefused(r.kind))
	if r.acks {
		p.AcknowledgeErrorCode = code
	}
	if !r.fetch || r.kind == quiet {
		return
	}
	p.ErrorCode = code
	node, epoch := k.leader(r.topic, p.Partition)
	if r.kind != elsewhere || node.ID < 0 {
		return
	}
	p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = node.ID, epoch
	if !slices.ContainsFunc(out.NodeEndpoints, func(n kmsg.ShareFetchResponseNodeEndpoint) bool { return n.NodeID == node.ID }) {
		out.NodeEndpoints = append(out.NodeEndpoints, kmsg.ShareFetchResponseNodeEndpoint{NodeID: node.ID, Host: node.Host, Port: node.Port, Rack: node.Rack})
	}
}

// shareAcknowledge sends what is acknowledged to the node that the client has dialled, but for what
// does not live there: nobody knows there any more that it was acquired.
func (r *Routing) shareAcknowledge(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	f, m, err := plugin.Edit[*kmsg.ShareAcknowledgeRequest](req)
	if err != nil {
		return nil, err
	}
	sessions, who := r.shares.open.on(req.Session), shareMemberOf(m.GroupID, m.MemberID)
	if sessions == nil {
		return failShare(req, kafka.ShareSessionNotFound), nil
	}
	session := sessions.find(who)
	if session == nil {
		m.Topics = nil
		return r.noShareSession(ctx, req, f, next, who.group)
	}
	var refused []kmsg.ShareAcknowledgeResponseTopic
	var nodes []kmsg.ShareAcknowledgeResponseNodeEndpoint
	m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.ShareAcknowledgeRequestTopic) bool {
		known := r.env.Catalog.ByID(t.TopicID)
		kind := r.shareVerdict(session.cluster, known)
		if kind == serve {
			return false
		}
		answer := kmsg.ShareAcknowledgeResponseTopic{TopicID: t.TopicID}
		for _, p := range t.Partitions {
			a := kmsg.NewShareAcknowledgeResponseTopicPartition()
			a.Partition, a.ErrorCode, a.CurrentLeader.LeaderID, a.CurrentLeader.LeaderEpoch = p.Partition, int16(shareRefused(kind)), -1, -1
			if node, epoch := r.leader(known, p.Partition); kind == elsewhere && node.ID >= 0 {
				a.CurrentLeader.LeaderID, a.CurrentLeader.LeaderEpoch = node.ID, epoch
				if !slices.ContainsFunc(nodes, func(n kmsg.ShareAcknowledgeResponseNodeEndpoint) bool { return n.NodeID == node.ID }) {
					nodes = append(nodes, kmsg.ShareAcknowledgeResponseNodeEndpoint{NodeID: node.ID, Host: node.Host, Port: node.Port, Rack: node.Rack})
				}
			}
			answer.Partitions = append(answer.Partitions, a)
		}
		refused = append(refused, answer)
		return true
	})
	f.Target = plugin.Target{Cluster: session.cluster, Node: plugin.AnyNode}
	resp, err := next.Handle(ctx, f)
	if err != nil || resp == nil {
		sessions.end(who, session)
		return resp, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	out := msg.(*kmsg.ShareAcknowledgeResponse)
	if out.ErrorCode != 0 || m.ShareSessionEpoch == finalShareEpoch {
		sessions.end(who, session)
	}
	if out.ErrorCode == 0 {
		out.Topics, out.NodeEndpoints = append(out.Topics, refused...), append(out.NodeEndpoints, nodes...)
	}
	return resp, nil
}
