package mirror

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/positions"
)

// forgetAfter is for how long a group that no cluster has is remembered after a request has named
// it.
const forgetAfter = 10 * time.Minute

// surveys reads all positions when a cluster comes, or comes back, and from time to time.
func (r *rounds) surveys() {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last time.Time
	lived := map[string]bool{}
	for ; ; <-tick.C {
		if r.mirror.ctx.Err() != nil {
			return
		}
		env, ok := r.mirror.env(r.vc)
		if !ok {
			return
		}
		now := map[string]bool{}
		news := false
		for _, c := range env.Clusters {
			if now[c.Name()] = c.Reachable(); now[c.Name()] && !lived[c.Name()] {
				news = true
			}
		}
		if !news && time.Since(last) < surveyEvery {
			lived = now
			continue
		}
		if err := survey(r.mirror.ctx, env); err != nil {
			r.mirror.log.Debug("groups not surveyed", "virtual_cluster", r.vc, "error", err)
			continue // what has come back is still news
		}
		lived, last = now, time.Now()
	}
}

// listing are the groups of a cluster, with their positions.
type listing struct {
	cluster string
	all     map[string]map[groups.Partition]groups.Position
	err     error
}

func list(ctx context.Context, env Env, i int) listing {
	c := env.Clusters[i]
	l := listing{cluster: c.Name(), all: map[string]map[groups.Partition]groups.Position{}}
	found := map[string][]positions.Position{}
	l.err = positions.Every(ctx, c, func(g kmsg.ListGroupsResponseGroup, at positions.Position) {
		name, ok := env.Groups.Virtual(g.Group)
		if !ok || g.GroupType == "share" || g.GroupType == "streams" {
			return
		}
		if at.Topic == "" {
			found[name] = nil
			return
		}
		found[name] = append(found[name], at)
	})
	for name, all := range found {
		l.all[name] = VirtualPositions(env, l.cluster, all)
	}
	return l
}

// survey takes over what the homes have of all groups, and finds out what other clusters lack.
// Where a home does not answer, what others have been given of its groups is all that there is. An
// error says that a cluster could not be listed; what the others say counts.
func survey(ctx context.Context, env Env) error {
	before := map[string]state{}
	for _, g := range env.Catalog.Groups() {
		before[g.Name] = state{env.Groups.Group(g.Name).Seq(), g.Generation}
	}
	lists := make([]listing, len(env.Clusters))
	_ = guard.Parallel(len(lists), len(lists), func(i int) error {
		if lists[i].cluster = env.Clusters[i].Name(); env.Clusters[i].Reachable() {
			lists[i] = list(ctx, env, i)
		}
		return nil
	})
	var failed error
	listed := map[string]listing{}
	for _, l := range lists {
		switch {
		case l.err != nil:
			failed = l.err
		case l.all != nil:
			listed[l.cluster] = l
		}
	}
	if err := register(ctx, env, listed); err != nil {
		return err
	}
	mirrored := map[string][]string{}
	var gone []string
	for _, known := range env.Catalog.Groups() {
		g := env.Groups.Group(known.Name)
		home, ok := listed[known.Home]
		if !ok {
			inherit(g, known, listed)
			continue
		}
		was := before[known.Name] // none of one that was registered just now
		if was.generation != known.Generation {
			continue // it has moved since that was listed
		}
		at, has := home.all[known.Name]
		if !has && len(listed) == len(env.Clusters) && nowhere(listed, known.Name) && time.Since(g.Seen()) > forgetAfter {
			gone = append(gone, known.Name)
			continue
		}
		if !has && len(g.Positions()) > 0 {
			var err error
			if at, err = ask(ctx, env, known); err != nil {
				failed = err
				continue
			}
		}
		g.Found(was.seq, at)
		seq := g.Seq()
		for cluster, l := range listed {
			if cluster != known.Home && g.Has(cluster, seq, l.all[known.Name]) {
				mirrored[cluster] = append(mirrored[cluster], known.Name)
			}
		}
	}
	for cluster, names := range mirrored {
		if err := noteMirrored(ctx, env, cluster, names); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		if err := env.Groups.Forget(ctx, gone...); err != nil {
			return err
		}
	}
	return failed
}

// state is what a survey begins with of a group: the changes of positions so far, and its moves.
type state struct {
	seq        uint64
	generation int32
}

// ask asks the home of a group that no broker has listed for its positions. It may have lost them,
// but where its coordinator has died it is only that nobody can say now.
func ask(ctx context.Context, env Env, g *catalog.Group) (map[groups.Partition]groups.Position, error) {
	i := slices.IndexFunc(env.Clusters, func(c plugin.Cluster) bool { return c.Name() == g.Home })
	found, err := positions.Of(ctx, env.Clusters[i], env.Groups.Physical(g.Name))
	if err != nil {
		return nil, err
	}
	return VirtualPositions(env, g.Home, found), nil
}

// inherit lets a group of which nothing is known, since its home has not answered, stand where it
// stood when other clusters were last given its positions.
func inherit(g *groups.Group, known *catalog.Group, listed map[string]listing) {
	if g.Whole() {
		return
	}
	all, given := map[groups.Partition]groups.Position{}, map[string]listing{}
	for cluster, l := range listed {
		if !known.MirroredOn(cluster) {
			continue
		}
		given[cluster] = l
		for p, x := range l.all[known.Name] { // the last one to be given something has the most
			if have, ok := all[p]; !ok || x.Offset > have.Offset {
				all[p] = x
			}
		}
	}
	if len(given) == 0 {
		return
	}
	g.Inherit(all)
	seq := g.Seq()
	for cluster, l := range given {
		g.Has(cluster, seq, l.all[known.Name])
	}
}

// nowhere reports that no cluster has a group.
func nowhere(listed map[string]listing, name string) bool {
	for _, l := range listed {
		if _, has := l.all[name]; has {
			return false
		}
	}
	return true
}

// register makes the catalog know the groups of clusters that are their homes: by the rules, or
// since no other cluster has them.
func register(ctx context.Context, env Env, listed map[string]listing) error {
	for cluster, l := range listed {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(l.all)) {
			if env.Catalog.Group(name) != nil {
				continue
			}
			home, ok := listed[env.Groups.Home(name)]
			if _, has := home.all[name]; home.cluster == cluster || ok && !has {
				names = append(names, name)
			}
		}
		if err := env.Groups.SeeAt(ctx, func(string) string { return cluster }, names...); err != nil {
			return err
		}
		if err := env.Catalog.NoteGroupsKnown(ctx, cluster); err != nil {
			return err
		}
	}
	return nil
}
