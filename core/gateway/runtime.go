package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/chain"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gate"
	"github.com/sluice-gateway/sluice/core/groups"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/server"
	"github.com/sluice-gateway/sluice/core/upstream"
)

// virtual is a virtual cluster over all its runtimes. Gates, catalog and connections outlive them.
type virtual struct {
	name    string
	gates   *gate.Gates
	groups  *groups.Groups
	server  *server.Server
	costs   map[string]*chain.Cost // by interceptor; under applying
	closing *guard.Group           // of runtimes that nobody uses any more

	mu      sync.Mutex
	current *runtime
}

// runtime is a snapshot of a virtual cluster made live.
type runtime struct {
	virtual  *virtual
	server   server.Runtime
	chain    *chain.Chain
	env      plugin.Env
	nodes    *upstream.NodeMap
	listen   config.Listen
	clusters []config.Cluster
	gateways func() []string
	// certificate is nil for listeners without TLS.
	certificate *certificate
	tls         *tls.Config

	wants   sync.Map // where the rules put topics: strings, by name
	refs    int      // under virtual.mu: the live that it is of, and requests
	closers []io.Closer
}

// Name is the name of the virtual cluster.
func (v *virtual) Name() string { return v.name }

// Acquire returns the current runtime for one request.
func (v *virtual) Acquire() *server.Runtime {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current.refs++
	return &v.current.server
}

// Release gives a runtime back.
func (v *virtual) Release(s *server.Runtime) { v.release(s.Owner.(*runtime)) }

func (v *virtual) release(rt *runtime) {
	v.mu.Lock()
	rt.refs--
	last := rt.refs == 0
	v.mu.Unlock()
	if last {
		v.closing.Go(rt.close)
	}
}

// swap makes rt current.
func (v *virtual) swap(rt *runtime) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current = rt
}

// close closes the interceptors, then what is below them.
func (rt *runtime) close() {
	for _, c := range slices.Backward(rt.closers) {
		_ = c.Close()
	}
}

// runtime returns the current runtime for reading.
func (v *virtual) runtime() *runtime {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.current
}

// setVersions replaces what clients may use.
func (v *virtual) setVersions(s *server.Versions) { v.runtime().server.Versions.Store(s) }

// newVirtual makes a virtual cluster that the configuration before did not have.
func (g *Gateway) newVirtual(name string, limit time.Duration) *part[*virtual] {
	v := &virtual{name: name, gates: gate.New(limit), groups: groups.New(g.catalog.Virtual(name)), costs: map[string]*chain.Cost{}, closing: &g.closing}
	v.gates.Log = g.log.With("virtual_cluster", name)
	v.server = server.New(v, server.Options{
		Pool: g.pool, Memory: g.memory, Descriptors: g.files, Log: g.logs.Logger("server"), TLS: func() *tls.Config { return v.runtime().tls },
		Route: func(name string) (string, int32, bool) {
			now := v.runtime()
			return now.listen.Route(now.clusters, name)
		},
	})
	return newPart(v, func(v *virtual) {
		g.closing.Go(func() {
			if rt := v.runtime(); rt != nil {
				ctx, cancel := context.WithTimeout(context.Background(), rt.server.Limits.Drain)
				defer cancel()
				v.server.Drain(ctx)
			}
			_ = v.server.Close()
		})
	})
}

// openRuntimes builds the runtime of every virtual cluster. It tells all that is wrong with their
// chains.
func (g *Gateway) openRuntimes(ctx context.Context, l, old *live) error {
	l.virtuals, l.runtimes = map[string]*part[*virtual]{}, map[string]*runtime{}
	var errs config.Errors
	for i := range l.snap.VirtualClusters {
		vc := &l.snap.VirtualClusters[i]
		v := old.virtuals[vc.Name].share()
		if v == nil {
			v = g.newVirtual(vc.Name, l.snap.Failover.Request)
		}
		l.virtuals[vc.Name] = v
		rt, err := g.openRuntime(ctx, l, vc, v.value, g.store != nil && old.snap == nil)
		var positioned config.Errors
		switch {
		case errors.As(err, &positioned):
			errs = append(errs, positioned...)
		case err != nil:
			return err
		default:
			l.runtimes[vc.Name] = rt
		}
	}
	errs = append(errs, shared(l.snap, l.runtimes)...)
	errs = append(errs, stranded(l.snap, l.runtimes)...)
	l.warnings = doubts(l.snap, l.runtimes)
	return errs.Err()
}

// openRuntime builds a runtime. On an error nothing is left open.
func (g *Gateway) openRuntime(ctx context.Context, l *live, vc *config.VirtualCluster, v *virtual, starting bool) (*runtime, error) {
	spans := l.snap.Spans(vc)
	rt := &runtime{virtual: v, listen: vc.Listen, clusters: spans, refs: 1}
	rt.closers = append(rt.closers, l.tracer.share(), l.access.share()) // requests in flight go on after an edit
	var list []*upstream.Cluster
	rt.env = plugin.Env{
		VirtualCluster: vc.Name, Configs: spans, Catalog: g.catalog.Virtual(vc.Name), Gates: v.gates, Groups: v.groups,
		ProducerIDs: g.ids, Timing: l.snap.Failover, Starting: starting, Hide: l.snap.Hide,
	}
	for _, c := range spans {
		list = append(list, l.clusters[c.Name])
		rt.env.Clusters = append(rt.env.Clusters, l.clusters[c.Name])
		rt.closers = append(rt.closers, l.clusters[c.Name].Share())
	}
	rt.nodes = upstream.NewNodeMap(vc.Listen, list)
	rt.env.Nodes = rt.nodes
	members, errs := g.openInterceptors(ctx, rt, vc)
	end := upstream.NewDispatcher(vc.Name, list, rt.nodes, l.snap.Failover.Request)
	if len(errs) == 0 {
		var err error
		if rt.chain, err = chain.New(members, end, spansOf(l)); err != nil {
			errs = config.Errors{vc.Chain[0].Section.Errorf(nil, "%v", err)}
		}
	}
	if len(errs) > 0 {
		rt.close()
		return nil, errs
	}
	rt.server.Chain, rt.server.End, rt.server.Limits, rt.server.Tracer, rt.server.Owner = rt.chain, end, l.snap.Limits, l.tracer.get(), rt
	rt.server.Access = accessOf(l)
	rt.server.Watch = server.NewWatch(l.snap.Telemetry.Metrics.Topics, l.snap.Telemetry.Metrics.Clients)
	rt.server.TopicName = func(id [16]byte) string {
		if t := rt.env.Catalog.ByID(id); t != nil {
			return t.Name
		}
		return ""
	}
	rt.gateways = g.gateways
	rt.server.Versions.Store(rt.versions(vc.Name))
	return rt, nil
}

// openInterceptors builds the interceptors of a chain; its runtime closes them.
func (g *Gateway) openInterceptors(ctx context.Context, rt *runtime, vc *config.VirtualCluster) (members []chain.Named, errs config.Errors) {
	titles := map[string]bool{}
	for _, entry := range vc.Chain {
		if e := entry.Unknown(g.types()); e != nil {
			errs = append(errs, e)
			continue
		}
		spec := g.spec(entry.Type)
		env := rt.env
		env.Log = g.logs.Logger(entry.Type).With("virtual_cluster", vc.Name)
		i, err := spec.New(ctx, env, entry.Section)
		if err != nil {
			errs = append(errs, positioned(entry.Section, err)...)
			continue
		}
		if c, ok := i.(io.Closer); ok {
			rt.closers = append(rt.closers, c)
		}
		name := entry.Type
		if t, ok := i.(plugin.Titled); ok {
			if _, runs := i.(plugin.Coded); runs && titles[t.Title()] {
				err := entry.Section.Errorf([]string{"name"}, "another plugin of this chain is called %q too: give one of them another name", t.Title())
				if !env.Starting { // a module may have got another name while the gateway was down
					errs = append(errs, err)
					continue
				}
				env.Log.Error("two plugins are called the same", "error", err)
			}
			titles[t.Title()] = true
			name += " " + t.Title()
		}
		members = append(members, chain.Named{Name: name, Stage: spec.Stage, Interceptor: i, Cost: rt.virtual.cost(name)})
	}
	return members, errs
}

// cost counts an interceptor over the runtimes of its virtual cluster.
func (v *virtual) cost(interceptor string) *chain.Cost {
	if v.costs[interceptor] == nil {
		v.costs[interceptor] = &chain.Cost{}
	}
	return v.costs[interceptor]
}

// addresses are the bootstrap address and one for every node that the clusters may have, also dead
// and unknown ones: a client whose every known node is gone would rebalance in a loop.
func (rt *runtime) addresses() map[server.Address]string {
	out := map[server.Address]string{{Node: plugin.AnyNode}: rt.listen.Bootstrap}
	for _, c := range rt.clusters {
		for n := c.Nodes.First; n <= c.Nodes.Last; n++ {
			if a := rt.listen.Bind(rt.clusters, c.Name, n); a != "" {
				out[server.Address{Cluster: c.Name, Node: n}] = a
			}
		}
	}
	return out
}

// types are those of interceptors that chains may name.
func (g *Gateway) types() (types []string) {
	for _, s := range g.opts.Specs {
		types = append(types, s.Type)
	}
	return types
}

func (g *Gateway) spec(kind string) plugin.Spec {
	for _, s := range g.opts.Specs {
		if s.Type == kind {
			return s
		}
	}
	return plugin.Spec{}
}

// versions computes what clients may use from what is known of the clusters now.
func (rt *runtime) versions(name string) *server.Versions {
	var known []*kmsg.ApiVersionsResponse
	for _, c := range rt.env.Clusters {
		known = append(known, c.Topology().Versions)
	}
	vnode := func(cluster string, node int32) int32 { return rt.nodes.Virtual(cluster, node).ID }
	v := server.NewVersions(upstream.VirtualClusterID(name), vnode, known, rt.chain)
	v.Among(rt.gateways)
	return v
}

// hides reports a topic that the chain does not show.
func (rt *runtime) hides(topic string) bool {
	namer := rt.chain.Namer()
	return rt.owns(topic) || namer != nil && namer.Hides(topic)
}

// owns reports a topic that clusters and replicators keep for themselves.
func (rt *runtime) owns(topic string) bool {
	if namer := rt.chain.Namer(); namer != nil {
		topic = namer.PhysicalName(topic)
	}
	return rt.env.Timing.Own(topic)
}

// wanted is the home that the rules give a topic. It is found once: every page of topics asks for
// it, of all of them.
func (rt *runtime) wanted(topic string) string {
	if home, known := rt.wants.Load(topic); known {
		return home.(string)
	}
	home, _, _ := rt.place(topic)
	rt.wants.Store(topic, home)
	return home
}

// place is where the rules put a topic; a chain without routing has one home.
func (rt *runtime) place(topic string) (home string, names map[string]string, ok bool) {
	if rt.hides(topic) {
		return "", nil, false
	}
	physical := topic
	if namer := rt.chain.Namer(); namer != nil {
		physical = namer.PhysicalName(topic)
	}
	h := plugin.Home{Cluster: rt.env.Clusters[0].Name(), Shown: true}
	if p := rt.chain.Placement(); p != nil {
		h = p.Home(topic)
	}
	names = map[string]string{}
	for _, c := range rt.env.Clusters {
		if names[c.Name()] = physical; h.Names[c.Name()] != "" {
			names[c.Name()] = h.Names[c.Name()]
		}
	}
	return h.Cluster, names, h.Shown
}
