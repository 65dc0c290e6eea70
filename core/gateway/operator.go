package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plan"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/standing"
)

// operator shows the gateway to operators; it implements admin.Gateway.
type operator struct{ g *Gateway }

// abortWait is how long an aborted move may take to end.
const abortWait = 5 * time.Second

// Status is the state in short.
func (o operator) Status() admin.Status {
	g := o.g
	l, reload := g.now(), g.lastReload()
	s := admin.Status{Started: g.started, Revision: l.snap.Revision, OpenMoves: len(g.runner.Pending()), ConfigError: reload.Error, Broken: g.broken(), Clusters: []admin.Cluster{}, VirtualClusters: []admin.VirtualCluster{}}
	s.Losses.Moves, s.Losses.Records = g.runner.Losses()
	for _, cfg := range l.snap.Clusters {
		c := l.clusters[cfg.Name]
		if c == nil {
			continue
		}
		t := c.Topology()
		k := admin.Cluster{
			Name: cfg.Name, Bootstrap: cfg.Bootstrap, Reachable: c.Reachable(), LastAnswer: c.LastAnswer(), Trouble: trouble(c),
			ClusterID: t.ClusterID, Controller: t.Controller, Nodes: []admin.Node{}, Topics: len(t.Topics),
		}
		for _, b := range t.Brokers {
			n := admin.Node{ID: b.ID, Host: b.Host, Port: b.Port}
			if b.Rack != nil {
				n.Rack = *b.Rack
			}
			k.Nodes = append(k.Nodes, n)
		}
		s.Clusters = append(s.Clusters, k)
	}
	for _, v := range g.virtuals() {
		rt := v.runtime()
		k := admin.VirtualCluster{Name: v.name, Bootstrap: rt.listen.Bootstrap, Topics: len(rt.env.Catalog.Topics()), Sessions: v.server.Sessions()}
		for _, c := range rt.clusters {
			k.Clusters = append(k.Clusters, c.Name)
		}
		s.VirtualClusters = append(s.VirtualClusters, k)
	}
	return s
}

// Config is the configuration in force and how it came to be.
func (o operator) Config() admin.Config {
	l, reload := o.g.now(), o.g.lastReload()
	c := admin.Config{
		Revision: l.snap.Revision, File: l.snap.Path, Config: l.snap.Masked(), Reloaded: reload.At,
		Errors: []admin.ConfigError{}, Warnings: configErrors(l.warnings), Changed: l.changed, Changes: l.changes,
	}
	if c.Changes == nil {
		c.Changes = []admin.Change{}
	}
	var positioned config.Errors
	switch {
	case errors.As(reload.err, &positioned):
		c.Errors = configErrors(positioned)
	case reload.err != nil:
		c.Errors = append(c.Errors, admin.ConfigError{Message: reload.err.Error()})
	}
	return c
}

func configErrors(errs config.Errors) []admin.ConfigError {
	out := []admin.ConfigError{}
	for _, e := range errs {
		out = append(out, admin.ConfigError{Line: e.Line, Column: e.Col, Path: e.Path, Message: e.Msg})
	}
	return out
}

// virtual finds a virtual cluster by name; "" is the only one.
func (o operator) virtual(name string) (*virtual, error) {
	all := o.g.virtuals()
	for _, v := range all {
		if v.name == name || name == "" && len(all) == 1 {
			return v, nil
		}
	}
	return nil, &admin.Error{Status: http.StatusNotFound, Message: "no virtual cluster " + name + "; the file names them under virtual_clusters"}
}

// Groups lists the groups of a virtual cluster with their positions.
func (o operator) Groups(ctx context.Context, vc string) (admin.Groups, error) {
	v, err := o.virtual(vc)
	if err != nil {
		return admin.Groups{}, err
	}
	rt := v.runtime()
	env := standingEnv(rt)
	groups, err := standing.Groups(ctx, env)
	out := admin.Groups{Groups: []admin.Group{}}
	if err != nil {
		out.Problem = err.Error()
	}
	topics := map[string]standing.Topic{}
	for _, s := range o.g.standing.Survey(ctx, env, rt.env.Catalog.Topics(), true) {
		topics[s.Topic.Name] = s
	}
	for _, g := range groups {
		name, ok := strings.CutPrefix(g.Name, rt.prefix())
		if !ok {
			continue // another virtual cluster's
		}
		k := admin.Group{Name: name, Home: g.Cluster, State: g.State, Positions: []admin.Position{}}
		rt.standGroup(&k)
		for _, p := range g.Positions {
			s := topics[p.Topic.Name]
			// Where the log ends is known better now than when the group was asked.
			x := admin.Position{Topic: p.Topic.Name, Partition: p.Partition, Offset: p.Topic.Settle(p.Partition, p.Offset), End: admin.Unknown, Held: map[string]admin.Held{}}
			if int(p.Partition) < len(s.Partitions) {
				x.End = s.Partitions[p.Partition].End
			}
			for _, c := range s.Copies {
				x.Held[c.Cluster] = admin.HeldUnknown
				if int(p.Partition) >= len(c.Partitions) {
					continue
				}
				switch holds, known := p.Held(c.Partitions[p.Partition]); {
				case known && holds:
					x.Held[c.Cluster] = admin.HeldYes
				case known:
					x.Held[c.Cluster] = admin.HeldNo
				}
			}
			switch {
			case x.End < 0 || k.Lag < 0:
				k.Lag = admin.Unknown
			default:
				k.Lag += max(x.End-x.Offset, 0)
			}
			k.Positions = append(k.Positions, x)
		}
		out.Groups = append(out.Groups, k)
	}
	return out, nil
}

// Clients lists the sessions by their number.
func (o operator) Clients() []admin.Client {
	out := []admin.Client{}
	for _, v := range o.g.virtuals() {
		for _, c := range v.server.Clients() {
			software, version, _ := strings.Cut(c.Software, " ")
			out = append(out, admin.Client{
				ID: c.ID, VirtualCluster: v.name, Address: c.Address, ClientID: c.Name, Software: software, SoftwareVersion: version,
				Cluster: c.Cluster, Node: c.Node, Since: c.Since, InFlight: c.InFlight, Requests: c.Requests, BytesIn: c.In, BytesOut: c.Out,
			})
		}
	}
	slices.SortFunc(out, func(a, b admin.Client) int { return int(a.ID) - int(b.ID) })
	return out
}

// Traffic counts requests.
func (o operator) Traffic() []admin.Traffic {
	out := []admin.Traffic{}
	for _, v := range o.g.virtuals() {
		t := admin.Traffic{VirtualCluster: v.name, APIs: []admin.APITraffic{}}
		for _, a := range v.server.Traffic() {
			t.APIs = append(t.APIs, admin.APITraffic{API: a.Name, Requests: a.Requests, BytesIn: a.In, BytesOut: a.Out, Latency: a.Latency.Histogram})
		}
		out = append(out, t)
	}
	return out
}

// Plugins lists the interceptors of every chain, top to bottom, with what they say of themselves.
func (o operator) Plugins() []admin.Plugin {
	out := []admin.Plugin{}
	for _, v := range o.g.virtuals() {
		for _, m := range v.runtime().chain.All() {
			s := admin.Plugin{VirtualCluster: v.name, Interceptor: m.Name}
			if r, ok := m.Interceptor.(plugin.Reporter); ok {
				s.Status = r.Report()
			}
			if b, ok := m.Interceptor.(plugin.Breakable); ok {
				if err := o.g.Snapshot().Hide(b.Broken()); err != nil {
					s.Broken = err.Error()
				}
			}
			out = append(out, s)
		}
	}
	return out
}

// Moves lists all moves.
func (o operator) Moves() []failover.Report { return o.g.runner.Moves() }

// Plan says what moves would do now.
func (o operator) Plan(ctx context.Context, m admin.Move) (plan.Plans, error) {
	rt, err := o.resolve(&m)
	if err != nil {
		return plan.Plans{}, err
	}
	return plan.Of(ctx, o.g.runner, o.g.standing, o.g.failoverEnv(rt), plan.What{Topics: m.Topics, Groups: m.Groups, To: m.To, Unplanned: m.Unplanned})
}

// Start makes the edit that moves topics.
func (o operator) Start(ctx context.Context, revision string, m admin.Move) (admin.Started, error) {
	rt, err := o.resolve(&m)
	if err != nil {
		return admin.Started{}, err
	}
	about(ctx, m.VirtualCluster, m.Topics...)
	p := rt.chain.Placement()
	var edits []config.Edit
	if m.From != "" {
		if b, ok := p.(plugin.Leaver); ok {
			edits = b.LeaveCluster(m.From, m.To)
		}
	} else {
		for _, t := range m.Topics { // what the general rules don't move gets a rule of its own
			edits = append(edits, p.SetHome(t, m.To, "")...)
		}
		for _, g := range m.Groups {
			edits = append(edits, p.SetGroupHome(g, m.To)...)
		}
	}
	at := time.Now()
	following := plan.Following(o.g.failoverEnv(rt), plan.What{Topics: m.Topics, Groups: m.Groups, To: m.To})
	opts := failover.Options{Edited: func(x failover.Movable) bool {
		if x.Kind == failover.Group {
			known := rt.env.Catalog.Group(x.Name)
			return slices.Contains(m.Groups, x.Name) || known != nil && known.Home != m.To && p.Follows(x.Name)
		}
		return slices.Contains(m.Topics, x.Name)
	}, Unplanned: m.Unplanned, Atomic: m.Atomic}
	if err := o.edit(ctx, revision, edits, opts); err != nil {
		return admin.Started{}, err
	}
	return admin.Started{VirtualCluster: m.VirtualCluster, Topics: m.Topics, Groups: m.Groups, Following: following, To: m.To, At: at}, nil
}

// Abort takes the edit behind a move back.
func (o operator) Abort(ctx context.Context, revision, id string) (failover.Report, error) {
	rep, ok := o.g.runner.Move(id)
	about(ctx, rep.VirtualCluster, rep.Topic)
	switch {
	case !ok:
		return rep, &admin.Error{Status: http.StatusNotFound, Message: "no move " + id}
	case rep.Phase.Committed() || !rep.Ended.IsZero():
		return rep, &admin.Error{Status: http.StatusConflict, Message: fmt.Sprintf("the move is %s: to have the %s back on %s, move it there", rep.Phase, rep.Kind, rep.From)}
	}
	v, err := o.virtual(rep.VirtualCluster)
	if err != nil {
		return rep, err
	}
	p := v.runtime().chain.Placement()
	edits := p.SetHome(rep.Topic, rep.From, "")
	if rep.Kind == failover.Group {
		edits = p.SetGroupHome(rep.Topic, rep.From)
	}
	if err := o.edit(ctx, revision, edits, failover.Options{Edited: func(m failover.Movable) bool { return m == rep.What() }}); err != nil {
		return rep, err
	}
	ctx, cancel := context.WithTimeout(ctx, abortWait)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for rep.Ended.IsZero() && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		rep, _ = o.g.runner.Move(id)
	}
	if rep.Phase.Committed() {
		return rep, &admin.Error{Status: http.StatusConflict, Message: "the move was committed before the edit came into force; a move back has begun"}
	}
	return rep, nil
}

// Acknowledge notes that possible losses are dealt with.
func (o operator) Acknowledge(ctx context.Context, a admin.Acknowledge) ([]failover.Report, error) {
	var topics []string
	vc := ""
	for _, m := range o.g.runner.Moves() {
		if a.All && m.Stands() {
			a.Moves = append(a.Moves, m.ID)
		}
		if slices.Contains(a.Moves, m.ID) {
			vc, topics = m.VirtualCluster, append(topics, m.Topic)
		}
	}
	about(ctx, vc, topics...)
	out, err := o.g.runner.Acknowledge(ctx, audit.Of(ctx).User, a.Moves...)
	if errors.Is(err, failover.ErrNoLoss) {
		err = &admin.Error{Status: http.StatusConflict, Message: err.Error()}
	}
	return out, err
}

// edit makes edits of the revision that they are meant for.
func (o operator) edit(ctx context.Context, revision string, edits []config.Edit, opts failover.Options) error {
	err := o.g.editFile(context.WithoutCancel(ctx), revision, edits, opts)
	var own *admin.Error
	switch {
	case err == nil, errors.As(err, &own):
		return err
	case errors.Is(err, config.ErrReference):
		return &admin.Error{Status: http.StatusBadRequest, Message: err.Error()}
	case errors.Is(err, config.ErrReadOnly):
		return &admin.Error{Status: http.StatusConflict, Message: err.Error() + ": edit it where it comes from (a ConfigMap, a repository)"}
	}
	return &admin.Error{Status: http.StatusConflict, Message: err.Error()}
}

// resolve checks what is asked, and completes it: the virtual cluster, names for aliases, and the
// topics that live on From.
func (o operator) resolve(m *admin.Move) (*runtime, error) {
	if all := o.g.virtuals(); m.VirtualCluster == "" && len(all) == 1 {
		m.VirtualCluster = all[0].name
	}
	_, rt, p, err := o.g.placement(m.VirtualCluster)
	if err != nil {
		return nil, err
	}
	for _, c := range []*string{&m.To, &m.From} {
		if *c == "" {
			continue
		}
		known, ok := o.g.Snapshot().Cluster(*c)
		if !ok {
			return nil, &admin.Error{Status: 400, Message: fmt.Sprintf("no cluster %q", *c)}
		}
		*c = known.Name
	}
	if m.To == "" || (m.From == "") == (len(m.Topics)+len(m.Groups) == 0) {
		return nil, &admin.Error{Status: 400, Message: "name the target, and either topics and groups, or the cluster that is to be left"}
	}
	if m.Groups == nil || m.From != "" {
		m.Groups = []string{}
	}
	if m.From != "" {
		m.Topics = nil
	}
	if m.Topics == nil {
		m.Topics = []string{}
	}
	for _, g := range m.Groups {
		if rt.env.Catalog.Group(g) == nil {
			return nil, &admin.Error{Status: http.StatusNotFound, Message: fmt.Sprintf("no group %q is known: those that are, are listed by GET /api/v1/groups/%s", g, m.VirtualCluster)}
		}
	}
	for _, t := range rt.env.Catalog.Topics() {
		if m.From != "" && t.Home == m.From && p.Home(t.Name).Shown {
			m.Topics = append(m.Topics, t.Name)
		}
	}
	slices.Sort(m.Topics)
	return rt, nil
}

// Capture waits for requests and their answers.
func (o operator) Capture(ctx context.Context, vc string, c admin.Capture) ([]admin.Exchange, error) {
	v, err := o.virtual(vc)
	if err != nil {
		return nil, err
	}
	about(ctx, v.name)
	var list []kmsg.Key
	for _, name := range c.APIs {
		key, ok := kafka.KeyOf(name)
		if !ok {
			return nil, &admin.Error{Status: http.StatusBadRequest, Message: "there is no Kafka API " + name}
		}
		list = append(list, key)
	}
	keys := kafka.NewKeySet(list...)
	if len(list) == 0 {
		keys = kafka.KeySet{^uint64(0), ^uint64(0)}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Seconds)*time.Second)
	defer cancel()
	var out []admin.Exchange
	for _, x := range v.server.Capture(ctx, keys, c.Exchanges) {
		e := admin.Exchange{API: kmsg.NameForKey(int16(x.Key)), Version: x.Version, ClientID: x.ClientID, Request: x.Request, Response: x.Response, Topics: map[string]string{}}
		for _, id := range kafka.TopicIDsOf(x.Key, x.Version, x.Request, x.Response) {
			if t := v.runtime().env.Catalog.ByID(id); t != nil {
				e.Topics[hex.EncodeToString(id[:])] = t.Name
			}
		}
		out = append(out, e)
	}
	return out, nil
}
