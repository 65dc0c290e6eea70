package failover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/joint"
)

// point is where moves that commit together wait for each other.
type point int

const (
	allChecked  point = iota // nobody is held before every pre-check has passed
	allPrepared              // nothing is committed before every copy is complete
)

// together joins moves that commit in one write, or not at all. A move of its own is alone.
type together struct {
	mu      sync.Mutex
	members map[*move]int // the attempt that each takes part in
	rounds  map[roundKey]*round
	failed  int // the last attempt that failed for all, and why
	reason  error
}

type roundKey struct {
	attempt int
	at      point
}

// round is one meeting of all members.
type round struct {
	tasks []*task
	done  chan struct{}
	err   error
}

func newTogether() *together {
	return &together{members: map[*move]int{}, rounds: map[roundKey]*round{}}
}

// join adds a move; all join before the first one begins.
func (g *together) join(m *move) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members[m] = 0
}

// alone reports that nobody else commits with it.
func (g *together) alone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members) == 1
}

// begin lets a member take part in the attempt behind the last one that failed for all: others may
// have made several while it made one.
func (g *together) begin(m *move) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members[m] = g.failed + 1
}

// fail ends the attempt of a member for all.
func (g *together) fail(m *move, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end(g.members[m], block.As(block.ByGroup, fmt.Errorf("it moves together with %s: %w", m.report.What(), err)))
}

// leave takes a move out that has ended; the others go on without it.
func (g *together) leave(m *move) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.members, m)
	for k := range g.rounds {
		g.end(k.attempt, fmt.Errorf("%s does not move together with it any more", m.report.What()))
	}
}

// end lets an attempt fail for those that wait, and those that are still to come.
func (g *together) end(attempt int, reason error) {
	if attempt <= g.failed {
		return
	}
	g.failed, g.reason = attempt, reason
	for k, r := range g.rounds {
		r.err = reason
		close(r.done)
		delete(g.rounds, k)
	}
}

// meet waits for all members to come to a point. What the last one brings as do is then done once,
// for all, and its error is everybody's.
func (g *together) meet(ctx context.Context, t *task, at point, do func([]*task) error) error {
	g.mu.Lock()
	k := roundKey{g.members[t.move], at}
	if k.attempt <= g.failed {
		defer g.mu.Unlock()
		return g.reason
	}
	r := g.rounds[k]
	if r == nil {
		r = &round{done: make(chan struct{})}
		g.rounds[k] = r
	}
	r.tasks = append(r.tasks, t)
	last := len(r.tasks) == len(g.members)
	if last {
		delete(g.rounds, k)
	}
	g.mu.Unlock()
	if last {
		if do != nil {
			r.err = do(r.tasks)
		}
		close(r.done)
		return r.err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	if g.rounds[k] == r { // after this nobody can start it
		g.end(k.attempt, fmt.Errorf("it moves together with %s: %w", t.report.What(), ctx.Err()))
	}
	g.mu.Unlock()
	<-r.done
	return r.err
}

// errReplaced says that a newer edit has taken a move's place.
var errReplaced = errors.New("a newer edit took its place")

// commit lets moves commit together, or not at all.
func commit(ctx context.Context, all []*task) error {
	for _, t := range all {
		if !t.tryCommit() {
			return errReplaced
		}
	}
	return writeAll(ctx, all)
}

// prepared is a move that may commit until its ctx ends.
type prepared struct {
	ctx context.Context
	*task
}

// commitAlone lets a move commit in one write with those that are prepared at the same time; each
// of them commits, or fails, alone.
func (r *Runner) commitAlone(ctx context.Context, t *task) error {
	_, err := r.commits.Do(context.WithoutCancel(ctx), t.env.Catalog, &prepared{ctx, t}, func(round []*joint.Ask[*prepared, struct{}]) {
		var ready []*joint.Ask[*prepared, struct{}]
		var all []*task
		for _, a := range round {
			if a.Err = a.Question.ctx.Err(); a.Err == nil && !a.Question.tryCommit() {
				a.Err = errReplaced
			}
			if a.Err == nil {
				ready, all = append(ready, a), append(all, a.Question.task)
			}
		}
		if len(all) == 0 || writeAll(context.WithoutCancel(ctx), all) == nil {
			return
		}
		for i, a := range ready { // one may have kept the others from being written
			a.Err = writeAll(a.Question.ctx, all[i:i+1])
		}
	})
	return err
}

// writeAll writes what moves have prepared, and their reports, in one fenced write.
func writeAll(ctx context.Context, all []*task) error {
	var names []string
	for _, t := range all {
		names = append(names, t.part.topics()...)
	}
	err := all[0].env.Catalog.UpdateAll(ctx, names, func(topics []*catalog.Topic) (entries []catalog.Entry, err error) {
		for _, t := range all {
			n := len(t.part.topics())
			more, err := t.part.commit(topics[:n])
			if err != nil {
				return nil, err
			}
			report, err := json.Marshal(t.Report())
			if err != nil {
				return nil, err
			}
			entries = append(append(entries, more...), catalog.Entry{Kind: catalog.KindMove, Key: t.report.ID, Value: report})
			topics = topics[n:]
		}
		return entries, nil
	})
	if err != nil {
		return err
	}
	for _, t := range all {
		t.part.committed()
	}
	return nil
}
