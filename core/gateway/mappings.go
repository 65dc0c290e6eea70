package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// applyWait is how long a call waits for its move before it says that it is pending.
const applyWait = 20 * time.Second

// pendingDelete is an announced edit: cluster none, at the end of the grace.
type pendingDelete struct {
	at    time.Time
	timer *time.Timer
}

func uuid(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// Ready is what the gateway can serve.
func (o operator) Ready() admin.Ready {
	l := o.g.now()
	r := admin.Ready{
		Status: "ready", Clusters: map[string]admin.ClusterState{}, PendingMoves: o.g.runner.Pending(),
		Outside: map[string]map[string][]int32{}, ConfigError: o.g.lastReload().Error, Broken: o.g.broken(),
	}
	for name, c := range l.clusters {
		r.Clusters[name] = admin.ClusterState{Reachable: c.Reachable(), LastAnswer: c.LastAnswer(), Trouble: trouble(c), Refused: c.Loop()}
	}
	if o.g.ends() {
		r.Status = admin.Draining
	}
	for name, rt := range l.runtimes {
		if out := rt.nodes.Outside(); len(out) > 0 {
			r.Outside[name] = out
		}
	}
	return r
}

// trouble is what the last health check of a cluster failed with.
func trouble(c plugin.Cluster) string {
	switch err := c.Trouble(); {
	case err == nil:
		return ""
	case plugin.Lives(err) != nil:
		return plugin.Lives(err).Error()
	}
	return plugin.ErrUnreachable.Error()
}

// Routes lists the topics of every virtual cluster.
func (o operator) Routes() map[string][]admin.Route {
	out := map[string][]admin.Route{}
	for _, v := range o.g.virtuals() {
		rt := v.runtime()
		list := []admin.Route{}
		for _, t := range rt.env.Catalog.Topics() {
			wanted, _, _ := rt.place(t.Name)
			r := admin.Route{Topic: t.Name, ID: uuid(t.ID), Home: t.Home, Wanted: wanted, Names: t.Names, Generation: t.Generation, Partitions: len(t.Partitions), Missing: t.Missing}
			for c := range t.Stubs {
				r.Stubs = append(r.Stubs, c)
			}
			if c := rt.env.Cluster(t.Home); c != nil {
				r.Reachable, r.Trouble = c.Reachable(), trouble(c)
			}
			list = append(list, r)
		}
		out[v.name] = list
	}
	return out
}

// placement finds a virtual cluster and its routing.
func (g *Gateway) placement(name string) (*virtual, *runtime, plugin.Placement, error) {
	for _, v := range g.virtuals() {
		if v.name != name {
			continue
		}
		rt := v.runtime()
		p := rt.chain.Placement()
		if p == nil {
			return nil, nil, nil, &admin.Error{Status: 409, Message: "virtual cluster " + name + " has no routing in its chain, so its topics have no mappings"}
		}
		return v, rt, p, nil
	}
	return nil, nil, nil, &admin.Error{Status: 404, Message: "no virtual cluster " + name + "; the file names them under virtual_clusters"}
}

// Mappings says where the topics of a virtual cluster are.
func (o operator) Mappings(vc string) ([]admin.Mapping, error) {
	_, rt, p, err := o.g.placement(vc)
	if err != nil {
		return nil, err
	}
	names := p.Topics()
	for _, t := range rt.env.Catalog.Topics() {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	out := []admin.Mapping{}
	for _, n := range names {
		home, physical, _ := rt.place(n)
		if h := p.Home(n); !h.Shown {
			home = "none"
		}
		m := admin.Mapping{LogicalTopicName: n, ClusterID: home, TopicName: physical[home], IsVirtual: true}
		if m.TopicName == "" {
			m.TopicName = n
		}
		o.g.mu.Lock()
		if d := o.g.deletes[[2]string{rt.env.VirtualCluster, n}]; d != nil {
			m.PendingDelete = &d.at
		}
		o.g.mu.Unlock()
		out = append(out, m)
	}
	return out, nil
}

// SetMapping puts a topic on a cluster: one edit of the file, and one move if the topic lives
// elsewhere.
func (o operator) SetMapping(ctx context.Context, vc, topic, cluster, name string) (admin.Moved, error) {
	v, _, p, err := o.g.placement(vc)
	if err != nil {
		return admin.Moved{}, err
	}
	snap := o.g.Snapshot()
	c, ok := snap.Cluster(cluster)
	if !ok {
		var names []string
		for _, k := range snap.Clusters {
			names = append(names, k.Name)
		}
		return admin.Moved{}, &admin.Error{Status: 400, Message: fmt.Sprintf("no cluster %q; the file names %v", cluster, names)}
	}
	about(ctx, v.name, topic)
	edits := p.SetHome(topic, c.Name, name)
	o.g.cancelDelete(v.name, topic)
	if err := o.edit(ctx, "", edits, failover.Options{Edited: failover.Topics(func(t string) bool { return t == topic })}); err != nil {
		return admin.Moved{}, err
	}
	return o.g.waitForMove(ctx, v.name, topic), nil
}

// EditFile makes edits to the file and applies the result. On an error the file is unchanged.
func (g *Gateway) EditFile(ctx context.Context, edits []config.Edit, o failover.Options) error {
	return g.editFile(ctx, "", edits, o)
}

// editFile is EditFile of a certain revision; "" is any.
func (g *Gateway) editFile(ctx context.Context, revision string, edits []config.Edit, o failover.Options) error {
	g.editing.Lock()
	defer g.editing.Unlock()
	before := g.Snapshot()
	audit.Of(ctx).Before = before.Revision
	if revision != "" && revision != before.Revision {
		return &admin.Error{Status: http.StatusPreconditionFailed, Message: fmt.Sprintf("somebody has edited the file meanwhile: revision %s is in force, not %s; look at it, then try again", before.Revision, revision)}
	}
	after, err := config.Apply(before.Source, edits...)
	if err != nil {
		return err
	}
	next, err := before.Edited(after)
	if err != nil {
		return err
	}
	describe(ctx, before, next)
	if len(edits) > 0 {
		if err := config.WriteFile(before.Path, before.Source, after); err != nil {
			return err
		}
	}
	err = g.ApplySource(ctx, after, o)
	if err != nil && g.Snapshot() == before && len(edits) > 0 { // what can't come into force must not meet the next start
		err = errors.Join(err, config.WriteFile(before.Path, after, before.Source))
	}
	return err
}

// waitForMove waits for the move of a topic, if there is one, for a while.
func (g *Gateway) waitForMove(ctx context.Context, vc, topic string) admin.Moved {
	ctx, cancel := context.WithTimeout(ctx, applyWait)
	defer cancel()
	m := admin.Moved{Moves: []failover.Report{}}
	for {
		rep, ok, err := g.runner.Wait(ctx, vc, failover.Movable{Kind: failover.Topic, Name: topic})
		if !ok {
			return m
		}
		if err == nil && rep.Phase == failover.Dropped {
			continue // a newer edit took its place
		}
		m.Pending = err != nil || rep.Phase != failover.Done
		m.Moves = append(m.Moves, rep)
		return m
	}
}

// DeleteMapping announces that a topic is to belong to no cluster.
func (o operator) DeleteMapping(ctx context.Context, vc, topic string) (admin.Announced, error) {
	v, _, p, err := o.g.placement(vc)
	if err != nil {
		return admin.Announced{}, err
	}
	if h := p.Home(topic); !h.Shown {
		return admin.Announced{}, &admin.Error{Status: 404, Message: "topic " + topic + " has no mapping"}
	}
	about(ctx, v.name, topic)
	asked := audit.Of(ctx).Actor
	grace := o.g.Snapshot().Admin.DeleteGrace
	var run func()
	run = func() {
		e := &audit.Entry{Time: time.Now(), Action: "delete_mapping", Actor: asked}
		ctx := audit.With(context.Background(), e)
		about(ctx, v.name, topic)
		err := o.g.EditFile(ctx, v.runtime().chain.Placement().SetHome(topic, "none", ""), failover.Options{})
		switch {
		case errors.Is(err, config.ErrChanged):
			// Somebody edits the file just now: what they decide of the topic cancels this.
			o.g.announceDelete(v.name, topic, time.Second, run)
		case err != nil:
			o.g.refused(e, 0, err)
			o.g.log.Error("mapping not deleted", "virtual_cluster", v.name, "topic", topic, "error", err)
		}
	}
	return admin.Announced{Grace: grace, At: o.g.announceDelete(v.name, topic, grace, run)}, nil
}

func (g *Gateway) announceDelete(vc, topic string, grace time.Duration, run func()) time.Time {
	g.cancelDelete(vc, topic)
	key := [2]string{vc, topic}
	d := &pendingDelete{at: time.Now().Add(grace)}
	g.mu.Lock()
	defer g.mu.Unlock()
	d.timer = guard.After(grace, func() {
		g.mu.Lock()
		mine := g.deletes[key] == d
		delete(g.deletes, key)
		g.mu.Unlock()
		if mine {
			run()
		}
	})
	g.deletes[key] = d
	return d.at
}

func (g *Gateway) cancelDelete(vc, topic string) {
	g.cancelDeletes(func(v, t string) bool { return v == vc && t == topic })
}

// cancelDeletes drops announced deletes.
func (g *Gateway) cancelDeletes(which func(vc, topic string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, d := range g.deletes {
		if which(k[0], k[1]) {
			d.timer.Stop()
			delete(g.deletes, k)
		}
	}
}

// CreateTopic creates a topic.
func (o operator) CreateTopic(ctx context.Context, vc, topic string) (admin.Created, error) {
	v, rt, p, err := o.g.placement(vc)
	if err != nil {
		return admin.Created{}, err
	}
	about(ctx, v.name, topic)
	c, ok := p.(plugin.Creator)
	if !ok {
		return admin.Created{}, &admin.Error{Status: 501, Message: "this routing can't create topics"}
	}
	if err := c.Create(ctx, topic); err != nil {
		return admin.Created{}, &admin.Error{Status: 502, Message: "topic " + topic + " not created: " + err.Error()}
	}
	home, names, _ := rt.place(topic)
	return admin.Created{Name: topic, ClusterID: home, TopicName: names[home]}, nil
}
