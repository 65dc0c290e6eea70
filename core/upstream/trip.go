package upstream

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// trip is a session's request on a link and back. Trips are used again: a request in steady state
// allocates nothing here.
type trip struct {
	call
	end     *Dispatcher
	req     *plugin.Request
	cluster *Cluster
	node    int32
	// unanswered is a Produce with acks=0. Brokers say that one failed by closing the connection,
	// which may be busy with other requests and names none: it is sent with acks=1.
	unanswered bool

	began time.Time
	ctx   context.Context // of traces
	note  func(int64)     // sent.Store, bound once
	// Of Start: who is answered.
	walk *chain.Walk
	// Of exchange.
	out  chan outcome
	mu   sync.Mutex
	left bool // nobody waits any more: the memory of the request is used again

	frame []byte
	body  kafka.ResponseBody
	resp  plugin.Response
}

type outcome struct {
	resp *plugin.Response
	err  error
}

func (e *Dispatcher) trip(req *plugin.Request, c *Cluster, node int32) *trip {
	t, ok := e.trips.Get().(*trip)
	if !ok {
		t = &trip{end: e, out: make(chan outcome, 1)}
		// Bound once: a closure per request would be an allocation.
		t.call.encode, t.done, t.resp.Release, t.note = t.encode, t.replied, t.free, t.sent.Store
	}
	t.req, t.cluster, t.node, t.began = req, c, node, time.Now()
	req.Sent(t.began.Sub(req.Arrived))
	return t
}

// free gives the trip and its frame back. Nobody may use its response any more.
func (t *trip) free() {
	if t.frame != nil {
		t.cluster.pool.Recycle(t.frame)
	}
	t.req, t.cluster, t.sets, t.ctx, t.walk, t.frame, t.resp.Body, t.resp.Close = nil, nil, nil, nil, nil, nil, nil, false
	t.link, t.came, t.left = nil, 0, false
	t.sent.Store(0)
	t.body.Reset(0, 0, nil)
	t.end.trips.Put(t)
}

func (t *trip) encode(o *kafka.Out) {
	o.AppendHeader(t.req.Header)
	if t.unanswered {
		t.req.Body.AppendAcknowledged(o)
		return
	}
	t.req.Body.AppendTo(o)
}

// replied takes the reply, or what happened instead.
func (t *trip) replied(frame, body []byte, err error) {
	if err != nil {
		t.cluster.answers.count(t.key, nil)
		t.finish(nil, err)
		return
	}
	t.frame = frame
	t.body.Reset(t.key, t.version, body)
	t.resp.Body = &t.body
	if err = t.virtualized(); err == nil {
		t.cluster.answers.count(t.key, &t.body)
		t.finish(&t.resp, nil)
		return
	}
	t.cluster.answers.count(t.key, nil)
	t.cluster.refuse(err, body)
	if t.key == kmsg.Metadata { // the view that there is, as if the cluster had not answered
		if known, unknown := t.end.lastKnown(t.req, t.cluster); unknown == nil {
			t.finish(known, nil)
			return
		}
	}
	t.finish(nil, err)
}

// virtualized makes the reply one for clients. A panic is one of this reply alone: others wait
// behind it.
func (t *trip) virtualized() (err error) {
	defer guard.Caught(&err)
	return t.end.virtualize(t.key, t.version, t.cluster, &t.body)
}

// finish answers. A trip that was given up (its session has ended, its topic has moved) is answered
// to nobody.
func (t *trip) finish(resp *plugin.Response, err error) {
	w := t.walk
	left := w != nil && !w.Take()
	if left {
		t.leave()
	}
	now := time.Now()
	t.cluster.latency.Record(now.Sub(t.began))
	t.req.Answered(now.Sub(t.req.Arrived))
	if t.req.Trace != nil {
		t.told(resp, now, err)
	}
	switch {
	case w == nil:
		t.out <- outcome{resp, err}
		return
	case resp == nil || left:
		t.free()
	}
	if !left {
		w.Answered(resp, err)
	}
}

// told notes the trip for the trace of its request.
func (t *trip) told(resp *plugin.Response, now time.Time, err error) {
	p := telemetry.Trip{
		Where: t.link.place(t.cluster, t.node), Key: t.req.Key,
		Queued: t.began.UnixNano(), Ended: now.UnixNano(), Sent: t.sent.Load(), Came: t.came, Err: err,
	}
	var answer *kafka.ResponseBody
	if resp != nil {
		answer = resp.Body
		if code := answer.ErrorCode(); !kafka.Ordinary(p.Key, code) {
			p.Code = code.Name()
		}
	}
	if t.req.Trace.Tells(p.Key == kmsg.Fetch || p.Key == kmsg.ShareFetch, err != nil || p.Code != "", now) {
		t.mu.Lock()
		if !t.left {
			p.About = plugin.SubjectOf(p.Key, t.req.Body, answer, t.topicName)
		}
		t.mu.Unlock()
	}
	t.req.Trace.Trip(t.ctx, p)
}

// topicName is the name that a topic id stands for on the cluster.
func (t *trip) topicName(id [16]byte) string {
	if topic := t.cluster.Topology().IDs[id]; topic != nil {
		return topic.Name
	}
	return ""
}

// leave says that nobody waits for the answer any more.
func (t *trip) leave() *link {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left = true
	return t.link
}

// abandon breaks the link if a call that nobody waits for any more is all that is on it: the next
// one has a link of its own then. Others on it are answered when the broker answers the call.
func (l *link) abandon(c *call) {
	l.mu.Lock()
	alone := l.pending.Len() == 1 && l.pending.At(0) == c
	l.mu.Unlock()
	if alone {
		l.fail(errHungUp)
	}
}
