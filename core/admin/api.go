package admin

import (
	_ "embed" // the description
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/failover"
)

//go:embed openapi.yaml
var description []byte

// Prefix is what the paths of the API begin with.
const Prefix = "/api/v1/"

type api struct{ g Gateway }

// API is version 1 of the API, below Prefix.
func API(g Gateway, access *Access) http.Handler {
	a := &api{g}
	paths := map[string]map[string]http.HandlerFunc{
		"openapi.yaml":        {"GET": a.describe},
		"status":              {"GET": func(w http.ResponseWriter, _ *http.Request) { a.send(w, 200, g.Status()) }},
		"config":              {"GET": a.config},
		"clients":             {"GET": a.clients},
		"traffic":             {"GET": func(w http.ResponseWriter, _ *http.Request) { a.send(w, 200, g.Traffic()) }},
		"plugins":             {"GET": func(w http.ResponseWriter, _ *http.Request) { a.send(w, 200, g.Plugins()) }},
		"moves":               {"GET": a.moves, "POST": a.start},
		"moves/plan":          {"POST": a.plan},
		"moves/acknowledge":   {"POST": a.acknowledge},
		"moves/{id}":          {"GET": a.move, "DELETE": a.abort},
		"topics/{vc}":         {"GET": a.topics},
		"topics/{vc}/{topic}": {"GET": a.topic},
		"groups/{vc}":         {"GET": a.groups},
		"captures/{vc}":       {"POST": a.capture},
		"log/levels": {
			"GET": func(w http.ResponseWriter, _ *http.Request) { a.send(w, 200, g.LogLevels()) }, "PUT": a.setLevels,
			"DELETE": func(w http.ResponseWriter, r *http.Request) { a.send(w, 200, g.ResetLogLevels(r.Context())) },
		},
	}
	mux := http.NewServeMux()
	for path, methods := range paths {
		mux.HandleFunc(Prefix+path, func(w http.ResponseWriter, r *http.Request) {
			h, ok := methods[r.Method]
			if !ok {
				var allowed []string
				for m := range methods {
					allowed = append(allowed, m)
				}
				slices.Sort(allowed)
				w.Header().Set("Allow", strings.Join(allowed, ", "))
				problem(w, http.StatusMethodNotAllowed, r.Method+" is not one of "+strings.Join(allowed, ", "))
				return
			}
			need := access.Reader
			if r.Method != http.MethodGet && path != "moves/plan" { // a plan changes nothing
				need = access.Admin
			}
			if _, err := need(r); err != nil {
				Challenge(w, err)
				Fail(w, err)
				return
			}
			h(w, r)
		})
	}
	mux.HandleFunc(Prefix, func(w http.ResponseWriter, r *http.Request) {
		problem(w, 404, "no "+r.URL.Path+"; "+Prefix+"openapi.yaml lists what there is")
	})
	return mux
}

// send answers with JSON.
func (a *api) send(w http.ResponseWriter, status int, v any) { write(w, status, "application/json", v) }

func write(w http.ResponseWriter, status int, kind string, v any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}

// problem answers with an error (RFC 9457).
func problem(w http.ResponseWriter, status int, detail string) {
	audit.Explain(w, errors.New(detail))
	write(w, status, "application/problem+json", struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
}

// Fail answers with an error as the API does.
func Fail(w http.ResponseWriter, err error) {
	var e *Error
	if errors.As(err, &e) {
		problem(w, e.Status, e.Message)
		return
	}
	problem(w, 500, err.Error())
}

// answer sends v, or the error.
func (a *api) answer(w http.ResponseWriter, status int, v any, err error) {
	if err != nil {
		Fail(w, err)
		return
	}
	a.send(w, status, v)
}

func (a *api) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(description)
}

// etag is the entity tag of a revision of the file.
func etag(revision string) string { return `"` + revision + `"` }

func (a *api) config(w http.ResponseWriter, r *http.Request) {
	c := a.g.Config()
	w.Header().Set("ETag", etag(c.Revision))
	if r.Header.Get("If-None-Match") == etag(c.Revision) && len(c.Errors) == 0 {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	a.send(w, 200, c)
}

// revision is the one that an edit is meant for, of If-Match: two people who edit at once must not
// undo each other's work without noticing.
func revision(r *http.Request) (string, error) {
	match := r.Header.Get("If-Match")
	switch inner, quoted := strings.CutPrefix(match, `"`); {
	case match == "":
		return "", &Error{http.StatusPreconditionRequired, "send If-Match with the ETag of " + Prefix + "config that you have looked at, or * for whatever is in force"}
	case match == "*":
		return "", nil
	case quoted && strings.HasSuffix(inner, `"`) && inner != `"`:
		return strings.TrimSuffix(inner, `"`), nil
	}
	return "", &Error{http.StatusBadRequest, "If-Match is neither * nor an entity tag in quotes"}
}

func (a *api) topics(w http.ResponseWriter, r *http.Request) {
	v, err := selected(w, r, TopicListing, func(pick func([]Topic) []Topic) ([]Topic, error) {
		return a.g.Topics(r.Context(), r.PathValue("vc"), r.URL.Query().Get("partitions") != "false", pick)
	})
	a.answer(w, 200, v, err)
}

func (a *api) topic(w http.ResponseWriter, r *http.Request) {
	v, err := a.g.Topic(r.Context(), r.PathValue("vc"), r.PathValue("topic"))
	a.answer(w, 200, v, err)
}

func (a *api) groups(w http.ResponseWriter, r *http.Request) {
	var all Groups
	var err error
	all.Groups, err = selected(w, r, GroupListing, whole(func() (_ []Group, err error) {
		all, err = a.g.Groups(r.Context(), r.PathValue("vc"))
		return all.Groups, err
	}))
	a.answer(w, 200, all, err)
}

func (a *api) moves(w http.ResponseWriter, r *http.Request) {
	v, err := selected(w, r, MoveListing, whole(func() ([]failover.Report, error) { return a.g.Moves(), nil }))
	a.answer(w, 200, v, err)
}

func (a *api) clients(w http.ResponseWriter, r *http.Request) {
	v, err := selected(w, r, ClientListing, whole(func() ([]Client, error) { return a.g.Clients(), nil }))
	a.answer(w, 200, v, err)
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (a *api) move(w http.ResponseWriter, r *http.Request) {
	for _, m := range a.g.Moves() {
		if m.ID == r.PathValue("id") {
			a.send(w, 200, m)
			return
		}
	}
	problem(w, 404, "no move "+r.PathValue("id"))
}

const (
	likeMoves   = `{"from": "prod", "to": "dr"} or {"topics": [...], "to": "dr"}`
	likeAck     = `{"moves": [...]} or {"all": true}`
	likeLevels  = `{"level": "info", "levels": {"upstream": "debug"}}`
	likeCapture = `{"apis": ["CreateTopics"], "exchanges": 100, "seconds": 10}`
)

// body decodes an object like an example; unknown fields are errors.
func body[T any](w http.ResponseWriter, r *http.Request, like string) (m T, err error) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return m, &Error{http.StatusUnsupportedMediaType, "send application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, &Error{400, "body: " + NotRead(err) + "; send " + like}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, &Error{400, "something follows the object"}
	}
	return m, nil
}

// capture answers when there is enough, or the time is over.
func (a *api) capture(w http.ResponseWriter, r *http.Request) {
	c, err := body[Capture](w, r, likeCapture)
	if err == nil && (c.Exchanges < 1 || c.Exchanges > MostExchanges || c.Seconds < 1 || c.Seconds > MostSeconds) {
		err = &Error{400, fmt.Sprintf("exchanges is from 1 to %d, seconds from 1 to %d", MostExchanges, MostSeconds)}
	}
	if err != nil {
		Fail(w, err)
		return
	}
	list, err := a.g.Capture(r.Context(), r.PathValue("vc"), c)
	a.answer(w, 200, nonNil(list), err)
}

func (a *api) plan(w http.ResponseWriter, r *http.Request) {
	m, err := body[Move](w, r, likeMoves)
	if err != nil {
		Fail(w, err)
		return
	}
	plans, err := a.g.Plan(r.Context(), m)
	a.answer(w, 200, plans, err)
}

func (a *api) acknowledge(w http.ResponseWriter, r *http.Request) {
	m, err := body[Acknowledge](w, r, likeAck)
	if err == nil && m.All == (len(m.Moves) > 0) {
		err = &Error{400, "send " + likeAck}
	}
	if err != nil {
		Fail(w, err)
		return
	}
	list, err := a.g.Acknowledge(r.Context(), m)
	a.answer(w, 200, nonNil(list), err)
}

func (a *api) start(w http.ResponseWriter, r *http.Request) {
	rev, err := revision(r)
	if err != nil {
		Fail(w, err)
		return
	}
	m, err := body[Move](w, r, likeMoves)
	if err != nil {
		Fail(w, err)
		return
	}
	s, err := a.g.Start(r.Context(), rev, m)
	s.Topics = nonNil(s.Topics)
	if err == nil {
		w.Header().Set("Location", Prefix+"moves?state=open")
	}
	a.answer(w, http.StatusAccepted, s, err)
}

func (a *api) abort(w http.ResponseWriter, r *http.Request) {
	rev, err := revision(r)
	if err != nil {
		Fail(w, err)
		return
	}
	rep, err := a.g.Abort(r.Context(), rev, r.PathValue("id"))
	a.answer(w, 200, rep, err)
}

func (a *api) setLevels(w http.ResponseWriter, r *http.Request) {
	l, err := body[LogLevels](w, r, likeLevels)
	if err != nil {
		Fail(w, err)
		return
	}
	s, err := a.g.SetLogLevels(r.Context(), l)
	a.answer(w, 200, s, err)
}
