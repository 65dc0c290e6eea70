package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/failover"
)

// Older is what the older routes need of a gateway.
type Older interface {
	Gateway
	Ready() Ready
	// Routes lists the topics of every virtual cluster.
	Routes() map[string][]Route
	Mappings(virtualCluster string) ([]Mapping, error)
	// SetMapping makes the edit that puts a topic on a cluster, and waits for its move. name is the
	// topic's there; "" keeps it.
	SetMapping(ctx context.Context, virtualCluster, topic, cluster, name string) (Moved, error)
	// DeleteMapping announces that a topic is to belong to no cluster.
	DeleteMapping(ctx context.Context, virtualCluster, topic string) (Announced, error)
	CreateTopic(ctx context.Context, virtualCluster, topic string) (Created, error)
}

// Ready is what the gateway can serve.
type Ready struct {
	Status       string                        `json:"status"`
	Clusters     map[string]ClusterState       `json:"clusters"`
	PendingMoves []failover.Report             `json:"pending_moves"`
	Outside      map[string]map[string][]int32 `json:"nodes_outside_range,omitempty"` // by virtual cluster and cluster
	ConfigError  string                        `json:"config_error,omitempty"`
	Broken       []Broken                      `json:"broken,omitempty"`
}

// ReadyCount is Ready for who has not logged in, where the configuration names users.
type ReadyCount struct {
	Status              string `json:"status"`
	OpenMoves           int    `json:"open_moves"`
	UnreachableClusters int    `json:"unreachable_clusters"`
	BrokenParts         int    `json:"broken_parts"`
	ConfigRefused       bool   `json:"config_refused"`
}

func (r Ready) count() ReadyCount {
	c := ReadyCount{Status: r.Status, OpenMoves: len(r.PendingMoves), BrokenParts: len(r.Broken), ConfigRefused: r.ConfigError != ""}
	for _, s := range r.Clusters {
		if !s.Reachable {
			c.UnreachableClusters++
		}
	}
	return c
}

// Draining is the status of a gateway that ends.
const Draining = "draining"

// ClusterState says whether a cluster answers.
type ClusterState struct {
	Reachable  bool      `json:"reachable"`
	LastAnswer time.Time `json:"last_answer,omitzero"`
	Trouble    string    `json:"trouble,omitempty"` // what the last health check failed with
	Refused    string    `json:"refused,omitempty"` // why it is not used though it answers
}

// Route is one topic of a virtual cluster.
type Route struct {
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

// Mapping says where a topic is.
type Mapping struct {
	LogicalTopicName string     `json:"logicalTopicName"`
	ClusterID        string     `json:"clusterId"`
	TopicName        string     `json:"topicName"`
	IsVirtual        bool       `json:"isVirtual"`
	PendingDelete    *time.Time `json:"pendingDelete,omitempty"`
}

// Moved is what has become of the moves of an edit.
type Moved struct {
	Pending bool
	Moves   []failover.Report
}

// Announced is a deletion that comes at the end of a grace.
type Announced struct {
	Grace time.Duration
	At    time.Time
}

// Created is a topic that is there, and where.
type Created struct {
	Name      string `json:"name"`
	ClusterID string `json:"clusterId"`
	TopicName string `json:"topicName"`
}

type older struct{ g Older }

// OlderAPI is the routes that are older than version 1 of the API, some of them as a well-known
// failover demo calls them. metrics answers GET /metrics.
func OlderAPI(g Older, access *Access, metrics http.Handler) http.Handler {
	a := &older{g}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, map[string]string{"status": "alive"}) })
	// Ready is 200 also with a dead cluster or a pending move, which it names: the gateway serves
	// what it can. While it ends, nobody is to come. Who has not logged in is told no names.
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ready, status := g.Ready(), 200
		if ready.Status == Draining {
			status = http.StatusServiceUnavailable
		}
		if _, err := access.Reader(r); err != nil {
			writeJSON(w, status, ready.count())
			return
		}
		writeJSON(w, status, ready)
	})
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /config":                            a.config,
		"GET /routes":                            func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, g.Routes()) },
		"GET /moves":                             func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, g.Moves()) },
		"GET /plugins":                           func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, g.Plugins()) },
		"GET /metrics":                           metrics.ServeHTTP,
		"GET /topicMappings/{tenant}":            a.listMappings,
		"POST /topicMappings/{tenant}/{topic}":   a.setMapping,
		"PUT /topicMappings/{tenant}/{topic}":    a.setMapping,
		"DELETE /topicMappings/{tenant}/{topic}": a.deleteMapping,
		"POST /topics/{tenant}":                  a.createTopic,
		"POST /failover/plan":                    a.plan,
		"POST /failover/run":                     a.run,
	} {
		mux.Handle(pattern, authorized(access, pattern, h))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, 404, "no "+r.Method+" "+r.URL.Path+"; GET /api/v1/openapi.yaml says what there is")
	})
	return mux
}

// authorized asks for Basic auth when the configuration names users, and for the role admin where a
// call changes something.
func authorized(access *Access, pattern string, h http.HandlerFunc) http.Handler {
	need := access.Admin
	if strings.HasPrefix(pattern, "GET ") || pattern == "POST /failover/plan" {
		need = access.Reader
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := need(r); err != nil {
			Challenge(w, err)
			failWith(w, err)
			return
		}
		h(w, r)
	})
}

// SameSite refuses edits that another site makes a browser send: browsers add Basic auth to them by
// themselves.
func SameSite(h http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Refuse(w, r, &Error{Status: http.StatusForbidden, Message: "this request comes from another site"})
	}))
	return p.Handler(h)
}

// Refuse answers a call with an error, as the routes that it asks for do.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	if strings.HasPrefix(r.URL.Path, Prefix) {
		Fail(w, err)
		return
	}
	failWith(w, err)
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
	var e *Error
	if errors.As(err, &e) {
		status = e.Status
	}
	fail(w, status, err.Error())
}

func (a *older) config(w http.ResponseWriter, _ *http.Request) {
	type reload struct {
		At    time.Time `json:"at"`
		Error string    `json:"error,omitempty"`
	}
	c, ready := a.g.Config(), a.g.Ready()
	writeJSON(w, 200, map[string]any{
		"revision": c.Revision, "file": c.File, "config": c.Config, "last_reload": reload{c.Reloaded, ready.ConfigError},
		"pending_moves": ready.PendingMoves, "broken": ready.Broken, "warnings": c.Warnings,
	})
}

// moveAsked decodes what POST /failover/plan and run are asked for.
func moveAsked(w http.ResponseWriter, r *http.Request) (m Move, ok bool) {
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&m); err != nil {
		fail(w, 400, fmt.Sprintf(`body: %s; send {"from": "prod", "to": "dr"} or {"topics": [...], "to": "dr"}`, NotRead(err)))
		return m, false
	}
	return m, true
}

func (a *older) plan(w http.ResponseWriter, r *http.Request) {
	m, ok := moveAsked(w, r)
	if !ok {
		return
	}
	plans, err := a.g.Plan(r.Context(), m)
	if err != nil {
		failWith(w, err)
		return
	}
	writeJSON(w, 200, plans.Topics)
}

// run edits the file and answers with the topics that are to move; GET /moves follows them.
func (a *older) run(w http.ResponseWriter, r *http.Request) {
	m, ok := moveAsked(w, r)
	if !ok {
		return
	}
	s, err := a.g.Start(r.Context(), "", m)
	if err != nil {
		failWith(w, err)
		return
	}
	writeJSON(w, 202, map[string]any{"virtual_cluster": s.VirtualCluster, "topics": s.Topics, "to": s.To})
}
