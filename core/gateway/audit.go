package gateway

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/console"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// auditWait is how long the last entries may take when a log of them is closed.
const auditWait = 5 * time.Second

// byHand is who edits the file, or another one that it names.
var byHand = audit.Actor{User: "file", Via: "file"}

// itself is who does what nobody asked for.
var itself = audit.Actor{User: "gateway", Via: "gateway"}

// openAudit returns the log that a snapshot wants: the one that is open, a new one, or nil.
func (g *Gateway) openAudit(snap *config.Snapshot) (*audit.Log, error) {
	a := snap.Telemetry.Log.Audit
	if old := g.Snapshot(); old != nil && old.Telemetry.Log.Audit == a {
		return g.audit.Load(), nil
	}
	var sink audit.Sink
	switch {
	case a.File != "":
		f, err := audit.OpenFile(a.File)
		if err != nil {
			return nil, fmt.Errorf("telemetry.log.audit.file: %w", err)
		}
		sink = f
	case a.Topic != "":
		sink = &audit.Topic{Name: a.Topic, Cluster: func() plugin.Cluster {
			g.mu.Lock()
			defer g.mu.Unlock()
			if c := g.clusters[a.Cluster]; c != nil {
				return c
			}
			return nil
		}}
	default:
		return nil, nil
	}
	return audit.Open(sink, g.logs.Logger("audit")), nil
}

// closeAudit writes what is left, unless the log is the one in force.
func (g *Gateway) closeAudit(l *audit.Log) {
	if l == g.audit.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), auditWait)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		g.log.Error("audit log not written to its end", "error", err)
	}
}

// endAudit writes the last entry.
func (g *Gateway) endAudit() error {
	l := g.audit.Load()
	l.Record(&audit.Entry{Action: "stop", Actor: itself, Outcome: audit.Done})
	ctx, cancel := context.WithTimeout(context.Background(), auditWait)
	defer cancel()
	return l.Close(ctx)
}

// describe notes what an action makes of the file.
func describe(ctx context.Context, before, after *config.Snapshot) {
	e := audit.Of(ctx)
	if e.After = after.Revision; before == nil {
		return
	}
	e.Before, e.Changes = before.Revision, changes("", before.Masked(), after.Masked())
}

// about notes what an action is about.
func about(ctx context.Context, vc string, topics ...string) {
	e := audit.Of(ctx)
	e.VirtualCluster, e.Topics = vc, topics
}

// inForce records the action that a snapshot comes from, now that it is in force. One that changes the log is the
// last entry of the old log and the first of the new one.
func (g *Gateway) inForce(ctx context.Context, l *audit.Log) {
	e := audit.Of(ctx)
	e.Outcome = audit.Done
	if old := g.audit.Swap(l); old != l {
		last := *e
		old.Record(&last)
		g.closing.Go(func() { g.closeAudit(old) })
	}
	l.Record(e)
}

// refused records an action that has come to nothing, unless it is recorded already.
func (g *Gateway) refused(e *audit.Entry, status int, err error) {
	e.Fail(status, err)
	g.audit.Load().Record(e)
}

// moved records a step of a move.
func (g *Gateway) moved(r failover.Report, by string) {
	e := &audit.Entry{
		Action: "move_started", Actor: itself, VirtualCluster: r.VirtualCluster, Topics: []string{r.Topic}, Outcome: audit.Done,
		Move: &audit.Move{ID: r.ID, From: r.From, To: r.To, Phase: string(r.Phase), Planned: r.Planned},
	}
	if by != "" {
		e.User = by
	}
	switch r.Phase {
	case failover.Drain:
		e.Action = "move_committed"
	case failover.Done:
		e.Action = "move_ended"
	case failover.Dropped:
		e.Action, e.Outcome, e.Error = "move_ended", audit.Failed, r.Error
	}
	g.audit.Load().Record(e)
}

// actions names what may be asked of the admin listener that changes something.
func actions() map[string]string {
	return map[string]string{
		"POST /api/v1/moves":                     "start_moves",
		"DELETE /api/v1/moves/{id}":              "abort_move",
		"PUT /api/v1/log/levels":                 "set_log_levels",
		"DELETE /api/v1/log/levels":              "reset_log_levels",
		"POST /api/v1/captures/{vc}":             "capture",
		"POST /console/moves":                    "start_moves",
		"POST /console/moves/{id}/abort":         "abort_move",
		"POST /failover/run":                     "start_moves",
		"POST /topicMappings/{tenant}/{topic}":   "set_mapping",
		"PUT /topicMappings/{tenant}/{topic}":    "set_mapping",
		"DELETE /topicMappings/{tenant}/{topic}": "announce_delete",
		"POST /topics/{tenant}":                  "create_topic",
		// Plans change nothing.
		"POST /api/v1/moves/plan": "",
		"POST /failover/plan":     "",
	}
}

// audited records what is asked for and changes something, refused or not, and tells everybody behind it who asks.
// What nobody knows is recorded as well, as the action "unknown".
func (a *httpAPI) audited(h http.Handler) http.Handler {
	access, names, known := a.access(), actions(), http.NewServeMux()
	for pattern := range names {
		known.Handle(pattern, http.NotFoundHandler())
	}
	action := func(r *http.Request) string {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			return ""
		}
		_, pattern := known.Handler(r)
		if name, ok := names[pattern]; ok {
			return name
		}
		return "unknown"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, u, err := access.Authenticate(r)
		if err == nil {
			r = r.WithContext(admin.WithUser(r.Context(), u))
		}
		name := action(r)
		if name == "" {
			h.ServeHTTP(w, r)
			return
		}
		e := &audit.Entry{Time: time.Now(), Action: name, Actor: actor(r, u, err), Request: r.Method + " " + r.URL.Path}
		answer := &audit.Answer{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				a.g.refused(e, http.StatusInternalServerError, fmt.Errorf("panic: %v", p))
				panic(p)
			}
		}()
		h.ServeHTTP(answer, r.WithContext(audit.With(r.Context(), e)))
		if answer.Status >= 400 || answer.Status == http.StatusTemporaryRedirect { // of a path like //failover/run: nothing was done
			a.g.refused(e, answer.Status, answer.Err)
			return
		}
		e.Outcome = audit.Done
		a.g.audit.Load().Record(e)
	})
}

// actor is who asks: a user, or whoever the caller claims to be.
func actor(r *http.Request, u config.User, err error) audit.Actor {
	out := audit.Actor{User: u.Name, Role: u.Role, Address: r.RemoteAddr, Via: "http", Agent: r.UserAgent()}
	switch {
	case err != nil:
		out.User, _, _ = r.BasicAuth()
	case u.Edits():
		out.Role = "admin"
	}
	switch {
	case strings.HasPrefix(r.URL.Path, admin.Prefix):
		out.Via = "api"
	case strings.HasPrefix(r.URL.Path, console.Prefix):
		out.Via = "console"
	}
	return out
}

// editedByHand takes a content of the file that has settled, if the file still has it: while it was waited for here, an
// edit of ours may have come after it, and must not be undone.
func (g *Gateway) editedByHand(ctx context.Context, source []byte) {
	g.editing.Lock() // an edit of ours that is on its way is not one by hand
	defer g.editing.Unlock()
	if now, err := os.ReadFile(g.opts.Path); err != nil || !bytes.Equal(now, source) {
		return // it is seen again when it has settled
	}
	e := &audit.Entry{Time: time.Now(), Action: "edit", Actor: byHand, Before: g.Snapshot().Revision}
	if err := g.ApplySource(audit.With(ctx, e), source, failover.Options{}); err != nil {
		g.refused(e, 0, err)
	}
}
