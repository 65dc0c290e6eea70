package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// task carries one attempt of a move through its phases.
type task struct {
	runner *Runner
	env    Env
	*move
	part  participant
	goals *goals // of a plan
	reads *slots // of pre-checks that read records
}

// newTask begins an attempt of a move.
func (r *Runner) newTask(env Env, m *move, reads *slots) *task {
	t := &task{runner: r, env: env, move: m, reads: reads}
	t.part = r.movable(env, m.report.What()).attempt(t)
	return t
}

// holder is a move as the holder of a gate.
type holder struct{ *move }

// Why is for plugin.Holder.
func (h holder) Why() (string, trace.SpanContext) {
	return "move " + h.report.ID, h.span.SpanContext()
}

// clusters are the old and the new home.
func (t *task) clusters() (from, to plugin.Cluster, err error) {
	from, to = t.env.Cluster(t.report.From), t.env.Cluster(t.report.To)
	if from == nil || to == nil {
		return nil, nil, errors.New("a cluster of the move is no longer part of the virtual cluster")
	}
	return from, to, nil
}

// attempt makes one try. On an error before the commit nothing has changed.
func (t *task) attempt(ctx context.Context) (err error) {
	t.together.begin(t.move)
	defer func() {
		if err != nil {
			t.together.fail(t.move, err)
		}
	}()
	t.change(func(r *Report) { r.Attempts++; r.Notes, r.Compared = nil, 0 })
	t.enter(Check)
	from, to, err := t.clusters()
	if err != nil {
		return err
	}
	gone, err := t.gone(ctx, from)
	if err != nil {
		return err
	}
	if !to.Reachable() {
		if _, err := to.Refresh(ctx); err != nil {
			return fmt.Errorf("%s is unreachable: %w", to.Name(), err)
		}
	}
	t.change(func(r *Report) { r.Planned = !gone })
	began := time.Now()
	if err := t.part.check(ctx, gone); err != nil {
		return err
	}
	took := time.Since(began)
	free, err := t.runner.fences.take(ctx, place{t.report.VirtualCluster, t.report.What()})
	if err != nil {
		return err
	}
	defer free()
	if !gone {
		if err := t.part.calm(ctx); err != nil {
			return err
		}
	}
	if err := t.together.meet(ctx, t, allChecked, nil); err != nil {
		return err
	}
	if t.together.alone() { // those that commit together hold together anyhow
		if err := t.runner.waves.arrive(ctx, t.report.VirtualCluster, t.move, took); err != nil {
			return err
		}
		if err := t.runner.slots.take(ctx); err != nil {
			return err
		}
		defer t.runner.slots.give()
	}
	return t.switchOver(ctx)
}

// switchOver holds clients, makes sure that the new home has everything, commits and releases.
func (t *task) switchOver(ctx context.Context) error {
	timing := t.runner.timing()
	began := time.Now()
	t.change(func(r *Report) { r.Error, r.BlockedBy, r.Lag = "", "", 0 }) // what an earlier attempt was refused for is over
	defer func() {
		t.part.open()
		t.change(func(r *Report) { r.PauseMS = time.Since(began).Milliseconds() })
	}()
	if err := t.upToCommit(ctx, began.Add(timing.Hold)); err != nil {
		t.part.release()
		return err
	}
	t.enter(Drain)
	t.part.release()
	t.env.notify(t.move)
	t.part.drain(ctx, began.Add(timing.Request))
	t.enter(Publish)
	return t.part.publish(context.WithoutCancel(ctx))
}

// upToCommit holds clients until the move is committed, or can't be until a time.
func (t *task) upToCommit(ctx context.Context, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	t.enter(Hold)
	if err := t.part.hold(ctx); err != nil {
		return err
	}
	t.enter(Prepare)
	if err := t.part.prepare(ctx); err != nil {
		return err
	}
	err := t.together.meet(ctx, t, allPrepared, func(all []*task) error {
		if len(all) == 1 {
			return t.runner.commitAlone(ctx, t)
		}
		return commit(ctx, all)
	})
	return t.late(ctx, err)
}

// late explains an error that is only the end of the time that clients may be held.
func (t *task) late(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("not done within failover.hold: %w", err)
	}
	return err
}
