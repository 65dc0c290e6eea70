package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Env is what moves of one virtual cluster work on; it changes with the configuration.
type Env struct {
	VirtualCluster string
	Catalog        *catalog.Virtual
	Gates          *plugin.Gates
	Clusters       []plugin.Cluster
	Placement      plugin.Placement
}

func (e Env) cluster(name string) plugin.Cluster {
	for _, c := range e.Clusters {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

const (
	retryFirst = 500 * time.Millisecond
	retryMost  = 5 * time.Second
	keepMoves  = 1000
	deltaEvery = 10 * time.Second
)

// Runner moves the catalog of every virtual cluster towards its rules.
type Runner struct {
	log     *slog.Logger
	catalog *catalog.Catalog
	ctx     context.Context
	stop    context.CancelFunc
	wg      sync.WaitGroup

	mu      sync.Mutex
	cfg     config.Failover
	slots   chan struct{}
	envs    map[string]Env
	current map[[2]string]*move // by virtual cluster and topic
	past    []Report
	seq     int
}

// NewRunner returns a runner without virtual clusters. Moves that a stopped gateway had committed
// but not published are published by Apply.
func NewRunner(cat *catalog.Catalog, cfg config.Failover, log *slog.Logger) *Runner {
	ctx, stop := context.WithCancel(context.Background())
	r := &Runner{
		log: log, catalog: cat, ctx: ctx, stop: stop, cfg: cfg,
		slots: make(chan struct{}, cfg.Concurrent), envs: map[string]Env{}, current: map[[2]string]*move{},
	}
	for _, k := range cat.Keys(catalog.KindMove) {
		var old Report
		if ok, err := cat.Value(catalog.KindMove, k, &old); ok && err == nil {
			r.past = append(r.past, old)
		}
	}
	r.wg.Go(r.watchDeltas)
	return r
}

func (r *Runner) timing() config.Failover {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cfg
}

// Close aborts what is not committed and waits.
func (r *Runner) Close() error {
	r.stop()
	r.wg.Wait()
	return nil
}

// Options of Apply.
type Options struct {
	// Edited names topics for which this is a new edit, even if the target is the same: a pending
	// move whose home died turns unplanned only by one. nil means that nothing was edited.
	Edited func(topic string) bool
	// Unplanned forces an unplanned move where the old home is unreachable.
	Unplanned bool
}

// Apply makes the rules of a virtual cluster current and starts a move for every topic that lives
// elsewhere. It returns the moves that run or wait for these topics.
func (r *Runner) Apply(ctx context.Context, env Env, cfg config.Failover, o Options) ([]Report, error) {
	r.mu.Lock()
	r.cfg = cfg
	r.envs[env.VirtualCluster] = env
	r.mu.Unlock()
	var out []Report
	for _, t := range env.Catalog.Topics() {
		if t.Before != nil && r.find(env.VirtualCluster, t.Name) == nil {
			// Committed by a gateway that stopped before it published.
			if err := env.Catalog.Update(ctx, t.Name, func(n *catalog.Topic) error {
				n.Published, n.Before = n.Generation, nil
				return nil
			}); err != nil {
				return nil, err
			}
		}
		want := env.Placement.Home(t.Name)
		if m := r.start(env, t, want.Cluster, o); m != nil {
			out = append(out, m.Report())
		}
	}
	return out, nil
}

func (r *Runner) find(vc, topic string) *move {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current[[2]string{vc, topic}]
}

// start starts, keeps, or drops the move of one topic.
func (r *Runner) start(env Env, t *catalog.Topic, to string, o Options) *move {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{env.VirtualCluster, t.Name}
	old := r.current[key]
	edited := o.Edited != nil && o.Edited(t.Name)
	if old != nil && !old.dropped() && old.Report().To == to && !edited {
		return old
	}
	if old != nil && !old.committed() {
		old.drop()
	}
	if to == "" || (to == t.Home && (old == nil || !old.committed())) {
		if old != nil {
			old.drop() // listed until it has ended
		}
		return nil
	}
	r.seq++
	ctx, cancel := context.WithCancel(r.ctx)
	m := &move{edited: time.Now(), cancel: cancel, done: make(chan struct{}), force: o.Unplanned}
	m.report = Report{
		ID: fmt.Sprintf("%s-%03d", time.Now().UTC().Format("20060102T150405.000"), r.seq), VirtualCluster: env.VirtualCluster, Topic: t.Name,
		From: t.Home, To: to, Planned: true, Since: time.Now(), PossibleLoss: []Range{},
	}
	m.enter(Pending)
	r.current[key] = m
	r.wg.Go(func() {
		defer close(m.done)
		defer cancel()
		if old != nil {
			<-old.done
		}
		r.run(ctx, key, m)
	})
	return m
}

// run repeats a move until it is done, dropped, or too old.
func (r *Runner) run(ctx context.Context, key [2]string, m *move) {
	wait := retryFirst
	for {
		r.mu.Lock()
		env := r.envs[key[0]]
		retry := r.cfg.RetryFor
		r.mu.Unlock()
		topic := env.Catalog.Topic(key[1])
		if topic == nil || topic.Home == m.report.To {
			r.end(key, m, Done, nil)
			return
		}
		m.change(func(rep *Report) { rep.From = topic.Home })
		t := &task{runner: r, env: env, move: m}
		err := t.attempt(ctx)
		if err == nil {
			rep := m.Report()
			r.log.Info("topic moved", "virtual_cluster", key[0], "topic", key[1], "from", rep.From, "to", rep.To, "planned", rep.Planned, "pause_ms", rep.PauseMS, "possible_loss", len(rep.PossibleLoss))
			r.end(key, m, Done, nil)
			return
		}
		if ctx.Err() != nil {
			r.end(key, m, Dropped, errors.New("a newer edit, or the end of the gateway, took its place"))
			return
		}
		if m.Report().Error != err.Error() {
			r.log.Warn("move waits", "virtual_cluster", key[0], "topic", key[1], "to", m.report.To, "reason", err)
		}
		m.change(func(rep *Report) { rep.Error = err.Error() })
		m.enter(Pending)
		if time.Since(m.report.Since) > retry {
			r.end(key, m, Dropped, fmt.Errorf("given up after failover.retry_for: %w", err))
			return
		}
		pause(ctx, wait)
		wait = min(2*wait, retryMost)
	}
}

func (r *Runner) end(key [2]string, m *move, p Phase, err error) {
	m.enter(p)
	m.change(func(rep *Report) {
		rep.Ended = time.Now()
		if err != nil {
			rep.Error = err.Error()
		}
	})
	rep := m.Report()
	r.mu.Lock()
	if r.current[key] == m {
		delete(r.current, key)
	}
	r.past = append(r.past, rep)
	if len(r.past) > keepMoves {
		r.past = r.past[len(r.past)-keepMoves:]
	}
	r.mu.Unlock()
	if p == Done {
		if err := r.catalog.SetValue(context.WithoutCancel(r.ctx), catalog.KindMove, rep.ID, rep); err != nil {
			r.log.Warn("move not stored", "id", rep.ID, "error", err)
		}
	}
}

// Wait waits for the current move of a topic to end and returns its report; ok is false if there
// is none.
func (r *Runner) Wait(ctx context.Context, vc, topic string) (Report, bool, error) {
	m := r.find(vc, topic)
	if m == nil {
		return Report{}, false, nil
	}
	select {
	case <-m.done:
		return m.Report(), true, nil
	case <-ctx.Done():
		return m.Report(), true, ctx.Err()
	}
}

// Moves lists running, pending and past moves, oldest first.
func (r *Runner) Moves() []Report {
	r.mu.Lock()
	out := slices.Clone(r.past)
	var now []*move
	for _, m := range r.current {
		now = append(now, m)
	}
	r.mu.Unlock()
	for _, m := range now {
		out = append(out, m.Report())
	}
	slices.SortFunc(out, func(a, b Report) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Pending lists the moves that have not ended.
func (r *Runner) Pending() []Report {
	var out []Report
	for _, m := range r.Moves() {
		if m.Ended.IsZero() {
			out = append(out, m)
		}
	}
	return out
}
