package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/console"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
)

// httpAPI is what operators use, on a listener of its own: version 1 of the API and, older than it, routes as a
// well-known failover demo calls them.
type httpAPI struct {
	g        *Gateway
	listen   string // as configured
	listener net.Listener
	server   *http.Server
	users    *admin.Access
}

func newHTTPAPI(g *Gateway) *httpAPI {
	a := &httpAPI{g: g}
	a.users = &admin.Access{Users: func() []config.User { return g.Snapshot().Admin.Users }, Locked: a.locked}
	return a
}

func newAdmin(g *Gateway, addr string) (*httpAPI, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	a := newHTTPAPI(g)
	a.listen, a.listener = addr, l
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, map[string]string{"status": "alive"}) })
	mux.HandleFunc("GET /readyz", a.ready)
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /config":                            a.config,
		"GET /routes":                            a.routes,
		"GET /moves":                             a.moves,
		"GET /plugins":                           a.plugins,
		"GET /metrics":                           telemetry.Prometheus(g.started, g.collect).ServeHTTP,
		"GET /topicMappings/{tenant}":            a.listMappings,
		"POST /topicMappings/{tenant}/{topic}":   a.setMapping,
		"PUT /topicMappings/{tenant}/{topic}":    a.setMapping,
		"DELETE /topicMappings/{tenant}/{topic}": a.deleteMapping,
		"POST /topics/{tenant}":                  a.createTopic,
		"POST /failover/plan":                    a.plan,
		"POST /failover/run":                     a.run,
	} {
		mux.Handle(pattern, a.auth(pattern, h))
	}
	mux.Handle(admin.Prefix, admin.API(operator{g}, a.access()))
	pages := console.New(operator{g}, a.access())
	mux.Handle(console.Prefix, pages)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, 404, "no "+r.Method+" "+r.URL.Path+"; see README, Admin API")
	})
	log := g.logs.Logger("admin")
	a.server = &http.Server{Handler: a.audited(a.ownHost(sameSite(mux))), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: idleAdmin, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	a.server.RegisterOnShutdown(pages.Close)
	guard.Go(func() {
		if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin API ended", "error", err)
		}
	})
	return a, nil
}

// idleAdmin is how long a connection stays that asks nothing.
const idleAdmin = time.Minute

// openAdmin returns the API at the address that a snapshot wants: the one that is open, a new one, or nil.
func (g *Gateway) openAdmin(snap *config.Snapshot) (*httpAPI, error) {
	g.mu.Lock()
	old := g.admin
	g.mu.Unlock()
	switch {
	case snap.Admin.Listen == "":
		return nil, nil
	case old != nil && old.listen == snap.Admin.Listen:
		return old, nil
	}
	return newAdmin(g, snap.Admin.Listen)
}

// useAdmin makes a the API and returns the one before.
func (g *Gateway) useAdmin(a *httpAPI) *httpAPI {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.admin
	g.admin = a
	return old
}

// closeAdmin ends an API that is not the one in use, after the calls that it still answers: one of them may
// have made the edit that ends it.
func (g *Gateway) closeAdmin(a *httpAPI) {
	g.mu.Lock()
	used := a == g.admin
	g.mu.Unlock()
	if a != nil && !used {
		guard.Go(func() { _ = a.close(adminWait) })
	}
}

// adminWait is how long the calls to an API that moves to another address may still take.
const adminWait = 2 * applyWait

func (a *httpAPI) close(wait time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		return a.server.Close()
	}
	return nil
}

// sameSite refuses edits that another site makes a browser send: browsers add Basic auth to them by themselves.
func sameSite(h http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := &admin.Error{Status: http.StatusForbidden, Message: "this request comes from another site"}
		refuse(w, r, err)
	}))
	return p.Handler(h)
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
			refuse(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// refuse answers as the routes that are asked for do.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	if strings.HasPrefix(r.URL.Path, admin.Prefix) {
		admin.Fail(w, err)
		return
	}
	failWith(w, err)
}

// auth asks for Basic auth when the configuration names users, and for the role admin where a call changes something.
func (a *httpAPI) auth(pattern string, h http.HandlerFunc) http.Handler {
	access := a.access()
	need := access.Admin
	if strings.HasPrefix(pattern, "GET ") || pattern == "POST /failover/plan" {
		need = access.Reader
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := need(r); err != nil {
			admin.Challenge(w, err)
			failWith(w, err)
			return
		}
		h(w, r)
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}

func fail(w http.ResponseWriter, status int, message string) {
	audit.Explain(w, errors.New(message))
	writeJSON(w, status, map[string]string{"message": message})
}

// failWith answers with an error that says whose it is.
func failWith(w http.ResponseWriter, err error) {
	status := 500
	var e *admin.Error
	if errors.As(err, &e) {
		status = e.Status
	}
	fail(w, status, err.Error())
}

// ready is 200 also with a dead cluster or a pending move, which it names: the gateway serves what
// it can.
func (a *httpAPI) ready(w http.ResponseWriter, _ *http.Request) {
	type clusterState struct {
		Reachable  bool      `json:"reachable"`
		LastAnswer time.Time `json:"last_answer,omitzero"`
		Trouble    string    `json:"trouble,omitempty"`
		Refused    string    `json:"refused,omitempty"` // why it is not used though it answers
	}
	a.g.mu.Lock()
	clusters := map[string]clusterState{}
	for name, c := range a.g.clusters {
		clusters[name] = clusterState{c.Reachable(), c.LastAnswer(), trouble(c), c.Loop()}
	}
	outside := map[string]map[string][]int32{}
	for name, v := range a.g.virtual {
		if o := v.runtime().nodes.Outside(); len(o) > 0 {
			outside[name] = o
		}
	}
	reload := a.g.reload
	a.g.mu.Unlock()
	body := map[string]any{"status": "ready", "clusters": clusters, "pending_moves": a.g.runner.Pending()}
	if len(outside) > 0 {
		body["nodes_outside_range"] = outside
	}
	if reload.Error != "" {
		body["config_error"] = reload.Error
	}
	status := 200
	if a.g.draining.Load() {
		status, body["status"] = http.StatusServiceUnavailable, "draining"
	}
	writeJSON(w, status, body)
}

// trouble is what the last health check of a cluster failed with.
func trouble(c plugin.Cluster) string {
	switch err := c.Trouble(); {
	case err == nil:
		return ""
	case errors.Is(err, plugin.ErrNotKafka):
		return plugin.ErrNotKafka.Error()
	case errors.Is(err, plugin.ErrUnable):
		return plugin.ErrUnable.Error()
	}
	return plugin.ErrUnreachable.Error()
}

func (a *httpAPI) config(w http.ResponseWriter, _ *http.Request) {
	s := a.g.Snapshot()
	a.g.mu.Lock()
	reload := a.g.reload
	a.g.mu.Unlock()
	writeJSON(w, 200, map[string]any{
		"revision": s.Revision, "file": s.Path, "config": s.Masked(), "last_reload": reload,
		"pending_moves": a.g.runner.Pending(),
	})
}

// route is one topic of a virtual cluster.
type route struct {
	Topic      string            `json:"topic"`
	ID         string            `json:"id"`
	Home       string            `json:"home"`
	Wanted     string            `json:"wanted"`
	Names      map[string]string `json:"names"`
	Generation int32             `json:"generation"`
	Partitions int               `json:"partitions"`
	Stubs      []string          `json:"stubs,omitempty"`
	Missing    []string          `json:"missing,omitempty"`
	Reachable  bool              `json:"reachable"`
	Trouble    string            `json:"trouble,omitempty"`
}

func (a *httpAPI) routes(w http.ResponseWriter, _ *http.Request) {
	out := map[string][]route{}
	for _, v := range a.g.virtuals() {
		rt := v.runtime()
		list := []route{}
		for _, t := range rt.env.Catalog.Topics() {
			wanted, _, _ := rt.place(t.Name)
			r := route{Topic: t.Name, ID: uuid(t.ID), Home: t.Home, Wanted: wanted, Names: t.Names, Generation: t.Generation, Partitions: len(t.Partitions), Missing: t.Missing}
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
	writeJSON(w, 200, out)
}

func (a *httpAPI) moves(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, 200, a.g.runner.Moves())
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

// placement answers and returns nil if there is none.
func (a *httpAPI) placement(w http.ResponseWriter, tenant string) (*virtual, *runtime, plugin.Placement) {
	v, rt, p, err := a.g.placement(tenant)
	if err != nil {
		failWith(w, err)
	}
	return v, rt, p
}

func (a *httpAPI) plugins(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, 200, operator{a.g}.Plugins())
}
