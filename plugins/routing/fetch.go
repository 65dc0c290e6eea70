package routing

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/fork"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// verdict is what a Fetch does with a partition.
type verdict struct {
	kind    verdictKind
	cluster string
}

type verdictKind uint8

const (
	serve     verdictKind = iota // by verdict.cluster
	unknown                      // answered as unknown
	elsewhere                    // answered 6, with a hint where it lives now (KIP-951)
	quiet                        // answered empty: between the commit of a move and its publish
	muted                        // answered empty: the client is a member that has to join again
)

// fetchDown serves each partition from its home. A client that asks a node of another cluster has
// missed a move and is told the new leader. Fetches come without a session: those of clients end in
// core/server (KIP-227).
func (r *Routing) fetchDown(req *plugin.Request, s *plugin.Step) plugin.Outcome {
	w := plugin.Keep[watch](s)
	w.asks(r, req)
	home, ok := r.servedByOne(req)
	if !ok {
		return plugin.Wait(func(ctx context.Context, next plugin.Handler) (*plugin.Response, error) {
			return r.fetchDivided(ctx, req, next)
		})
	}
	req.Target = plugin.Target{Cluster: home, Node: plugin.AnyNode}
	req.Waker = w
	return plugin.GoOn()
}

// fetchUp answers a fetch whose topics have moved, or whose home is unreachable.
func (r *Routing) fetchUp(ctx context.Context, req *plugin.Request, resp *plugin.Response, err error) plugin.Outcome {
	switch {
	case err == nil || ctx.Err() != nil:
		return plugin.Answer(resp, err)
	case errors.Is(err, plugin.ErrMoved):
		return plugin.Answer(r.moved(req))
	}
	return plugin.Wait(func(ctx context.Context, _ plugin.Handler) (*plugin.Response, error) {
		return r.noRecords(ctx, req, maxWait(req), err.Error())
	})
}

// fetchDivided asks the homes of the partitions side by side.
func (r *Routing) fetchDivided(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	for p := range req.Body.Partitions() {
		if t := r.env.Catalog.Find(p.Topic, p.ID); t != nil {
			r.env.Gates.Readers.Note(req.Session, t.Name, p.Partition, p.Offset, req.Arrived)
		}
	}
	keys, bodies, err := fork.Split(req.Body, func(p fork.Part) verdict { return r.fetchVerdict(askerOf(req), p) })
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return r.empty(req), nil
	}
	forks := req.Fork(len(keys), "cluster")
	verdicts := map[*plugin.Request]verdict{}
	for i, k := range keys {
		forks[i].Body = bodies[i]
		forks[i].Target = plugin.Target{Cluster: k.cluster, Node: plugin.AnyNode}
		verdicts[forks[i]] = k
	}
	results := fork.Parallel(ctx, forks, plugin.HandlerFunc(func(ctx context.Context, q *plugin.Request) (*plugin.Response, error) {
		switch v := verdicts[q]; v.kind {
		case unknown:
			return failUnknown(q)
		case elsewhere:
			return r.hint(q), nil
		case quiet:
			return r.noRecords(ctx, q, min(maxWait(q), 500*time.Millisecond), "the move of its topic is not published yet")
		}
		if verdicts[q].kind == muted {
			return r.noRecords(ctx, q, min(maxWait(q), 500*time.Millisecond), "its group has moved, and it has not joined again")
		}
		w := &watch{}
		w.asks(r, q)
		q.Waker = w
		resp, err := plugin.Protect(ctx, q, next)
		switch {
		case err == nil || ctx.Err() != nil:
			return resp, err
		case errors.Is(err, plugin.ErrMoved):
			return r.moved(q)
		}
		return r.noRecords(ctx, q, maxWait(q), err.Error()) // its home is unreachable
	}))
	return fork.Gather(forks, results)
}

// servedByOne reports that one cluster serves every partition of a fetch.
func (r *Routing) servedByOne(req *plugin.Request) (home string, ok bool) {
	h := req.Body.View()
	if len(h.Partitions) == 0 {
		return "", false
	}
	var t *catalog.Topic
	for i := range h.Partitions {
		p := &h.Partitions[i]
		if i == 0 || p.ID != h.Partitions[i-1].ID || string(p.Topic) != string(h.Partitions[i-1].Topic) {
			if t = r.env.Catalog.Find(p.Topic, p.ID); t == nil {
				return "", false
			}
			v := r.verdictOf(askerOf(req), t.Name, t)
			if v.kind != serve || i > 0 && v.cluster != home {
				return "", false
			}
			home = v.cluster
		}
		r.env.Gates.Readers.Note(req.Session, t.Name, p.Partition, p.Offset, req.Arrived)
	}
	return home, true
}

// watch ends the wait for a home's answer when a topic of the request has moved: a consumer that
// waits for records at the old home is told at once where they will come.
type watch struct {
	r      *Routing
	by     asker
	body   *kafka.RequestBody // as routing has found it
	judged uint64             // after how many moves
}

// asker is who fetches.
type asker struct {
	session *plugin.Session
	client  string // id
}

func askerOf(req *plugin.Request) asker { return asker{req.Session, req.ClientID} }

// asks is called before the request is judged.
func (w *watch) asks(r *Routing, req *plugin.Request) {
	*w = watch{r, askerOf(req), req.Body, r.env.Gates.Moves()}
}

func (w *watch) Outdated() bool { return w.r.env.Gates.Moves() != w.judged }

func (w *watch) Changed() <-chan struct{} { return w.r.env.Gates.Moved() }

func (w *watch) GiveUp() bool {
	for _, p := range fork.PartsOf(w.body) {
		if k := w.r.fetchVerdict(w.by, p).kind; k == elsewhere || k == muted {
			return true
		}
	}
	return false
}

// moved answers a fetch of which a topic has moved: it with the new leader, the others with nothing
// yet.
func (r *Routing) moved(req *plugin.Request) (*plugin.Response, error) {
	keys, bodies, err := fork.Split(req.Body, func(p fork.Part) bool { return r.fetchVerdict(askerOf(req), p).kind == elsewhere })
	if err != nil {
		return nil, err
	}
	parts := make([]fork.Result, len(keys))
	forks := make([]*plugin.Request, len(keys))
	for i, moved := range keys {
		forks[i] = &plugin.Request{Header: req.Header, Body: bodies[i], Session: req.Session}
		if moved {
			parts[i].Response = r.hint(forks[i])
		} else {
			parts[i].Response = r.empty(forks[i])
		}
	}
	return fork.Gather(forks, parts)
}

// maxWait is how long a fetch may wait for records.
func maxWait(req *plugin.Request) time.Duration {
	return time.Duration(req.Body.View().MaxWaitMillis) * time.Millisecond
}

// noRecords answers success without records when a fetch has waited for so long; why says what for.
func (r *Routing) noRecords(ctx context.Context, req *plugin.Request, wait time.Duration, why string) (*plugin.Response, error) {
	pause(ctx, req, time.Until(req.Arrived.Add(wait)), why)
	return r.empty(req), nil
}

// empty answers success without records, with the watermarks that clients were shown last: they
// compute lag and ends of partitions from them.
func (r *Routing) empty(req *plugin.Request) *plugin.Response {
	asked := req.Body.View().Partitions
	list := make([]kafka.PartitionAnswer, len(asked))
	for i := range asked {
		list[i] = kafka.AnswerTo(i, 0)
		if t := r.env.Catalog.Find(asked[i].Topic, asked[i].ID); t != nil {
			w := t.Watermarks(asked[i].Partition)
			list[i].HighWatermark, list[i].LastStableOffset, list[i].LogStartOffset = w.High, w.Stable, w.Start
		}
	}
	return &plugin.Response{Body: req.Body.Answer(list, nil)}
}

func pause(ctx context.Context, req *plugin.Request, d time.Duration, why string) {
	if d <= 0 {
		return
	}
	defer req.Pause(why, trace.SpanContext{})()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (r *Routing) fetchVerdict(by asker, p fork.Part) verdict {
	t := r.topic(p.Topic, p.ID)
	name := p.Topic
	if t != nil {
		name = t.Name
	}
	return r.verdictOf(by, name, t)
}

// verdictOf is what a Fetch does with the partitions of a topic; t is nil for one that the catalog
// does not know.
func (r *Routing) verdictOf(by asker, name string, t *catalog.Topic) verdict {
	if name == "" {
		return verdict{kind: unknown}
	}
	home, shown := r.homeOf(name, [16]byte{})
	if !shown {
		return verdict{kind: unknown}
	}
	if t != nil && t.Before != nil {
		return verdict{kind: quiet}
	}
	if s := by.session; s.Node != plugin.AnyNode && s.Cluster != home {
		return verdict{kind: elsewhere, cluster: home}
	}
	if r.env.Groups != nil && r.env.Groups.Quiet() && r.env.Groups.Mutes(by.client, hostOf(by.session), name) {
		return verdict{kind: muted}
	}
	return verdict{kind: serve, cluster: home}
}

// hint answers 6 for every partition and says who leads it now.
func (r *Routing) hint(req *plugin.Request) *plugin.Response {
	asked := req.Body.View().Partitions
	list := make([]kafka.PartitionAnswer, len(asked))
	var nodes []kafka.Endpoint
	for i := range asked {
		list[i] = kafka.AnswerTo(i, kafka.NotLeaderOrFollower)
		node, epoch := r.leader(r.env.Catalog.Find(asked[i].Topic, asked[i].ID), asked[i].Partition)
		if node.ID >= 0 {
			list[i].LeaderID, list[i].LeaderEpoch = node.ID, epoch
			nodes = append(nodes, kafka.Endpoint(node))
		}
	}
	return &plugin.Response{Body: req.Body.Answer(list, nodes)}
}

// leader is the virtual node and virtual epoch of a partition's leader at its home.
func (r *Routing) leader(t *catalog.Topic, partition int32) (plugin.VirtualNode, int32) {
	none := plugin.VirtualNode{ID: -1}
	if t == nil {
		return none, -1
	}
	c := r.env.Cluster(t.Home)
	if c == nil {
		return none, -1
	}
	node, epoch := c.Topology().Leader(t.Physical(t.Home), partition)
	if node < 0 {
		return none, -1
	}
	return r.env.Nodes.Virtual(t.Home, node), t.Partition(partition).VirtualEpoch(epoch)
}
