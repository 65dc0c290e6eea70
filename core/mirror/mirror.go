// Package mirror gives the positions of consumer groups to the clusters that are not their home, so
// that any of them can become it.
package mirror

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
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/positions"
)

const (
	// every is how often clusters are given what groups have committed.
	every = time.Second
	// surveyEvery is how often all positions are read again: what was committed past the gateway,
	// and what a cluster has forgotten of a group that has no members there.
	surveyEvery = 10 * time.Minute
	// giveLimit is how long a cluster has to take the positions of a group.
	giveLimit = 5 * time.Second
	// givenAtOnce is to how many groups of a cluster that is done side by side.
	givenAtOnce = 16
	// mostPause is the longest pause before what a cluster has refused is given to it again.
	mostPause = 30 * time.Second
)

// Env is what positions of one virtual cluster are mirrored with; it changes with the
// configuration.
type Env struct {
	VirtualCluster string
	Groups         *groups.Groups
	Catalog        *catalog.Virtual
	Clusters       []plugin.Cluster
	// Stubs makes clusters take positions in topics that live elsewhere; nil: they must have them.
	Stubs plugin.Stubber
}

// Mirror mirrors the positions of all virtual clusters.
type Mirror struct {
	log  *slog.Logger
	ctx  context.Context
	stop context.CancelFunc
	wg   guard.Group

	mu           sync.Mutex
	envs         map[string]Env
	coordinators map[string]*positions.Coordinators // by virtual cluster
}

// New returns a mirror without virtual clusters.
func New(log *slog.Logger) *Mirror {
	ctx, stop := context.WithCancel(context.Background())
	return &Mirror{log: log, ctx: ctx, stop: stop, envs: map[string]Env{}, coordinators: map[string]*positions.Coordinators{}}
}

// Close ends it.
func (m *Mirror) Close() error {
	m.mu.Lock()
	m.stop()
	m.mu.Unlock()
	m.wg.Wait()
	return nil
}

// Apply mirrors the positions of a virtual cluster from now on, with what has changed.
func (m *Mirror) Apply(env Env) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.envs[env.VirtualCluster]
	if !known {
		m.coordinators[env.VirtualCluster] = &positions.Coordinators{}
	}
	env.Clusters = m.coordinators[env.VirtualCluster].Over(env.Clusters)
	m.envs[env.VirtualCluster] = env
	if known || m.ctx.Err() != nil {
		return
	}
	r := &rounds{mirror: m, vc: env.VirtualCluster, failed: map[target]failure{}, dismissed: map[target]int32{}}
	m.wg.Go(func() { guard.Keep(m.ctx, r.flushes) })
	m.wg.Go(func() { guard.Keep(m.ctx, r.surveys) })
}

// Keep ends what is not for one of these virtual clusters any more.
func (m *Mirror) Keep(vcs []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for vc := range m.envs {
		if !slices.Contains(vcs, vc) {
			delete(m.envs, vc)
			delete(m.coordinators, vc)
		}
	}
}

func (m *Mirror) env(vc string) (Env, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	env, ok := m.envs[vc]
	return env, ok
}

// target is a group on a cluster that is not its home.
type target struct{ cluster, group string }

type failure struct {
	until time.Time
	pause time.Duration
	said  string
}

// rounds are those of one virtual cluster.
type rounds struct {
	mirror *Mirror
	vc     string

	mu        sync.Mutex
	failed    map[target]failure
	dismissed map[target]int32 // the generation of a group whose members of before were let go
}

// flushes gives clusters what is new, each second.
func (r *rounds) flushes() {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-r.mirror.ctx.Done():
			return
		case <-tick.C:
		}
		env, ok := r.mirror.env(r.vc)
		if !ok {
			return
		}
		env.Groups.Sweep()
		for _, g := range env.Groups.Unsettled() {
			if i := slices.IndexFunc(env.Clusters, func(c plugin.Cluster) bool { return c.Name() == env.Groups.Home(g.Name()) && c.Reachable() }); i >= 0 {
				_ = Read(r.mirror.ctx, env, env.Clusters[i], g) // in a second again
			}
		}
		var wg guard.Group
		for _, c := range env.Clusters {
			if c.Reachable() {
				wg.Go(func() { r.flush(r.mirror.ctx, env, c) })
			}
		}
		wg.Wait()
	}
}

// flush gives a cluster what is new.
func (r *rounds) flush(ctx context.Context, env Env, c plugin.Cluster) {
	list := slices.DeleteFunc(env.Groups.News(c.Name()), func(g *groups.Group) bool { return r.pauses(target{c.Name(), g.Name()}) })
	whole := make([]string, len(list))
	_ = guard.Parallel(len(list), givenAtOnce, func(i int) error {
		g := list[i]
		done, ok := g.Give()
		if !ok {
			return nil
		}
		defer done()
		if env.Groups.Home(g.Name()) == c.Name() {
			return nil
		}
		err := Give(ctx, env, c, g)
		if errors.Is(err, positions.ErrMembers) && r.leftBehind(env, c, g) {
			if _, err = positions.Dismiss(ctx, c, env.Groups.Physical(g.Name())); err == nil {
				err = Give(ctx, env, c, g)
			}
		}
		if err != nil {
			r.fail(target{c.Name(), g.Name()}, err)
			return nil
		}
		r.succeed(target{c.Name(), g.Name()})
		if g.Whole() {
			whole[i] = g.Name()
		}
		return ctx.Err()
	})
	if err := noteMirrored(ctx, env, c.Name(), whole); err != nil && ctx.Err() == nil {
		r.mirror.log.Warn("mirrored groups not noted", "virtual_cluster", r.vc, "cluster", c.Name(), "error", err)
	}
}

// noteMirrored stores that a cluster has all positions of groups; "" is none.
func noteMirrored(ctx context.Context, env Env, cluster string, names []string) error {
	names = slices.DeleteFunc(names, func(name string) bool {
		g := env.Catalog.Group(name)
		return g == nil || g.MirroredOn(cluster) || g.Home == cluster
	})
	if len(names) == 0 {
		return nil
	}
	return env.Catalog.UpdateGroups(ctx, names, func(_ string, g *catalog.Group) *catalog.Group {
		if g == nil || g.Home == cluster {
			return g
		}
		return g.WithMirror(cluster)
	})
}

// leftBehind reports that the members which a cluster has of a group may be of the time when it was
// its home: it was gone when the group moved, and has not seen them leave. It is so once for each
// such move; who joins there later does so past the gateway.
func (r *rounds) leftBehind(env Env, c plugin.Cluster, g *groups.Group) bool {
	known := env.Catalog.Group(g.Name())
	if known == nil || !slices.ContainsFunc(known.Before, func(s catalog.Stay) bool { return s.Home == c.Name() }) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := target{c.Name(), g.Name()}
	if last, ok := r.dismissed[t]; ok && last == known.Generation {
		return false
	}
	r.dismissed[t] = known.Generation
	return true
}

func (r *rounds) pauses(t target) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.failed[t].until)
}

func (r *rounds) succeed(t target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failed, t)
}

func (r *rounds) fail(t target, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.failed[t]
	f.pause = min(max(2*f.pause, every), mostPause)
	f.until = time.Now().Add(f.pause)
	if said := err.Error(); said != f.said && !errors.Is(err, plugin.ErrUnreachable) && r.mirror.ctx.Err() == nil {
		f.said = said
		level := slog.LevelWarn
		if errors.Is(err, positions.ErrMembers) { // of before its move: they leave soon
			level = slog.LevelDebug
		}
		r.mirror.log.Log(r.mirror.ctx, level, "positions are not mirrored yet", "virtual_cluster", r.vc, "group", t.group, "cluster", t.cluster, "error", err)
	}
	r.failed[t] = f
}

// Give gives a cluster what a group has committed, and it has not been given.
func Give(ctx context.Context, env Env, c plugin.Cluster, g *groups.Group) error {
	n, ok := g.News(c.Name())
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, giveLimit)
	defer cancel()
	var put, drop []positions.Position
	for p, x := range n.Positions {
		if t := env.Catalog.Topic(p.Topic); t != nil && int(p.Partition) < len(t.Partitions) {
			put = append(put, positions.Position{Topic: stub(ctx, env, c, t), Partition: p.Partition, Offset: x.Offset, Epoch: x.Epoch, Metadata: x.Metadata})
		}
	}
	for _, p := range n.Deleted {
		if t := env.Catalog.Topic(p.Topic); t != nil {
			drop = append(drop, positions.Position{Topic: t.Physical(c.Name()), Partition: p.Partition})
		}
	}
	slices.SortFunc(put, func(a, b positions.Position) int {
		if d := strings.Compare(a.Topic, b.Topic); d != 0 {
			return d
		}
		return int(a.Partition - b.Partition)
	})
	physical := env.Groups.Physical(g.Name())
	if err := positions.Delete(ctx, c, physical, drop); err != nil {
		return err
	}
	if err := positions.Write(ctx, c, physical, put); err != nil {
		return err
	}
	g.Given(c.Name(), n)
	return nil
}

// stub makes sure that a cluster takes positions in a topic, and returns its name there.
func stub(ctx context.Context, env Env, c plugin.Cluster, t *catalog.Topic) string {
	if env.Stubs != nil {
		env.Stubs.Stub(ctx, c.Name(), t)
	}
	return t.Physical(c.Name())
}

// VirtualPositions are positions on a cluster by virtual topics. What is not part of the virtual
// cluster is left out.
func VirtualPositions(env Env, cluster string, all []positions.Position) map[groups.Partition]groups.Position {
	out := map[groups.Partition]groups.Position{}
	for _, p := range all {
		t := env.Catalog.ByPhysical(cluster, p.Topic)
		if t == nil || p.Partition < 0 || int(p.Partition) >= len(t.Partitions) {
			continue
		}
		out[groups.Partition{Topic: t.Name, Partition: p.Partition}] = groups.Position{Offset: p.Offset, Epoch: p.Epoch, Metadata: p.Metadata}
	}
	return out
}

// Read makes a group's positions those that its home has now.
func Read(ctx context.Context, env Env, home plugin.Cluster, g *groups.Group) error {
	seq := g.Seq()
	all, err := positions.Of(ctx, home, env.Groups.Physical(g.Name()))
	if err != nil {
		return fmt.Errorf("%s: %w", home.Name(), err)
	}
	g.Found(seq, VirtualPositions(env, home.Name(), all))
	return nil
}
