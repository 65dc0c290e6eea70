package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/console"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// httpAPI is what operators use, on an address of its own: version 1 of the API, the routes older
// than it, and the console.
type httpAPI struct {
	g      *Gateway
	server *http.Server
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	users  *admin.Access
	pages  *console.Console
}

func newHTTPAPI(g *Gateway) *httpAPI {
	a := &httpAPI{g: g, conns: make(chan net.Conn), closed: make(chan struct{})}
	a.users = &admin.Access{Users: func() []config.User { return g.Snapshot().Admin.Users }, Locked: a.locked}
	return a
}

// idleAdmin is how long a connection stays that asks nothing.
const idleAdmin = time.Minute

// newAdmin serves the connections that it is given.
func newAdmin(g *Gateway) *httpAPI {
	a := newHTTPAPI(g)
	mux := http.NewServeMux()
	a.pages = console.New(operator{g}, a.access())
	mux.Handle(admin.Prefix, admin.API(operator{g}, a.access()))
	mux.Handle(console.Prefix, a.pages)
	mux.Handle("/", admin.OlderAPI(operator{g}, a.access(), telemetry.Prometheus(g.started, g.source, g.collect)))
	log := g.logs.Logger("admin")
	a.server = &http.Server{Handler: a.audited(a.ownHost(admin.SameSite(mux))), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: idleAdmin, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	a.server.RegisterOnShutdown(a.pages.Close)
	guard.Go(func() {
		if err := a.server.Serve(given{a}); !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin API ended", "error", err)
		}
	})
	return a
}

// give hands a connection over.
func (a *httpAPI) give(c net.Conn) {
	select {
	case a.conns <- c:
	case <-a.closed:
		_ = c.Close()
	}
}

// given is a net.Listener of the connections that an API is given.
type given struct{ a *httpAPI }

func (l given) Accept() (net.Conn, error) {
	select {
	case c := <-l.a.conns:
		return c, nil
	case <-l.a.closed:
		return nil, net.ErrClosed
	}
}

func (l given) Close() error {
	l.a.once.Do(func() { close(l.a.closed) })
	return nil
}

func (l given) Addr() net.Addr { return &net.TCPAddr{} }

// adminWait is how long the calls to an API that moves to another address may still take: one of
// them may have made the edit that moves it.
const adminWait = 2 * applyWait

// endAdmin ends an API that is not in force any more.
func (g *Gateway) endAdmin(a *httpAPI) { g.closing.Go(func() { a.close(adminWait) }) }

// close lets the calls that are being answered end, for a while that is short when the gateway
// ends.
func (a *httpAPI) close(wait time.Duration) {
	if a == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	guard.Go(func() {
		select {
		case <-a.g.stopping:
			guard.After(time.Second, cancel)
		case <-done:
		}
	})
	if err := a.server.Shutdown(ctx); err != nil {
		_ = a.server.Close()
	}
}

func (a *httpAPI) access() *admin.Access { return a.users }

// locked records that somebody tries passwords.
func (a *httpAPI) locked(r *http.Request, name string, wait time.Duration) {
	e := &audit.Entry{Time: time.Now(), Action: "lock_out", Actor: actor(r, config.User{}, errLocked), Request: r.Method + " " + r.URL.Path}
	a.g.refused(e, http.StatusUnauthorized, fmt.Errorf("%w: the next one is looked at in %s", errLocked, wait))
	a.g.logs.Logger("admin").Warn("wrong passwords: the caller has to wait", "user", name, "address", r.RemoteAddr, "wait", wait)
}

var errLocked = errors.New("too many wrong passwords")

// ownHost refuses calls by names that are not the API's.
func (a *httpAPI) ownHost(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := admin.CheckHost(r, a.g.Snapshot().Admin.Hosts); err != nil {
			admin.Refuse(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}
