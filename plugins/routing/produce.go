package routing

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// sending is a produce, or its part for one topic, that has passed the topic's gate.
type sending struct {
	topic, home  string
	id           [16]byte // that the client calls the topic by; zero where it does so by name
	pass         gate.Pass
	breaks, gaps int
}

// sendings are the topics of a produce on its way.
type sendings struct {
	list []sending
	few  [4]sending
}

// mostTopics is how many topics a produce goes out with in one piece.
const mostTopics = 64

// oneHome reports that all live on one cluster.
func (k *sendings) oneHome() bool {
	return !slices.ContainsFunc(k.list, func(s sending) bool { return s.home != k.list[0].home })
}

// produceDown passes the gates of a produce's topics and sends it to their home. One of which a
// part has to wait in a gate, is refused, or has another home, is divided.
func (r *Routing) produceDown(req *plugin.Request, s *plugin.Step) plugin.Outcome {
	h := req.Body.View()
	if h.Transactional && !r.atTransactionHome(h) {
		code := int16(kafka.InvalidProducerEpoch)
		if kafka.Has(req.Key, req.Version, kafka.Abortable) {
			code = int16(kafka.TransactionAbortable)
		}
		return plugin.Answer(plugin.Fail(req, kafka.Code(code), ""))
	}
	k := plugin.Keep[sendings](s)
	k.list = k.few[:0]
	if r.passes(req, h.Partitions, k) && len(k.list) > 0 && k.oneHome() {
		req.Target = plugin.Target{Cluster: k.list[0].home, Node: plugin.AnyNode}
		return plugin.GoOn()
	}
	list := slices.Clone(k.list)
	return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) {
		return r.produceDivided(ctx, req, next, list)
	})
}

// passes passes the gates of the topics that k lists then, and reports that these are all.
func (r *Routing) passes(req *plugin.Request, list []kafka.RequestPartition, k *sendings) (all bool) {
	all = true
	for i := range list {
		p := &list[i]
		if len(p.Records) == 0 { // a broker never answers one that has none
			leave(k.list)
			k.list = k.list[:0]
			return false
		}
		if i > 0 && p.ID == list[i-1].ID && string(p.Topic) == string(list[i-1].Topic) {
			continue
		}
		all = r.passesTopic(req, p, k) && all
	}
	return all
}

// passesTopic passes the gate of a topic, if it is known and nobody has to wait.
func (r *Routing) passesTopic(req *plugin.Request, p *kafka.RequestPartition, k *sendings) bool {
	known := r.env.Catalog.Find(p.Topic, p.ID)
	if known == nil {
		return false
	}
	if slices.ContainsFunc(k.list, func(s sending) bool { return s.topic == known.Name }) {
		return true
	}
	home, shown := r.homeOfKnown(known)
	if !shown || len(k.list) == mostTopics {
		return false
	}
	pass, open := r.env.Gates.Gate(known.Name).TryEnter(req.AtGate())
	if !open {
		return false
	}
	if r.env.Catalog.Topic(known.Name) != known { // it may live elsewhere since
		pass.Leave()
		return false
	}
	k.list = append(k.list, sending{topic: known.Name, id: p.ID, home: home, pass: pass})
	return true
}

func leave(list []sending) {
	for i := range list {
		list[i].pass.Leave()
	}
}

// produceUp ends a produce, or begins to send again what may go better.
func (r *Routing) produceUp(req *plugin.Request, s *plugin.Step, resp *plugin.Response, err error) plugin.Outcome {
	k := plugin.Kept[sendings](s)
	if k.ends(resp, err) {
		return plugin.Answer(resp, nil)
	}
	list := slices.Clone(k.list)
	return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) {
		return r.eachUntilAnswered(ctx, req, next, list, resp, err)
	})
}

// ends reports that what came of a produce is its answer, and lets those behind it pass.
func (k *sendings) ends(resp *plugin.Response, err error) bool {
	if err != nil || resp == nil || resp.Early || k.overtaken() || refusesBatches(resp) {
		return false
	}
	leave(k.list)
	return true
}

// overtaken reports that a gate was held since the request passed it.
func (k *sendings) overtaken() bool {
	for i := range k.list {
		if k.list[i].pass.Overtaken() {
			return true
		}
	}
	return false
}

// share is what of a produce goes out by itself: what has passed its gates and lives on a cluster,
// or one topic that is to pass its gate.
type share struct{ home, topic string }

// produceDivided sends what has passed its gates to each home in one piece, and each other topic
// through its gate. The answers are merged.
func (r *Routing) produceDivided(ctx context.Context, req *plugin.Request, next plugin.Handler, passed []sending) (*plugin.Response, error) {
	shares, bodies, err := fork.Split(req.Body, func(p fork.Part) share {
		name := r.name(p.Topic, p.ID)
		if i := slices.IndexFunc(passed, func(s sending) bool { return s.topic == name }); i >= 0 {
			return share{home: passed[i].home}
		}
		return share{topic: name}
	})
	if err != nil {
		leave(passed)
		return nil, err
	}
	if len(shares) == 0 { // no partitions
		return r.to(ctx, req, next, r.first().Name())
	}
	forks := req.Fork(len(shares), "topic")
	of := map[*plugin.Request]share{}
	for i, f := range forks {
		f.Body = bodies[i]
		of[f] = shares[i]
	}
	return fork.Gather(forks, fork.Parallel(ctx, forks, plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		s := of[f]
		if s.home == "" {
			return r.produceTopic(ctx, f, next, s.topic)
		}
		k := sendings{}
		for _, p := range passed {
			if p.home == s.home {
				k.list = append(k.list, p)
			}
		}
		resp, err := send(ctx, f, next, s.home, false)
		if k.ends(resp, err) {
			return resp, nil
		}
		return r.eachUntilAnswered(ctx, f, next, k.list, resp, err)
	})))
}

// name is the virtual name of a topic given by name or id; "" if nobody knows the id.
func (r *Routing) name(name string, id [16]byte) string {
	if t := r.topic(name, id); t != nil {
		return t.Name
	}
	return name
}

// produceTopic sends a produce that has partitions of a single topic; "" is one of an id that
// nobody knows.
func (r *Routing) produceTopic(ctx context.Context, req *plugin.Request, next plugin.Handler, topic string) (*plugin.Response, error) {
	if topic == "" {
		return failUnknown(req)
	}
	if home, _ := r.homeOf(topic, [16]byte{}); home == "" {
		return failUnknown(req)
	}
	if !hasRecords(req) {
		return plugin.Fail(req, kafka.InvalidRecord, "no records")
	}
	pass, err := r.env.Gates.Gate(topic).Enter(ctx, req.AtGate())
	if err != nil {
		return nil, err
	}
	s := sending{topic: topic, pass: pass}
	if !r.place(&s) {
		return failUnknown(req)
	}
	resp, err := send(ctx, req, next, s.home, false)
	return r.untilAnswered(ctx, req, next, s, resp, err)
}

// place looks up where a produce goes that passes its gate. False: its topic has been taken away
// while it waited.
func (r *Routing) place(s *sending) bool {
	if s.home, _ = r.homeOf(s.topic, [16]byte{}); s.home == "" {
		s.pass.Leave()
	}
	return s.home != ""
}

func send(ctx context.Context, req *plugin.Request, next plugin.Handler, home string, again bool) (*plugin.Response, error) {
	f := req.With(req.Body)
	f.Target, f.Led = plugin.Target{Cluster: home, Node: plugin.AnyNode}, again
	return plugin.Protect(ctx, f, next)
}

// untilAnswered ends a produce with what came of it, after it was sent again as often as that may
// go well.
func (r *Routing) untilAnswered(ctx context.Context, req *plugin.Request, next plugin.Handler, s sending, resp *plugin.Response, sendErr error) (*plugin.Response, error) {
	for !r.answers(ctx, req, &s, resp, sendErr) {
		why := reason(resp, sendErr)
		req.Trace.SentAgain(s.home, why)
		if sendErr == nil && isGap(resp) {
			// The broker keeps the order. Nobody else has to wait for the batch that is missing.
			pause(req.Session.Context(), req, gapWait<<s.gaps, why)
		} else {
			// The home can't take it now. It goes back to its place in the gate, and the gate opens
			// when the home, or the next one, has reachable leaders.
			r.stall.hold(s.topic)
		}
		var err error
		if s.pass, err = s.pass.Return(ctx, req.AtGate(), func() { plugin.Settle(sendErr) }); err != nil {
			return nil, err
		}
		if !r.place(&s) {
			return failUnknown(req)
		}
		resp, sendErr = send(ctx, req, next, s.home, true)
	}
	s.pass.Leave()
	return resp, sendErr
}

// answers reports that what came of a produce is its answer.
func (r *Routing) answers(ctx context.Context, req *plugin.Request, s *sending, resp *plugin.Response, sendErr error) bool {
	lags := sendErr == nil && r.lags(ctx, s.topic, resp)
	if plugin.MaybeSent(sendErr) || lags {
		s.breaks++
	}
	gap := sendErr == nil && isGap(resp)
	if gap && s.pass.Oldest() {
		s.gaps++
	}
	early := gap || sendErr == nil && resp != nil && resp.Early
	final := sendErr == nil && !early && !s.pass.Overtaken() && !lags
	return final || s.gaps > mostGaps || s.breaks > mostBreaks || !r.again(req, resp, sendErr, lags)
}

// mostBreaks is after how many links that broke under a request, or answers of a broker that does
// not know the topic, with a leader that answers others each time, the request itself is taken for
// the cause. It must not hold its topic for everybody else.
const mostBreaks = 5

// mostGaps is after how many answers 45 OUT_OF_ORDER_SEQUENCE_NUMBER the batch before is taken for
// given up by its client. Only answers count that came when nothing older was open: the batch
// before may be in the gate, to be sent again, or on its way over the client's other connection. A
// client that is shown 45 when it knows the batch before as acknowledged, as librdkafka can be when
// a leader has changed, gives up for good.
const mostGaps = 6

// gapWait is the first pause before a batch behind a gap is sent again; each one is twice as long.
const gapWait = 5 * time.Millisecond

// reason says why a produce is sent again.
func reason(resp *plugin.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	return resp.Body.ErrorCode().Name()
}

// refusesBatches reports an answer that may be due to a batch before, or to a broker that lags
// behind its cluster.
func refusesBatches(resp *plugin.Response) bool { return isGap(resp) || len(unknownTo(resp)) > 0 }

// isGap reports an answer for a batch whose predecessor the broker has not got.
func isGap(resp *plugin.Response) bool {
	return resp != nil && slices.ContainsFunc(resp.Body.View().Partitions, func(p kafka.ResponsePartition) bool { return p.ErrorCode == kafka.OutOfOrderSequenceNumber })
}

// hasRecords reports that no partition of a produce is empty: a broker never answers one that is.
func hasRecords(req *plugin.Request) bool {
	return !slices.ContainsFunc(req.Body.View().Partitions, func(p kafka.RequestPartition) bool { return len(p.Records) == 0 })
}

// again reports whether a produce that failed, or was answered after its gate was held, is to be
// sent again: nothing of it reached the broker, or the broker recognises what it has already. A
// plain batch that may have been appended is answered, with a code that lets its client decide.
func (r *Routing) again(req *plugin.Request, resp *plugin.Response, sendErr error, lags bool) bool {
	if sendErr != nil {
		return errors.Is(sendErr, plugin.ErrUnreachable) && (!plugin.MaybeSent(sendErr) || idempotent(req))
	}
	return refusedForNow(resp, idempotent(req), lags)
}

// idempotent reports that there are batches, and that every one has a sequence number.
func idempotent(req *plugin.Request) bool {
	any := false
	for p := range req.Body.Partitions() {
		for _, b := range kafka.Batches(p.Records) {
			if b.ProducerID() < 0 {
				return false
			}
			any = true
		}
	}
	return any
}

// unknownTo lists the partitions that a broker does not know.
func unknownTo(resp *plugin.Response) (out []int32) {
	if resp == nil {
		return nil
	}
	for p := range resp.Body.Partitions() {
		if p.ErrorCode == kafka.UnknownTopicOrPartition || p.ErrorCode == kafka.UnknownTopicID {
			out = append(out, p.Partition)
		}
	}
	return out
}

// lags reports an answer of a broker that does not know a partition of a topic which its cluster
// has: it lags behind.
func (r *Routing) lags(ctx context.Context, topic string, resp *plugin.Response) bool {
	missing := unknownTo(resp)
	if len(missing) == 0 {
		return false
	}
	t := r.env.Catalog.Topic(topic)
	if t == nil {
		return false
	}
	c := r.env.Cluster(t.Home)
	if c == nil {
		return false
	}
	topo, err := c.Refresh(ctx)
	return err == nil && slices.ContainsFunc(missing, func(p int32) bool { return topo.Has(t.Physical(t.Home), p) })
}

// refusedForNow reports an answer that is due to a change of leaders, to a broker that lags behind
// its cluster, or to a batch before this one that is still to be sent again. Of a plain producer's
// request no part may have been appended.
func refusedForNow(resp *plugin.Response, idempotent, lags bool) bool {
	if resp == nil {
		return false
	}
	refused, others := 0, 0
	for p := range resp.Body.Partitions() {
		switch code := p.ErrorCode; {
		case code == kafka.LeaderNotAvailable, code == kafka.NotLeaderOrFollower, code == kafka.OutOfOrderSequenceNumber, lags && (code == kafka.UnknownTopicOrPartition || code == kafka.UnknownTopicID):
			refused++
		default:
			others++
		}
	}
	return refused > 0 && (idempotent || others == 0)
}
