package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// Env is what moves of one virtual cluster work on; it changes with the configuration.
type Env struct {
	VirtualCluster string
	Catalog        *catalog.Virtual
	Gates          *gate.Gates
	Clusters       []plugin.Cluster
	Placement      plugin.Placement
	// Tracer traces moves; nil traces none.
	Tracer *telemetry.Tracer
	// Notify, if not nil, is told when a move has begun, is committed, and has ended, with who
	// asked for it, or for its end.
	Notify func(r Report, by string)
}

func (e Env) Cluster(name string) plugin.Cluster {
	for _, c := range e.Clusters {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// notify tells of the phase that a move is in.
func (e Env) notify(m *move) {
	if e.Notify != nil {
		e.Notify(m.Report(), m.asker())
	}
}

const (
	retryFirst   = 500 * time.Millisecond
	retryMost    = 5 * time.Second
	keepMoves    = 10_000 // that have ended
	checksAtOnce = 128    // moves; what they have in memory is bounded by joint.ReadsAtOnce
)

// Runner moves the catalog of every virtual cluster towards its rules.
type Runner struct {
	log      *slog.Logger
	catalog  *catalog.Catalog
	clusters *joint.Clusters
	ctx      context.Context
	stop     context.CancelFunc
	wg       guard.Group

	slots     *slots // of moves that hold clients
	checks    *slots // of moves that read for their pre-check
	waves     waves
	commits   joint.Rounds[*catalog.Virtual, *prepared, struct{}]
	publishes joint.Rounds[*catalog.Virtual, *task, struct{}]
	groups    joint.Rounds[plugin.Cluster, string, []commitment]
	reports   joint.Rounds[struct{}, Report, struct{}]

	mu      sync.Mutex
	cfg     config.Failover
	envs    map[string]Env
	current map[[2]string]*move // the newest, by virtual cluster and topic
	open    map[*move]struct{}  // all that have not ended
	past    []Report            // that have ended, oldest first
	seq     int
}

// NewRunner returns a runner without virtual clusters. Moves that a stopped gateway had committed
// but not published are published by Apply.
func NewRunner(cat *catalog.Catalog, clusters *joint.Clusters, cfg config.Failover, log *slog.Logger) *Runner {
	ctx, stop := context.WithCancel(context.Background())
	r := &Runner{
		log: log, catalog: cat, clusters: clusters, ctx: ctx, stop: stop, cfg: cfg,
		slots: newSlots(cfg.Concurrent), checks: newSlots(checksAtOnce), envs: map[string]Env{}, current: map[[2]string]*move{}, open: map[*move]struct{}{},
	}
	for _, k := range cat.Keys(catalog.KindMove) {
		var old Report
		if ok, err := cat.Value(catalog.KindMove, k, &old); !ok || err != nil {
			continue
		}
		if old.Ended.IsZero() { // stored by its commit; Apply publishes it
			old.Phase, old.Ended = Done, old.Steps[len(old.Steps)-1].At
			old.Notes = append(old.Notes, "the gateway stopped before clients were told of the new home; they were told at its next start")
			r.store(old)
		}
		r.past = append(r.past, old)
	}
	slices.SortFunc(r.past, byID)
	return r
}

func (r *Runner) keep(ctx context.Context, rep Report) error {
	return r.catalog.SetValue(ctx, catalog.KindMove, rep.ID, rep)
}

func (r *Runner) store(rep Report) {
	_, err := r.reports.Do(context.WithoutCancel(r.ctx), struct{}{}, rep, func(round []*joint.Ask[Report, struct{}]) {
		all := map[string]any{}
		for _, a := range round {
			all[a.Question.ID] = a.Question
		}
		err := r.catalog.SetValues(context.WithoutCancel(r.ctx), catalog.KindMove, all)
		for _, a := range round {
			a.Err = err
		}
	})
	if err != nil {
		r.log.Warn("move not stored", "id", rep.ID, "error", err)
	}
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
	// Atomic makes the moves that this starts commit in one write, or not at all.
	Atomic bool
	// By is who asks for the moves.
	By string
}

// Apply makes the rules of a virtual cluster current and starts a move for every topic that lives
// elsewhere. It returns the moves that run or wait for these topics.
func (r *Runner) Apply(ctx context.Context, env Env, cfg config.Failover, o Options) ([]Report, error) {
	env.Clusters = r.clusters.Over(env.Clusters)
	r.mu.Lock()
	r.cfg = cfg
	r.envs[env.VirtualCluster] = env
	r.mu.Unlock()
	r.slots.resize(cfg.Concurrent)
	var out []Report
	var begin []func()
	together := newGroup()
	for _, t := range env.Catalog.Topics() {
		if t.Before != nil && r.find(env.VirtualCluster, t.Name) == nil {
			// Committed by a gateway that stopped before it published.
			if err := publish(ctx, env.Catalog, t.Name); err != nil {
				return nil, err
			}
		}
		g := together
		if !o.Atomic && !cfg.Atomic {
			g = newGroup()
		}
		m, run := r.start(env, t, env.Placement.Home(t.Name).Cluster, g, o)
		if m != nil {
			out = append(out, m.Report())
		}
		if run != nil {
			begin = append(begin, run)
			if g != together {
				r.waves.expect(env.VirtualCluster, m)
			}
		}
	}
	for _, run := range begin {
		r.wg.Go(run)
	}
	return out, nil
}

func (r *Runner) find(vc, topic string) *move {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current[[2]string{vc, topic}]
}

// start makes, keeps, or drops the move of one topic. A new one runs with run.
func (r *Runner) start(env Env, t *catalog.Topic, to string, g *group, o Options) (m *move, run func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{env.VirtualCluster, t.Name}
	old := r.current[key]
	edited := o.Edited != nil && o.Edited(t.Name)
	if old != nil && !old.dropped() && old.Report().To == to && !edited {
		return old, nil
	}
	if old != nil {
		old.drop(o.By) // listed until it has ended
	}
	// Only now: since the topics were listed a move may have ended.
	t = env.Catalog.Topic(t.Name)
	if to == "" || t == nil || (to == t.Home && (old == nil || !old.committed())) {
		return nil, nil
	}
	r.seq++
	ctx, cancel := context.WithCancel(r.ctx)
	m = &move{group: g, cancel: cancel, done: make(chan struct{}), force: o.Unplanned, answered: !edited}
	if edited {
		m.edited = time.Now()
	}
	m.report = Report{
		ID: fmt.Sprintf("%s-%03d", time.Now().UTC().Format("20060102T150405.000"), r.seq), VirtualCluster: env.VirtualCluster, Topic: t.Name,
		From: t.Home, To: to, By: o.By, Planned: true, Since: time.Now(), PossibleLoss: []Range{},
	}
	m.begin(env.Tracer)
	m.enter(Pending)
	g.join(m)
	r.current[key] = m
	r.open[m] = struct{}{}
	return m, func() {
		defer close(m.done)
		defer cancel()
		env.notify(m)
		if old != nil {
			<-old.done
		}
		r.run(ctx, key, m)
	}
}

// run repeats a move until it is done, dropped, or too old.
func (r *Runner) run(ctx context.Context, key [2]string, m *move) {
	wait := retryFirst
	var said string
	for {
		r.mu.Lock()
		env := r.envs[key[0]]
		retry := r.cfg.RetryFor
		r.mu.Unlock()
		if env.Catalog.Topic(key[1]) == nil {
			r.end(key, m, Dropped, errGone(key[1]))
			return
		}
		err := r.once(ctx, env, m)
		r.waves.miss(key[0], m)
		if err == nil {
			r.end(key, m, Done, nil)
			return
		}
		if ctx.Err() != nil || m.dropped() {
			r.end(key, m, Dropped, errors.New("a newer edit, or the end of the gateway, took its place"))
			return
		}
		if now := gist(err); now != said {
			said = now
			r.log.WarnContext(m.trace, "move waits", "virtual_cluster", key[0], "topic", key[1], "to", m.report.To, "reason", err)
		}
		m.change(func(rep *Report) { rep.Error, rep.BlockedBy, rep.Lag = err.Error(), block.Of(err), block.LagOf(err) })
		m.refused(err)
		m.enter(Pending)
		if time.Since(m.report.Since) > retry {
			r.end(key, m, Dropped, fmt.Errorf("given up after failover.retry_for: %w", err))
			return
		}
		guard.Sleep(ctx, wait)
		wait = min(2*wait, retryMost)
	}
}

// once makes an attempt, if the topic does not live there already.
func (r *Runner) once(ctx context.Context, env Env, m *move) error {
	topic := env.Catalog.Topic(m.report.Topic)
	if topic == nil {
		return errGone(m.report.Topic)
	}
	if topic.Before != nil { // publishing has failed before, of this move or of one whose place it took
		if err := publish(ctx, env.Catalog, topic.Name); err != nil {
			return err
		}
		env.Gates.Announce()
	}
	if topic.Home == m.report.To {
		return nil
	}
	m.change(func(rep *Report) { rep.From = topic.Home })
	err := (&task{runner: r, env: env, move: m, reads: r.checks}).attempt(ctx)
	if err == nil {
		rep := m.Report()
		ctx, level := m.trace, slog.LevelInfo
		if rep.Lost() > 0 {
			ctx, level = telemetry.EveryLine(ctx), slog.LevelWarn
		}
		r.log.Log(ctx, level, "topic moved", "virtual_cluster", rep.VirtualCluster, "topic", rep.Topic, "from", rep.From, "to", rep.To, "planned", rep.Planned, "pause_ms", rep.PauseMS, "possible_loss", rep.Lost())
	}
	return err
}

func (r *Runner) end(key [2]string, m *move, p Phase, err error) {
	m.group.leave(m)
	r.waves.miss(key[0], m)
	m.enter(p)
	m.change(func(rep *Report) {
		rep.Ended, rep.Error, rep.BlockedBy, rep.Lag = time.Now(), "", "", 0
		if err != nil {
			rep.Error = err.Error()
		}
	})
	rep := m.Report()
	m.end(rep, err)
	r.mu.Lock()
	env := r.envs[key[0]]
	if r.current[key] == m {
		delete(r.current, key)
	}
	delete(r.open, m)
	at, _ := slices.BinarySearchFunc(r.past, rep, byID)
	r.past = slices.Insert(r.past, at, rep)
	var forget []Report
	if len(r.past) > keepMoves {
		forget = r.old()
	}
	r.mu.Unlock()
	env.notify(m)
	if p == Done || r.ctx.Err() == nil { // the next start asks again for what the end of the gateway drops
		r.store(rep)
	}
	gone := map[string]any{}
	for _, old := range forget {
		gone[old.ID] = nil
	}
	if err := r.catalog.SetValues(context.WithoutCancel(r.ctx), catalog.KindMove, gone); err != nil {
		r.log.Warn("old moves not forgotten", "error", err)
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

// byID compares moves by when they began.
func byID(a, b Report) int { return strings.Compare(a.ID, b.ID) }

// Moves lists running, pending and past moves, oldest first. Of those that have ended the last
// 10,000 are kept, and every one with a loss that nobody has acknowledged.
func (r *Runner) Moves() []Report {
	r.mu.Lock()
	out, now := slices.Clone(r.past), slices.Collect(maps.Keys(r.open))
	r.mu.Unlock()
	for _, m := range now {
		out = append(out, m.Report())
	}
	slices.SortFunc(out, byID)
	return out
}

// Move is one of Moves.
func (r *Runner) Move(id string) (Report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.open {
		if m.report.ID == id {
			return m.Report(), true
		}
	}
	if at, ok := slices.BinarySearchFunc(r.past, Report{ID: id}, byID); ok {
		return r.past[at], true
	}
	return Report{}, false
}

// Pending lists the moves that have not ended, oldest first.
func (r *Runner) Pending() []Report {
	r.mu.Lock()
	now := slices.Collect(maps.Keys(r.open))
	r.mu.Unlock()
	out := make([]Report, 0, len(now))
	for _, m := range now {
		if rep := m.Report(); rep.Ended.IsZero() {
			out = append(out, rep)
		}
	}
	slices.SortFunc(out, byID)
	return out
}

// gist is a reason without its numbers: what a move waits for is new when this is.
func gist(err error) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, err.Error())
}
