package gateway

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/fence"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/logging"
	"github.com/sluice-gateway/sluice/core/server"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/core/upstream"
)

// live is everything that a configuration brings into force. It is built whole, put in the place of
// the one before by one pointer, and released whole; it is never changed. Parts that an edit leaves
// as they were are shared by count.
type live struct {
	snap     *config.Snapshot
	names    map[string]string // that clusters got known by, by those in the file; see adopt
	clusters map[string]*upstream.Cluster
	virtuals map[string]*part[*virtual]
	runtimes map[string]*runtime // by virtual cluster
	tracer   *part[*telemetry.Tracer]
	exporter *part[*telemetry.Exporter]
	audit    *part[*audit.Log]
	fence    *part[*fence.Hook]
	access   *part[*logging.Queue]
	admin    *part[*httpAPI]
	keys     map[string]string // of sockets, by who listens on which address
	sockets  map[string]*part[*server.Listener]
	doors    map[string]func(net.Conn) // who gets the connections of a socket

	warnings config.Errors // about the file that is in force

	since   time.Time // when the snapshot came into force
	changed time.Time // when the file last changed what is in force, and what
	changes []admin.Change
}

// now is what is in force. Before the first configuration it is empty.
func (g *Gateway) now() *live { return g.live.Load() }

// release gives everything back: what nobody else uses ends. Addresses are free at once; what may
// take longer to end does so beside, and Close of the gateway waits for it.
func (l *live) release() {
	for _, s := range l.sockets {
		_ = s.Close()
	}
	_ = l.admin.Close()
	for _, v := range l.virtuals {
		_ = v.Close()
	}
	for _, rt := range l.runtimes {
		rt.virtual.release(rt)
	}
	for _, c := range l.clusters {
		_ = c.Close()
	}
	_ = l.access.Close()
	_ = l.tracer.Close()
	_ = l.exporter.Close()
	_ = l.audit.Close()
	_ = l.fence.Close()
}

// beside ends something without holding up an edit.
func (g *Gateway) beside(what string, wait time.Duration, end func(context.Context) error) {
	g.closing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		if err := end(ctx); err != nil {
			g.log.Warn(what, "error", err)
			g.lost(fmt.Errorf("%s: %w", what, err))
		}
	})
}

// lost notes what the end of the gateway has lost; before that, saying it is enough.
func (g *Gateway) lost(err error) {
	if g.ends() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.losses = append(g.losses, err)
	}
}

// endLimit is how long the end of the gateway waits for what is not in force any more: a plugin
// that is compiled in may never return.
const endLimit = 20 * time.Second

// ended waits for what ends beside.
func (g *Gateway) ended() error {
	done := make(chan struct{})
	guard.Go(func() {
		g.closing.Wait()
		close(done)
	})
	t := time.NewTimer(endLimit)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return fmt.Errorf("something has not ended within %s", endLimit)
	}
}

// swap brings next into force and returns what was before, which is the caller's to release.
func (g *Gateway) swap(next *live) *live {
	old := g.now()
	g.memory.SetLimit(memoryLimit(next.snap))
	for name, rt := range next.runtimes {
		rt.env.Catalog.SetPlace(rt.place)
		rt.env.Catalog.SetHidden(rt.hides)
		rt.env.Catalog.SetOwn(rt.owns)
		v := next.virtuals[name].value
		v.gates.SetLimit(next.snap.Failover.Request)
		rt.ruleGroups(next.snap.Failover.Request)
		v.swap(rt)
	}
	g.live.Store(next)
	for key, door := range next.doors {
		next.sockets[key].value.Use(door)
	}
	for name, v := range next.virtuals {
		if old.virtuals[name] != v {
			g.log.Info("listening", "virtual_cluster", name, "bootstrap", next.runtimes[name].listen.Bootstrap)
		}
	}
	g.useLog(old.snap, next.snap)
	select {
	case g.topicsEdited <- struct{}{}:
	default:
	}
	return old
}
