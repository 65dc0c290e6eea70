package gateway

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/server"
	"github.com/sluice-gateway/sluice/core/upstream"
)

// build makes a live of a snapshot, from parts of the one before where they are the same. On an
// error nothing is left open, and nobody was served by it.
func (g *Gateway) build(ctx context.Context, old *live, snap *config.Snapshot) (*live, error) {
	l := &live{changed: old.changed, changes: old.changes}
	var err error
	if l.snap, l.names, err = g.adopt(ctx, snap); err != nil {
		return nil, err
	}
	for _, open := range []func(context.Context, *live, *live) error{
		g.openClusters, g.openTraces, g.openExport, g.openFence, g.openAudit, g.openAccess, g.openRuntimes, g.openCertificates, g.openDoors,
	} {
		if err := open(ctx, l, old); err != nil {
			l.release()
			return nil, err
		}
	}
	if l.since = time.Now(); old.snap != nil && old.snap.Revision == snap.Revision {
		l.since = old.since
	}
	if old.snap != nil && old.snap.Revision != snap.Revision {
		l.changed, l.changes = time.Now(), changes("", old.snap.Masked(), snap.Masked())
	}
	return l, nil
}

// openClusters opens the clusters of which no other name, address or limit was in force.
func (g *Gateway) openClusters(ctx context.Context, l, old *live) error {
	l.clusters = map[string]*upstream.Cluster{}
	same := old.snap != nil && old.snap.Limits.FrameBytes == l.snap.Limits.FrameBytes
	var opened []*upstream.Cluster
	for _, cfg := range l.snap.Clusters {
		if c := old.clusters[cfg.Name]; c != nil && same {
			if c.Config().Same(cfg) {
				l.clusters[cfg.Name] = c.Share()
				continue
			}
		}
		c, err := upstream.NewCluster(cfg, g.catalog, g.logs.Logger("upstream"), g.pool, l.snap.Limits.FrameBytes, g.self())
		if err != nil {
			return err
		}
		l.clusters[cfg.Name] = c
		opened = append(opened, c)
	}
	await(ctx, opened)
	errs := twins(l.snap, l.clusters)
	if old.snap != nil {
		if len(errs) > len(twins(old.snap, old.clusters)) { // those that are in force are no reason to refuse another edit
			return errs.Err()
		}
		return nil
	}
	for _, e := range errs {
		g.log.Error("two names stand for one cluster", "error", e)
	}
	return nil
}

// await gives new clusters a moment to answer: those that do at once tell their versions before
// clients ask for them.
func await(ctx context.Context, clusters []*upstream.Cluster) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for _, c := range clusters {
		for !c.Settled() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

func (g *Gateway) openAudit(_ context.Context, l, old *live) error {
	a := l.snap.Telemetry.Log.Audit
	if old.snap != nil && old.snap.Telemetry.Log.Audit == a {
		l.audit = old.audit.share()
		return nil
	}
	sink, err := g.auditSink(a)
	if err != nil || sink == nil {
		return err
	}
	l.audit = newPart(audit.Open(sink, g.logs.Logger("audit")), func(a *audit.Log) { g.beside("audit log not written to its end", auditWait, a.Close) })
	return nil
}

// openCertificates gives runtimes what their listeners accept connections with. One whose files are
// named as before is the one in force, also while they are broken. Broken ones don't keep the
// gateway from starting: until they are well, connections to their virtual cluster fail.
func (g *Gateway) openCertificates(_ context.Context, l, old *live) error {
	var errs config.Errors
	for name, rt := range l.runtimes {
		if was := old.runtimes[name]; was != nil && reflect.DeepEqual(was.listen.TLS, rt.listen.TLS) {
			rt.certificate, rt.tls = was.certificate, was.tls
			continue
		}
		c, err := loadCertificate(l.snap.Path, rt.listen.TLS)
		if err != nil {
			err := l.snap.Errorf([]string{"virtual_clusters", name, "listen", "tls"}, "%v", err)
			errs = append(errs, err...)
			if old.snap == nil {
				g.log.Error("the certificate can't be had: until it can, connections fail", "virtual_cluster", name, "error", err)
			}
		}
		rt.certificate, rt.tls = c, c.config()
	}
	if old.snap != nil {
		return errs.Err()
	}
	return nil
}

// openDoors opens every address that is not open yet: what can go wrong with an edit has gone wrong
// before it is in force.
func (g *Gateway) openDoors(_ context.Context, l, old *live) error {
	l.keys, l.sockets, l.doors = map[string]string{}, map[string]*part[*server.Listener]{}, map[string]func(net.Conn){}
	if addr := l.snap.Admin.Listen; addr != "" {
		if old.admin != nil && old.snap.Admin.Listen == addr {
			l.admin = old.admin.share()
		} else {
			l.admin = newPart(newAdmin(g), g.endAdmin)
		}
		if err := g.openDoor(l, old, "admin", addr, l.admin.value.give); err != nil {
			return l.snap.Errorf([]string{"admin", "listen"}, "%v", err)
		}
	}
	for name, rt := range l.runtimes {
		s := rt.virtual.server
		for stands, addr := range rt.addresses() {
			if err := g.openDoor(l, old, name, addr, func(c net.Conn) { s.Serve(c, stands) }); err != nil {
				return l.snap.Errorf([]string{"virtual_clusters", name, "listen"}, "%v", err)
			}
		}
	}
	return nil
}

func (g *Gateway) openDoor(l, old *live, who, addr string, door func(net.Conn)) error {
	key, ok := old.keys[who+" "+addr]
	if !ok { // a name is looked up once, when it is new
		key = socketKey(who, addr)
	}
	if l.doors[key] != nil {
		return fmt.Errorf("%s is listened on for something else in this file as well", addr)
	}
	if s := old.sockets[key]; s != nil {
		l.sockets[key] = s.share()
	} else {
		s, err := server.Listen(addr, g.logs.Logger("server"))
		if err != nil {
			return fmt.Errorf("%w%s", err, overlaps(key, old))
		}
		l.sockets[key] = newPart(s, func(s *server.Listener) { _ = s.Close() })
	}
	l.keys[who+" "+addr], l.doors[key] = key, door
	return nil
}

// overlaps says that it is the gateway itself that has a port, under another host: the new socket
// would have to be opened before the old one is closed.
func overlaps(key string, old *live) string {
	_, port, _ := net.SplitHostPort(key)
	for other := range old.sockets {
		if _, p, _ := net.SplitHostPort(other); p == port {
			return fmt.Sprintf(": the gateway itself listens on %s until the edit is in force; take another port, or restart it", other)
		}
	}
	return ""
}

// socketKey tells sockets apart: by what is bound, however the file writes it. With port 0 each has
// one of its own.
func socketKey(who, addr string) string {
	a, err := net.ResolveTCPAddr("tcp", addr)
	switch {
	case err != nil:
		return addr // and opening it says what is wrong
	case a.Port == 0:
		return who + " " + addr
	case a.IP == nil || a.IP.IsUnspecified():
		return ":" + strconv.Itoa(a.Port) // all of the host's, of both families
	}
	return a.String()
}
