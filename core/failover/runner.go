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
	"unicode"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/groups"
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
	// Groups are the consumer groups; nil: they don't move.
	Groups    *groups.Groups
	Clusters  []plugin.Cluster
	Placement plugin.Placement
	// Fence is asked to keep writers that go past the gateway away; nil: nobody is.
	Fence Fencer
	// Tracer traces moves; nil traces none.
	Tracer *telemetry.Tracer
	// Notify, if not nil, is told when a move has begun, is committed, and has ended, with who
	// asked for it, or for its end.
	Notify func(r Report, by string)
}

// Cluster is a cluster of the virtual cluster by name, or nil.
func (e Env) Cluster(name string) plugin.Cluster {
	for _, c := range e.Clusters {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// groupLives reports that a group, by its physical name, has its home on a cluster: what others
// have of it is mirrored.
func (e Env) groupLives(cluster, physical string) bool {
	if e.Groups != nil && e.Groups.Several() {
		name, ok := e.Groups.Virtual(physical)
		return ok && e.Groups.Home(name) == cluster
	}
	return e.Placement.GroupHome(physical) == cluster
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

// place is something that moves, in a virtual cluster.
type place struct {
	virtualCluster string
	Movable
}

// Runner moves the catalog of every virtual cluster towards its rules.
type Runner struct {
	log      *slog.Logger
	catalog  *catalog.Catalog
	clusters *joint.Clusters
	ctx      context.Context
	stop     context.CancelFunc
	wg       guard.Group

	fences    *fences
	slots     *slots // of moves that hold clients
	checks    *slots // of moves that read for their pre-check
	waves     waves
	commits   joint.Rounds[*catalog.Virtual, *prepared, struct{}]
	publishes joint.Rounds[*catalog.Virtual, string, struct{}]
	groups    joint.Rounds[plugin.Cluster, string, []commitment]
	reports   joint.Rounds[struct{}, Report, struct{}]

	mu      sync.Mutex
	cfg     config.Failover
	envs    map[string]Env
	current map[place]*move    // the newest of each
	open    map[*move]struct{} // all that have not ended
	past    []Report           // that have ended, oldest first
	seq     int
	lives   map[string]since // by cluster
	settles chan struct{}
}

// NewRunner returns a runner without virtual clusters. Moves that a stopped gateway had committed
// but not published are published by Apply.
func NewRunner(cat *catalog.Catalog, clusters *joint.Clusters, cfg config.Failover, log *slog.Logger) *Runner {
	ctx, stop := context.WithCancel(context.Background())
	r := &Runner{
		log: log, catalog: cat, clusters: clusters, ctx: ctx, stop: stop, cfg: cfg,
		fences: newFences(cat, log), slots: newSlots(cfg.Concurrent), checks: newSlots(checksAtOnce), envs: map[string]Env{}, current: map[place]*move{}, open: map[*move]struct{}{}, lives: map[string]since{}, settles: make(chan struct{}, 1),
	}
	for _, k := range cat.Keys(catalog.KindMove) {
		var old Report
		if ok, err := cat.Value(catalog.KindMove, k, &old); !ok || err != nil {
			continue
		}
		old.Kind = old.What().Kind
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
	// Edited says for what this is a new edit, even if the target is the same: a pending move whose
	// home died turns unplanned only by one. nil means that nothing was edited.
	Edited func(Movable) bool
	// Unplanned forces an unplanned move where the old home is unreachable.
	Unplanned bool
	// Atomic makes the moves that this starts commit in one write, or not at all.
	Atomic bool
	// By is who asks for the moves.
	By string
}

func (o Options) edits(m Movable) bool { return o.Edited != nil && o.Edited(m) }

// Apply makes the rules of a virtual cluster current and starts a move of everything that lives
// elsewhere. It returns the moves that run or wait.
func (r *Runner) Apply(ctx context.Context, env Env, cfg config.Failover, o Options) ([]Report, error) {
	env.Clusters = r.clusters.Over(env.Clusters)
	r.mu.Lock()
	r.cfg = cfg
	r.envs[env.VirtualCluster] = env
	r.mu.Unlock()
	r.slots.resize(cfg.Concurrent)
	var out []Report
	var begin []func()
	var begun []*move
	all, named := newTogether(), map[string]*together{}
	for _, x := range r.movables(env) {
		if r.find(env.VirtualCluster, x.what()) == nil {
			// It may have been committed by a gateway that stopped before it published.
			if err := x.tell(ctx); err != nil {
				return nil, err
			}
		}
		g, alone := all, false
		before, ok := r.ordered(env.VirtualCluster, x)
		switch {
		case o.Atomic || cfg.Atomic:
		case ok && before.Together != "" && !o.edits(x.what()):
			if named[before.Together] == nil {
				named[before.Together] = newTogether()
			}
			g = named[before.Together]
		default:
			g, alone = newTogether(), true
		}
		m, run := r.start(env, x, g, o)
		if m != nil {
			out = append(out, m.Report())
		}
		if run != nil {
			begin, begun = append(begin, run), append(begun, m)
			if alone {
				r.waves.expect(env.VirtualCluster, m)
			} else if g == all {
				m.order.Together = begun[0].order.Move
			}
		}
	}
	r.remember(ctx, begun...)
	for _, run := range begin {
		r.wg.Go(run)
	}
	return out, nil
}

func (r *Runner) find(vc string, what Movable) *move {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current[place{vc, what}]
}

// start makes, keeps, or drops a move. A new one runs with run.
func (r *Runner) start(env Env, x movable, g *together, o Options) (m *move, run func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what, to := x.what(), x.wanted()
	key := place{env.VirtualCluster, what}
	old := r.current[key]
	edited := o.edits(what)
	if old != nil && !old.dropped() && old.Report().To == to && !edited {
		return old, nil
	}
	if old != nil {
		old.drop(o.By) // listed until it has ended
	}
	// Only now: since all were listed a move may have ended.
	home, ok := x.home()
	if to == "" || !ok || (to == home && (old == nil || !old.committed())) {
		return nil, nil
	}
	r.seq++
	ctx, cancel := context.WithCancel(r.ctx)
	m = &move{together: g, cancel: cancel, done: make(chan struct{}), answered: !edited}
	id := fmt.Sprintf("%s-%03d", time.Now().UTC().Format("20060102T150405.000"), r.seq)
	m.order = order{Unplanned: o.Unplanned, By: o.By}
	if before, ok := r.ordered(env.VirtualCluster, x); ok && !edited {
		m.order, m.answered, edited = before, before.Answered, true
	}
	if edited {
		m.edited = time.Now()
		m.order.Move, m.order.From, m.order.To = id, home, to
	}
	m.report = Report{
		ID: id, VirtualCluster: env.VirtualCluster, Kind: what.Kind, Topic: what.Name,
		From: home, To: to, By: m.order.By, Planned: true, Since: time.Now(), PossibleLoss: []Range{},
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
func (r *Runner) run(ctx context.Context, key place, m *move) {
	wait := retryFirst
	var said string
	for {
		r.mu.Lock()
		env := r.envs[key.virtualCluster]
		retry := r.cfg.RetryFor
		r.mu.Unlock()
		if _, ok := r.movable(env, key.Movable).home(); !ok {
			r.end(key, m, Dropped, errGone(key.Movable))
			return
		}
		err := r.once(ctx, env, m)
		r.waves.miss(key.virtualCluster, m)
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
			r.log.WarnContext(m.trace, "move waits", "virtual_cluster", key.virtualCluster, string(key.Kind), key.Name, "to", m.report.To, "reason", err)
		}
		m.change(func(rep *Report) { rep.Error, rep.BlockedBy, rep.Lag = err.Error(), block.Of(err), block.LagOf(err) })
		m.refused(err)
		m.enter(Pending)
		r.waits(m)
		if time.Since(m.report.Since) > retry {
			r.end(key, m, Dropped, fmt.Errorf("given up after failover.retry_for: %w", err))
			return
		}
		guard.Sleep(ctx, wait)
		wait = min(2*wait, retryMost)
	}
}

// once makes an attempt, if it is not where it should be already.
func (r *Runner) once(ctx context.Context, env Env, m *move) error {
	x := r.movable(env, m.report.What())
	// Publishing may have failed before, of this move or of one whose place it took.
	if err := x.tell(ctx); err != nil {
		return err
	}
	home, ok := x.home()
	if !ok {
		return errGone(x.what())
	}
	if home == m.report.To {
		return nil
	}
	m.change(func(rep *Report) { rep.From = home })
	err := r.newTask(env, m, r.checks).attempt(ctx)
	if err == nil {
		rep := m.Report()
		ctx, level := m.trace, slog.LevelInfo
		if rep.Lost() > 0 {
			ctx, level = telemetry.EveryLine(ctx), slog.LevelWarn
		}
		r.log.Log(ctx, level, string(rep.Kind)+" moved", "virtual_cluster", rep.VirtualCluster, string(rep.Kind), rep.Topic, "from", rep.From, "to", rep.To, "planned", rep.Planned, "pause_ms", rep.PauseMS, "possible_loss", rep.Lost())
	}
	return err
}

func (r *Runner) end(key place, m *move, p Phase, err error) {
	m.together.leave(m)
	r.waves.miss(key.virtualCluster, m)
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
	env := r.envs[key.virtualCluster]
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
	if p == Done && key.Kind == Topic {
		select {
		case r.settles <- struct{}{}:
		default:
		}
	}
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

// gist is a reason without its numbers: what a move waits for is new when this is.
func gist(err error) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, err.Error())
}
