package failover

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/fence"
)

// Fencer keeps writers that go past the gateway away from a topic on a cluster, and lets them in
// again.
type Fencer interface {
	Ask(ctx context.Context, c fence.Call) error
}

// How long a fence that could not be lifted is left alone, at first and at most.
const (
	liftFirst = time.Second
	liftMost  = time.Minute
)

// fences know where writers are kept away. A fence is stored before it is asked for, and forgotten
// when it was lifted: what a gateway that stopped has left behind is known to the next one. One
// stands on a cluster for as long as the topic lives elsewhere; on the topic's home it is lifted,
// unless a move is at it.
type fences struct {
	catalog *catalog.Catalog
	log     *slog.Logger

	mu       sync.Mutex
	standing map[fenceAt]*raised
	busy     map[place]chan struct{} // closed when it is free
	number   int64                   // of the last call
}

// fenceAt is where a fence stands.
type fenceAt struct {
	place
	cluster string
}

// raised is a fence as it was last asked for.
type raised struct {
	fence.Call
	wait   time.Duration // after the last try to lift it
	next   time.Time     // when it is tried again
	reason string        // why it could not be
}

func at(c fence.Call) fenceAt {
	return fenceAt{place{c.VirtualCluster, Movable{Topic, c.Topic}}, c.Cluster}
}

func (a fenceAt) key() string { return a.virtualCluster + "\x00" + a.Name + "\x00" + a.cluster }

func newFences(cat *catalog.Catalog, log *slog.Logger) *fences {
	f := &fences{catalog: cat, log: log, standing: map[fenceAt]*raised{}, busy: map[place]chan struct{}{}}
	for _, k := range cat.Keys(catalog.KindFence) {
		var c fence.Call
		if ok, err := cat.Value(catalog.KindFence, k, &c); ok && err == nil {
			f.standing[at(c)], f.number = &raised{Call: c}, max(f.number, c.Number)
		}
	}
	return f
}

// take waits until nobody else asks for fences of something, so that no answer that comes late
// undoes what was asked for since. free ends it.
func (f *fences) take(ctx context.Context, p place) (free func(), err error) {
	for {
		f.mu.Lock()
		other := f.busy[p]
		if other == nil {
			free = f.takeFree(p)
		}
		f.mu.Unlock()
		if other == nil {
			return free, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// takeFree takes what nobody is at. f.mu is held.
func (f *fences) takeFree(p place) (free func()) {
	mine := make(chan struct{})
	f.busy[p] = mine
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.busy, p)
		close(mine)
	}
}

// next is the number of the next call.
func (f *fences) next() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.number = max(f.number+1, time.Now().UnixMicro())
	return f.number
}

// raise asks for a fence. Also when that fails the fence counts as standing: it may have been
// raised all the same.
func (f *fences) raise(ctx context.Context, by Fencer, c fence.Call) error {
	c.Action, c.Number = fence.Raise, f.next()
	if err := f.catalog.SetValue(ctx, catalog.KindFence, at(c).key(), c); err != nil {
		return err
	}
	f.mu.Lock()
	f.standing[at(c)] = &raised{Call: c}
	f.mu.Unlock()
	return by.Ask(ctx, c)
}

// lift lets writers in again.
func (f *fences) lift(ctx context.Context, by Fencer, r *raised) {
	c := r.Call
	c.Action, c.Number = fence.Lift, f.next()
	log := f.log.With("virtual_cluster", c.VirtualCluster, "topic", c.Topic, "cluster", c.Cluster)
	err := by.Ask(ctx, c)
	if err == nil {
		err = f.catalog.SetValue(context.WithoutCancel(ctx), catalog.KindFence, at(c).key(), nil)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.standing, at(c))
		log.InfoContext(ctx, "fence lifted")
		return
	}
	r.wait = min(max(2*r.wait, liftFirst), liftMost)
	r.next = time.Now().Add(r.wait)
	if now := gist(err); now != r.reason && ctx.Err() == nil {
		r.reason = now
		log.WarnContext(ctx, "fence not lifted: it is tried again", "reason", err)
	}
}

// due takes the fences that should be lifted now, and that nobody is at.
func (f *fences) due(env Env) map[*raised]func() {
	out := map[*raised]func(){}
	f.mu.Lock()
	defer f.mu.Unlock()
	for where, r := range f.standing {
		if where.virtualCluster == env.VirtualCluster && f.busy[where.place] == nil && onHome(env.Catalog, where) && !time.Now().Before(r.next) {
			out[r] = f.takeFree(where.place)
		}
	}
	return out
}

// onHome reports a fence that has no reason any more: the topic lives there, or is gone.
func onHome(of *catalog.Virtual, where fenceAt) bool {
	t := of.Topic(where.Name)
	return t == nil || t.Home == where.cluster
}

// Lift has writers let in again where topics of a virtual cluster live. It waits for nothing: what
// fails is tried again when it is called again.
func (r *Runner) Lift(env Env) {
	if env.Fence == nil {
		return
	}
	for x, free := range r.fences.due(env) {
		r.wg.Go(func() {
			defer free()
			r.fences.lift(r.ctx, env.Fence, x)
		})
	}
}

// Fences counts the fences of a virtual cluster, by the cluster that they stand on: those that keep
// writers away from where a topic does not live, and those that are to be lifted.
func (r *Runner) Fences(vc string, of *catalog.Virtual) (standing, lifting map[string]int) {
	standing, lifting = map[string]int{}, map[string]int{}
	r.fences.mu.Lock()
	defer r.fences.mu.Unlock()
	for where := range r.fences.standing {
		switch {
		case where.virtualCluster != vc:
		case onHome(of, where):
			lifting[where.cluster]++
		default:
			standing[where.cluster]++
		}
	}
	return standing, lifting
}

// fence has writers that go past the gateway kept away from the old home: what they have written
// before is copied, and compared, before the commit. Without that a planned move is given up; one
// of a home that is gone goes on.
func (t *topicMove) fence(ctx context.Context) error {
	if t.env.Fence == nil {
		return nil
	}
	t.enter(Fence)
	planned := t.found.Home != nil
	err := t.runner.fences.raise(ctx, t.env.Fence, fence.Call{
		VirtualCluster: t.report.VirtualCluster, Topic: t.name, Cluster: t.report.From, ClusterTopic: t.found.topic.Physical(t.report.From),
		Move: t.report.ID, To: t.report.To, Planned: planned,
	})
	switch {
	case err == nil:
	case planned:
		return block.Because(block.ByFence, fmt.Errorf("%s is not fenced: %w", t.report.From, err))
	default:
		t.change(func(r *Report) { r.Notes = append(r.Notes, fmt.Sprintf("%s is not fenced: %v", t.report.From, err)) })
	}
	return nil
}
