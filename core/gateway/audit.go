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
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// auditWait is how long the last entries may take when a log of them is closed.
const auditWait = 5 * time.Second

// byHand is who edits the file, or another one that it names.
var byHand = audit.Actor{User: "file", Via: "file"}

// itself is who does what nobody asked for.
var itself = audit.Actor{User: "gateway", Via: "gateway"}

// auditSink opens where the audit log goes; nil is nowhere.
func (g *Gateway) auditSink(a config.AuditLog) (audit.Sink, error) {
	switch {
	case a.File != "":
		f, err := audit.OpenFile(a.File)
		if err != nil {
			return nil, fmt.Errorf("telemetry.log.audit.file: %w", err)
		}
		return f, nil
	case a.Topic != "":
		return &audit.Topic{Name: a.Topic, Cluster: func() plugin.Cluster {
			l := g.now()
			if l.snap == nil { // the gateway starts
				return nil
			}
			if c, ok := l.snap.Cluster(a.Cluster); ok {
				return l.clusters[c.Name]
			}
			return nil
		}}, nil
	}
	return nil, nil
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

// inForce records the action that brought next into force. One that changes the log is the last
// entry of the old log and the first of the new one.
func inForce(ctx context.Context, old, next *live) {
	e := audit.Of(ctx)
	e.Outcome = audit.Done
	if old.audit != next.audit {
		last := *e
		old.audit.get().Record(&last)
	}
	next.audit.get().Record(e)
}

// refused records an action that has come to nothing, unless it is recorded already.
func (g *Gateway) refused(e *audit.Entry, status int, err error) {
	e.Fail(status, err)
	g.now().audit.get().Record(e)
}

// moved records a step of a move.
func (g *Gateway) moved(r failover.Report, by string) {
	e := &audit.Entry{
		Action: "move_started", Actor: itself, VirtualCluster: r.VirtualCluster, Topics: []string{r.What().String()}, Outcome: audit.Done,
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
	g.now().audit.get().Record(e)
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
		"POST /api/v1/moves/acknowledge":         "acknowledge_loss",
		"POST /console/moves/{id}/acknowledge":   "acknowledge_loss",
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

// audited records every call that changes something, refused or not, and tells the handlers behind
// it who asks. A call that no route knows is recorded as well, as the action "unknown".
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
		a.g.now().audit.get().Record(e)
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

// followEdits takes each content of the file that has settled. A newer one ends what is made for an
// older one.
func (g *Gateway) followEdits(ctx context.Context, edits <-chan []byte) {
	var working guard.Group
	defer working.Wait()
	older := func() {}
	for {
		select {
		case <-ctx.Done():
			older()
			return
		case source := <-edits:
			older()
			working.Wait()
			var mine context.Context
			mine, older = context.WithCancel(ctx)
			working.Go(func() { g.editedByHand(mine, source) })
		}
	}
}

// editedByHand takes a content of the file that has settled, if the file still has it: while it was
// waited for here, an edit of ours may have come after it, and must not be undone. Its plugins are
// made before other edits have to wait.
func (g *Gateway) editedByHand(ctx context.Context, source []byte) {
	snap, err := g.Snapshot().Edited(source)
	if err == nil {
		var r *ready
		r, err = g.prepare(ctx, snap, false)
		defer r.close()
	}
	if ctx.Err() != nil {
		return
	}
	g.editing.Lock() // an edit of ours that is on its way is not one by hand
	defer g.editing.Unlock()
	if now, err := os.ReadFile(g.opts.Path); err != nil || !bytes.Equal(now, source) {
		return // it is seen again when it has settled
	}
	e := &audit.Entry{Time: time.Now(), Action: "edit", Actor: byHand, Before: g.Snapshot().Revision}
	ctx = audit.With(ctx, e)
	if err == nil {
		err = g.ApplySource(ctx, source, failover.Options{})
	} else {
		if snap != nil {
			describe(ctx, g.Snapshot(), snap)
		}
		g.reloaded(err)
	}
	if err != nil {
		g.refused(e, 0, err)
	}
}
