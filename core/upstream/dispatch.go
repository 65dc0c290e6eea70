package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/internal/turn"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Dispatcher is the end of a virtual cluster's chain: it puts requests on the session's links,
// splits what several nodes must answer, repeats what a broken link lost, and presents virtual
// nodes.
type Dispatcher struct {
	clusters []*Cluster
	nodes    *NodeMap
	id       string
	limit    time.Duration
	trips    sync.Pool
}

// NewDispatcher returns the end of the chain of a virtual cluster; the first cluster is the default
// one. Requests that find no broker are repeated until they are limit old.
func NewDispatcher(virtualCluster string, clusters []*Cluster, nodes *NodeMap, limit time.Duration) *Dispatcher {
	return &Dispatcher{clusters: clusters, nodes: nodes, id: VirtualClusterID(virtualCluster), limit: limit}
}

func (e *Dispatcher) cluster(name string) *Cluster {
	if name == "" {
		return e.clusters[0]
	}
	for _, c := range e.clusters {
		if c.cfg.Name == name {
			return c
		}
	}
	return nil
}

// target fills in what no interceptor has decided: the session's own node, or the default cluster.
func (e *Dispatcher) target(req *plugin.Request) (*Cluster, int32, error) {
	name, node := req.Target.Cluster, req.Target.Node
	if name == "" {
		name = req.Session.Cluster
	}
	c := e.cluster(name)
	if c == nil {
		return nil, -1, fmt.Errorf("no cluster %q in this virtual cluster", name)
	}
	if node == plugin.AnyNode && !req.Led && req.Session.Cluster == c.cfg.Name && req.Session.Node != plugin.AnyNode && !c.down(req.Session.Node) && !c.standsIn(req.Session.Node) {
		node = req.Session.Node
	}
	return c, node, nil
}

// linkKey finds a session's link; the links of a session outlive a runtime.
type linkKey struct {
	cluster *Cluster
	node    int32
}

type links struct {
	mu        sync.Mutex
	m         map[linkKey]*link
	closed    bool
	unsettled atomic.Int32
}

func (s *links) Close() error {
	s.mu.Lock()
	all := s.m
	s.m, s.closed = nil, true
	s.mu.Unlock()
	for _, l := range all {
		_ = l.Close()
	}
	return nil
}

// refusal is the error of a request that has no link to go on. Later produces wait for a produce
// that has none: whoever reads the session does not.
func (s *links) refusal(key kmsg.Key, why error) *BrokenError {
	e := &BrokenError{Cause: why}
	if key == kmsg.Produce {
		s.unsettled.Add(1)
		e.settle = func() { s.unsettled.Add(-1) }
	}
	return e
}

// forget drops a link that has ended.
func (s *links) forget(k linkKey, l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[k] == l {
		delete(s.m, k)
	}
}

// HangUp breaks the links of one session to the cluster. What is on its way is repeated as after
// any other break.
func (c *Cluster) HangUp(s *plugin.Session) {
	set, _ := s.Attached(linksKey{}).(*links)
	if set == nil {
		return
	}
	set.mu.Lock()
	var all []*link
	for k, l := range set.m {
		if k.cluster == c {
			all = append(all, l)
		}
	}
	set.mu.Unlock()
	for _, l := range all {
		l.fail(errHungUp)
	}
}

// errHungUp is the end of links that says nothing of their cluster.
var errHungUp = fmt.Errorf("the gateway has hung up: %w", net.ErrClosed)

type linksKey struct{}

func openLinks() io.Closer { return &links{m: map[linkKey]*link{}} }

func (e *Dispatcher) link(s *plugin.Session, key kmsg.Key, c *Cluster, node int32) (*link, error) {
	set, _ := s.Attach(linksKey{}, openLinks).(*links)
	if set == nil {
		return nil, gate.ErrClientGone
	}
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.closed {
		return nil, gate.ErrClientGone
	}
	if key == kmsg.Produce && set.unsettled.Load() > 0 {
		return nil, set.refusal(key, errors.New("an earlier produce of the session waits to be sent again"))
	}
	k := linkKey{c, node}
	if l := set.m[k]; l != nil && !l.broken() {
		return l, nil
	}
	addrs := c.addresses(node)
	if len(addrs) == 0 {
		return nil, set.refusal(key, fmt.Errorf("%s has no known node %d", c.cfg.Name, node))
	}
	var l *link
	l = newLink(func(ctx context.Context) (conn net.Conn, err error) {
		if err := c.ready(ctx); err != nil {
			return nil, err
		}
		for _, addr := range addrs {
			l.dials(addr)
			if conn, err = c.open(ctx, addr); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}, c.pool, c.limit, func(error) {
		set.forget(k, l)
		c.untrack(l)
	})
	l.unsettled, l.session = &set.unsettled, s
	set.m[k] = l
	c.track(l, node)
	c.introduce(l, s)
	return l, nil
}

// direct reports that one node answers the request as it is.
func (e *Dispatcher) direct(req *plugin.Request, c *Cluster, node int32) bool {
	api, _ := kafka.Lookup(req.Key)
	return (node != plugin.AnyNode || api.GoesTo == kafka.Any && !c.ofMany(req)) && !e.namesBrokers(req.Key)
}

// Start puts a request that one node answers as it is on its link, without waiting, in the order of
// the calls; its bytes leave with Flush. False is any other request: Handle does what it takes.
func (e *Dispatcher) Start(ctx context.Context, req *plugin.Request, w *chain.Walk) bool {
	c, node, err := e.target(req)
	if err != nil || !e.direct(req, c, node) {
		return false
	}
	t := e.trip(req, c, node)
	t.ctx, t.walk = ctx, w
	e.start(ctx, t, false)
	return true
}

// Again says what an answer to Start comes to. What a link lost is asked again.
func (e *Dispatcher) Again(req *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
	if errors.Is(err, plugin.ErrNoRoom) {
		return plugin.Wait(func(ctx context.Context, _ plugin.Handler) (*plugin.Response, error) {
			if err := req.Session.AwaitFirst(ctx, req.Seq); err != nil {
				return nil, err
			}
			return e.Handle(ctx, req)
		})
	}
	if api, _ := kafka.Lookup(req.Key); err != nil && e.repeats(req, api, err) {
		return plugin.Wait(func(ctx context.Context, _ plugin.Handler) (*plugin.Response, error) { return e.Handle(ctx, req) })
	}
	return plugin.Answer(resp, err)
}

// Flush sends what Start has queued for the session.
func (e *Dispatcher) Flush(s *plugin.Session) {
	set, _ := s.Attach(linksKey{}, openLinks).(*links)
	if set == nil {
		return
	}
	set.mu.Lock()
	all := make([]*link, 0, 4)
	for _, l := range set.m {
		all = append(all, l)
	}
	set.mu.Unlock()
	for _, l := range all {
		l.flush()
	}
}

// start puts a trip's request on its link.
func (e *Dispatcher) start(ctx context.Context, t *trip, flush bool) {
	req := t.req
	if req.Trace != nil {
		t.ctx, t.sets = ctx, t.note
	}
	l, err := e.link(req.Session, req.Key, t.cluster, t.node)
	if err != nil {
		t.finish(nil, err)
		return
	}
	t.seq, t.key, t.version, t.unanswered, t.deadline = req.Seq, req.Key, req.Version, req.Unanswered(), deadline(req, t.began)
	own := req.Turn() // t and req may be used again before send returns
	l.send(&t.call, flush && (!turn.Held(own) || !req.More))
	turn.Give(own)
}

// deadline is when a broker that has not answered what was queued at a time is taken for dead.
// Joins wait for other members.
func deadline(req *plugin.Request, queued time.Time) time.Time {
	switch req.Key {
	case kmsg.JoinGroup, kmsg.SyncGroup:
		return time.Time{}
	case kmsg.Fetch, kmsg.ShareFetch:
		return queued.Add(maxWait(req) + 15*time.Second)
	case kmsg.Produce:
		return queued.Add(40 * time.Second)
	}
	return queued.Add(60 * time.Second)
}

// maxWait is how long a Fetch or ShareFetch may wait for records.
func maxWait(req *plugin.Request) time.Duration {
	if req.Key == kmsg.Fetch {
		return time.Duration(req.Body.View().MaxWaitMillis) * time.Millisecond
	}
	msg, err := req.Body.Peek()
	if m, ok := msg.(*kmsg.ShareFetchRequest); ok && err == nil {
		return time.Duration(m.MaxWaitMillis) * time.Millisecond
	}
	return 0
}

// Handle sends req and waits for its answer.
func (e *Dispatcher) Handle(ctx context.Context, req *plugin.Request) (*plugin.Response, error) {
	api, _ := kafka.Lookup(req.Key)
	wait := 20 * time.Millisecond
	breaks := 0
	for own := true; ; own = false {
		resp, err := e.once(ctx, req, api, own)
		if err == nil || !e.repeats(req, api, err) {
			return resp, err
		}
		if plugin.MaybeSent(err) {
			if breaks++; breaks > mostBreaks && e.answers(ctx, req) {
				return nil, err // the request itself is what breaks links
			}
		}
		turn.Give(req.Turn())
		if own {
			continue
		}
		until := req.Arrived.Add(e.limit)
		if req.Key == kmsg.Fetch || req.Key == kmsg.ShareFetch {
			until = req.Arrived.Add(maxWait(req))
		}
		left := time.Until(until)
		if left <= 0 {
			return nil, err
		}
		resume := req.Pause(err.Error(), trace.SpanContext{})
		slept := guard.Sleep(ctx, min(wait, left))
		resume()
		if !slept {
			return nil, ctx.Err()
		}
		wait = min(2*wait, 500*time.Millisecond)
		if c, _, terr := e.target(req); terr == nil && api.GoesTo == kafka.Leader && c.Reachable() {
			rctx, cancel := context.WithTimeout(ctx, healthTimeout)
			_, _ = c.Refresh(rctx)
			cancel()
		}
	}
}

// mostBreaks is after how many links that broke under a request the request itself may be the
// cause.
const mostBreaks = 5

// answers asks the cluster that a request goes to whether it answers others.
func (e *Dispatcher) answers(ctx context.Context, req *plugin.Request) bool {
	c, node, err := e.target(req)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	ask := kmsg.NewPtrMetadataRequest()
	ask.Topics = []kmsg.MetadataRequestTopic{}
	_, err = c.Do(ctx, node, ask)
	return err == nil
}

// repeats reports whether a request that a link lost may be sent again from here. Produces may not:
// their order is their gate's matter. What may have been carried out already is repeated only if
// doing it twice changes nothing.
func (e *Dispatcher) repeats(req *plugin.Request, api kafka.API, err error) bool {
	if !errors.Is(err, plugin.ErrUnreachable) || req.Key == kmsg.Produce || req.Session.Context().Err() != nil {
		return false
	}
	var broken *BrokenError
	if !errors.As(err, &broken) || !broken.Sent {
		return true
	}
	return api.Repeatable
}

// once makes one attempt. own prefers the node that the client dialled.
func (e *Dispatcher) once(ctx context.Context, req *plugin.Request, api kafka.API, own bool) (*plugin.Response, error) {
	c, node, err := e.target(req)
	if err != nil {
		return nil, err
	}
	if !own && req.Target.Node == plugin.AnyNode {
		node = plugin.AnyNode
	}
	if e.namesBrokers(req.Key) {
		return e.askBrokers(ctx, req, c, node)
	}
	if node == plugin.AnyNode {
		if c.ofMany(req) {
			return e.ofAll(ctx, req, c)
		}
		req = c.anyRack(req)
		switch api.GoesTo {
		case kafka.Leader:
			return e.byLeader(ctx, req, c)
		case kafka.Coordinator:
			if node, err = e.coordinator(ctx, req, c); err != nil {
				return nil, err
			}
		case kafka.Controller:
			node = c.controller()
		}
	}
	resp, err := e.exchange(ctx, req, c, node)
	if err != nil && req.Key == kmsg.Metadata && errors.Is(err, plugin.ErrUnreachable) && !c.Reachable() {
		return e.lastKnown(req, c)
	}
	return resp, err
}

// exchange sends req to one node and waits.
func (e *Dispatcher) exchange(ctx context.Context, req *plugin.Request, c *Cluster, node int32) (*plugin.Response, error) {
	t := e.trip(req, c, node)
	e.start(ctx, t, true)
	var wake <-chan struct{}
	if req.Waker != nil {
		if wake = req.Waker.Changed(); req.Waker.Outdated() && req.Waker.GiveUp() {
			t.leave()
			return nil, plugin.ErrMoved
		}
	}
	for {
		select {
		case r := <-t.out:
			if r.resp == nil {
				t.free()
			}
			if errors.Is(r.err, plugin.ErrNoRoom) && req.Session.AwaitFirst(ctx, req.Seq) == nil {
				return e.exchange(ctx, req, c, node)
			}
			return r.resp, r.err
		case <-wake:
			if wake = req.Waker.Changed(); req.Waker.GiveUp() {
				t.leave()
				return nil, plugin.ErrMoved
			}
		case <-ctx.Done():
			if l := t.leave(); l != nil && deadline(req, time.Time{}).IsZero() { // it may be answered in minutes, and what comes next only behind it
				l.abandon(&t.call)
			}
			return nil, ctx.Err()
		}
	}
}
