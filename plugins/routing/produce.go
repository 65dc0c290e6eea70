package routing

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// produce passes the gates of the topics and sends each to its home. What a gate holds waits there
// in the order of arrival; the rest of the request leaves at its turn, and the answers are merged.
func (r *Routing) produce(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	if h := req.Body.Hot(); h != nil && !h.Transactional && oneTopic(h.Partitions) {
		if known := r.env.Catalog.Find(h.Partitions[0].Topic, h.Partitions[0].ID); known != nil {
			return r.produceTopic(ctx, req, next, known.Name)
		}
		return r.produceTopic(ctx, req, next, string(h.Partitions[0].Topic))
	}
	p, err := req.Body.Produce()
	if err != nil {
		return nil, err
	}
	if p.TransactionID != nil {
		return r.produceTransactional(ctx, req, next, p)
	}
	return r.produceByTopic(ctx, req, next, p)
}

// oneTopic reports that all partitions are of one topic.
func oneTopic(list []kafka.HotPartition) bool {
	for i := range list {
		if list[i].ID != list[0].ID || string(list[i].Topic) != string(list[0].Topic) {
			return false
		}
	}
	return len(list) > 0
}

// produceByTopic sends each topic through its gate.
func (r *Routing) produceByTopic(ctx context.Context, req *plugin.Request, next plugin.Handler, p *kmsg.ProduceRequest) (*plugin.Response, error) {
	keys, bodies, err := plugin.Split(req.Body, func(part plugin.Part) string { return r.name(part.Topic, part.ID) })
	if err != nil {
		return nil, err
	}
	switch len(keys) {
	case 0: // no partitions
		return r.to(ctx, req, next, r.first().Name())
	case 1:
		return r.produceTopic(ctx, req, next, r.written(p))
	}
	forks := req.Fork(len(keys), "topic")
	for i := range forks {
		forks[i].Body = bodies[i]
	}
	return plugin.Gather(forks, plugin.Parallel(ctx, forks, plugin.HandlerFunc(func(ctx context.Context, f *plugin.Request) (*plugin.Response, error) {
		p, err := f.Body.Produce()
		if err != nil {
			return nil, err
		}
		return r.produceTopic(ctx, f, next, r.written(p))
	})))
}

// written names the topic of a produce that has partitions of one; it may list others without any.
func (r *Routing) written(p *kmsg.ProduceRequest) string {
	for i := range p.Topics {
		if t := &p.Topics[i]; len(t.Partitions) > 0 {
			return r.name(t.Topic, t.TopicID)
		}
	}
	return ""
}

// name is the virtual name of a topic given by name or id; "" if nobody knows the id.
func (r *Routing) name(name string, id [16]byte) string {
	if t := r.topic(name, id); t != nil {
		return t.Name
	}
	return name
}

// produceTopic sends a produce that has partitions of a single topic; "" is one of an id that nobody knows.
func (r *Routing) produceTopic(ctx context.Context, req *plugin.Request, next plugin.Handler, topic string) (*plugin.Response, error) {
	if topic == "" {
		return failUnknown(req)
	}
	if home, _ := r.homeOf(topic, [16]byte{}); home == "" {
		return failUnknown(req)
	}
	if !r.hasRecords(req) {
		return plugin.Fail(req, invalidRecord, "no records")
	}
	gate := r.env.Gates.Gate(topic)
	pass, err := gate.Enter(ctx, req)
	if err != nil {
		return nil, err
	}
	for breaks, gaps, again := 0, 0, false; ; again = true {
		home, _ := r.homeOf(topic, [16]byte{})
		if home == "" { // taken away while it waited
			pass.Leave()
			return failUnknown(req)
		}
		f := req.With(req.Body)
		f.Target, f.Led = plugin.Target{Cluster: home, Node: plugin.AnyNode}, again
		resp, sendErr := plugin.Protect(ctx, f, next)
		lags := sendErr == nil && r.lags(ctx, topic, resp)
		if plugin.MaybeSent(sendErr) || lags {
			breaks++
		}
		gap := sendErr == nil && isGap(resp)
		if gap && pass.Oldest() {
			gaps++
		}
		early := gap || sendErr == nil && resp != nil && resp.Early
		if gaps > mostGaps || (sendErr == nil && !early && !pass.Overtaken() && !lags) || breaks > mostBreaks || !r.again(req, resp, sendErr, lags) {
			pass.Leave()
			return resp, sendErr
		}
		why := reason(resp, sendErr)
		req.Trace.SentAgain(home, why)
		if gap {
			// The broker keeps the order. Nobody else has to wait for the batch that is missing.
			pause(req.Session.Context(), req, gapWait<<gaps, why)
		} else {
			// The home can't take it now. It goes back to its place in the gate, and the gate opens
			// when the home, or the next one, has reachable leaders.
			r.stall.hold(topic)
		}
		if pass, err = pass.Return(ctx, req, func() { plugin.Settle(sendErr) }); err != nil {
			return nil, err
		}
	}
}

// mostBreaks is after how many links that broke under a request, or answers of a broker that does not know
// the topic, with a leader that answers others each time, the request itself is taken for the cause. It must not hold its topic for everybody else.
const mostBreaks = 5

// mostGaps is after how many answers 45 OUT_OF_ORDER_SEQUENCE_NUMBER the batch before is taken for given up by its
// client. Only answers count that came when nothing older was open: the batch before may be in the gate, to be sent
// again, or on its way over the client's other connection. A client that is shown 45 when it knows the batch before
// as acknowledged, as librdkafka can be when a leader has changed, gives up for good.
const mostGaps = 6

// gapWait is the first pause before a batch behind a gap is sent again; each one is twice as long.
const gapWait = 5 * time.Millisecond

// reason says why a produce is sent again.
func reason(resp *plugin.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	return kafka.ErrorName(resp.Body.ErrorCode())
}

// isGap reports an answer for a batch whose predecessor the broker has not got.
func isGap(resp *plugin.Response) bool {
	if resp == nil {
		return false
	}
	if h := resp.Body.Hot(); h != nil {
		return slices.ContainsFunc(h.Partitions, func(p kafka.HotAnswer) bool { return p.ErrorCode == outOfOrderSequence })
	}
	p, err := resp.Body.Produce()
	return err == nil && slices.ContainsFunc(p.Topics, func(t kmsg.ProduceResponseTopic) bool {
		return slices.ContainsFunc(t.Partitions, func(p kmsg.ProduceResponseTopicPartition) bool { return p.ErrorCode == outOfOrderSequence })
	})
}

// hasRecords reports that no partition of a produce is empty: a broker never answers one that is.
func (r *Routing) hasRecords(req *plugin.Request) bool {
	if h := req.Body.Hot(); h != nil {
		return !slices.ContainsFunc(h.Partitions, func(p kafka.HotPartition) bool { return len(p.Records) == 0 })
	}
	p, err := req.Body.Produce()
	if err != nil {
		return true // the next to decode it says so
	}
	for _, t := range p.Topics {
		if slices.ContainsFunc(t.Partitions, func(p kmsg.ProduceRequestTopicPartition) bool { return len(p.Records) == 0 }) {
			return false
		}
	}
	return true
}

// again reports whether a produce that failed, or was answered after its gate was held, is to be sent
// again: nothing of it reached the broker, or the broker recognises what it has already. A plain batch
// that may have been appended is answered, with a code that lets its client decide.
func (r *Routing) again(req *plugin.Request, resp *plugin.Response, sendErr error, lags bool) bool {
	p, err := req.Body.Produce()
	switch {
	case err != nil:
		return false
	case sendErr != nil:
		return errors.Is(sendErr, plugin.ErrUnreachable) && (!plugin.MaybeSent(sendErr) || idempotent(p))
	}
	return refusedForNow(resp, idempotent(p), lags)
}

// idempotent reports that there are batches, and that every one has a sequence number.
func idempotent(p *kmsg.ProduceRequest) bool {
	any := false
	for _, t := range p.Topics {
		for _, part := range t.Partitions {
			for _, b := range kafka.Batches(part.Records) {
				if b.ProducerID() < 0 {
					return false
				}
				any = true
			}
		}
	}
	return any
}

// unknownTo lists the partitions that a broker does not know.
func unknownTo(resp *plugin.Response) (out []int32) {
	if resp == nil {
		return nil
	}
	is := func(code int16) bool { return code == unknownTopic || code == unknownTopicID }
	if h := resp.Body.Hot(); h != nil {
		for i := range h.Partitions {
			if is(h.Partitions[i].ErrorCode) {
				out = append(out, h.Partitions[i].Partition)
			}
		}
		return out
	}
	p, err := resp.Body.Produce()
	if err != nil {
		return nil
	}
	for _, t := range p.Topics {
		for i := range t.Partitions {
			if is(t.Partitions[i].ErrorCode) {
				out = append(out, t.Partitions[i].Partition)
			}
		}
	}
	return out
}

// lags reports an answer of a broker that does not know a partition of a topic which its cluster has: it lags behind.
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

// refusedForNow reports an answer that is due to a change of leaders, to a broker that lags behind its
// cluster, or to a batch before this one that is still to be sent again. Of a plain producer's request no part may have been appended.
func refusedForNow(resp *plugin.Response, idempotent, lags bool) bool {
	r, err := resp.Body.Produce()
	if err != nil {
		return false
	}
	refused, others := 0, 0
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			switch code := p.ErrorCode; {
			case code == leaderNotAvailable, code == notLeader, code == outOfOrderSequence, lags && (code == unknownTopic || code == unknownTopicID):
				refused++
			default:
				others++
			}
		}
	}
	return refused > 0 && (idempotent || others == 0)
}
