package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/server"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/upstream"
)

// virtual is a virtual cluster over all its runtimes. Gates, catalog and connections outlive them.
type virtual struct {
	name   string
	gates  *plugin.Gates
	server *server.Server

	mu      sync.Mutex
	current *runtime
	closing guard.Group // runtimes that are not current any more
}

// runtime is a snapshot of a virtual cluster made live.
type runtime struct {
	server   server.Runtime
	chain    *plugin.Chain
	env      plugin.Env
	nodes    *upstream.NodeMap
	listen   config.Listen
	clusters []config.Cluster
	gateways func() []string
	// certificate is nil for listeners without TLS.
	certificate *certificate
	tls         *tls.Config

	refs    int // under virtual.mu; 1 while current
	closers []io.Closer
	once    sync.Once
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

// swap makes rt current; the old one is closed when its last request is answered.
func (v *virtual) swap(rt *runtime) {
	v.mu.Lock()
	old := v.current
	if old == rt { // a new virtual cluster, which listens already
		v.mu.Unlock()
		return
	}
	rt.refs = 1
	v.current = rt
	v.mu.Unlock()
	v.release(old)
}

// retire closes the runtimes of a virtual cluster whose server is closed.
func (v *virtual) retire() {
	v.mu.Lock()
	rt := v.current
	v.mu.Unlock()
	if rt != nil {
		rt.close()
	}
	v.closing.Wait()
}

// close closes the interceptors, then the clusters below them.
func (rt *runtime) close() {
	rt.once.Do(func() {
		for _, c := range slices.Backward(rt.closers) {
			_ = c.Close()
		}
	})
}

// runtime returns the current runtime for reading.
func (v *virtual) runtime() *runtime {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.current
}

// setVersions replaces what clients may use.
func (v *virtual) setVersions(s *server.Versions) { v.runtime().server.Versions.Store(s) }

// build makes a runtime of a virtual cluster. On an error nothing is left open.
func (g *Gateway) build(ctx context.Context, snap *config.Snapshot, vc *config.VirtualCluster, clusters map[string]*upstream.Cluster, gates *plugin.Gates, tracer *telemetry.Tracer) (*runtime, error) {
	spans := snap.Spans(vc)
	rt := &runtime{listen: vc.Listen, clusters: spans}
	var list []*upstream.Cluster
	rt.env = plugin.Env{
		VirtualCluster: vc.Name, Catalog: g.catalog.Virtual(vc.Name), Gates: gates,
		ProducerIDs: g.ids, Timing: snap.Failover,
	}
	for _, c := range spans {
		list = append(list, clusters[c.Name])
		rt.env.Clusters = append(rt.env.Clusters, clusters[c.Name])
		rt.closers = append(rt.closers, clusters[c.Name].Share())
	}
	rt.nodes = upstream.NewNodeMap(vc.Listen, list)
	rt.env.Nodes = rt.nodes
	var members []plugin.Named
	var errs config.Errors
	for _, entry := range vc.Chain {
		spec := g.spec(entry.Type)
		env := rt.env
		env.Log = g.logs.Logger(entry.Type).With("virtual_cluster", vc.Name)
		i, err := spec.New(ctx, env, entry.Section)
		var positioned config.Errors
		switch {
		case errors.As(err, &positioned):
			errs = append(errs, positioned...)
			continue
		case err != nil:
			errs = append(errs, entry.Section.Errorf(nil, "%v", err))
			continue
		}
		if c, ok := i.(io.Closer); ok {
			rt.closers = append(rt.closers, c)
		}
		name := entry.Type
		if t, ok := i.(plugin.Titled); ok {
			name += " " + t.Title()
		}
		members = append(members, plugin.Named{Name: name, Stage: spec.Stage, Interceptor: i, Cost: g.cost(vc.Name, name)})
	}
	if len(errs) > 0 {
		rt.close()
		return nil, errs
	}
	end := upstream.NewEnd(vc.Name, list, rt.nodes, snap.Failover.Request)
	chain, err := plugin.NewChain(members, end, tracer != nil)
	if err != nil {
		rt.close()
		return nil, config.Errors{vc.Chain[0].Section.Errorf(nil, "%v", err)}
	}
	rt.chain = chain
	rt.server.Chain, rt.server.End, rt.server.Limits, rt.server.Tracer, rt.server.Owner = chain, end, snap.Limits, tracer, rt
	rt.server.Access = g.openAccess(snap)
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

// cost counts an interceptor over its runtimes.
func (g *Gateway) cost(virtualCluster, interceptor string) *plugin.Cost {
	k := [2]string{virtualCluster, interceptor}
	if g.costs[k] == nil {
		g.costs[k] = &plugin.Cost{}
	}
	return g.costs[k]
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
	return namer != nil && namer.Hides(topic)
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
