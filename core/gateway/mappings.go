package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/guard"
)

// applyWait is how long a call waits for its move before it answers 202.
const applyWait = 20 * time.Second

// flexibleBool is true, false, "true" or "false".
type flexibleBool bool

func (b *flexibleBool) UnmarshalJSON(p []byte) error {
	var s string
	if json.Unmarshal(p, &s) != nil {
		s = string(p)
	}
	v, err := strconv.ParseBool(s)
	*b = flexibleBool(v)
	return err
}

// mapping is the body of a topic mapping.
type mapping struct {
	ClusterID      string       `json:"clusterId"`
	TopicName      string       `json:"topicName"`
	IsVirtual      flexibleBool `json:"isVirtual"`
	IsConcentrated flexibleBool `json:"isConcentrated"`
	IsCompacted    flexibleBool `json:"isCompacted"`
}

// shownMapping is an element of GET /topicMappings.
type shownMapping struct {
	LogicalTopicName string     `json:"logicalTopicName"`
	ClusterID        string     `json:"clusterId"`
	TopicName        string     `json:"topicName"`
	IsVirtual        bool       `json:"isVirtual"`
	PendingDelete    *time.Time `json:"pendingDelete,omitempty"`
}

// pendingDelete is an announced edit: cluster none, at the end of the grace.
type pendingDelete struct {
	at    time.Time
	timer *time.Timer
}

func (g *Gateway) virtuals() []*virtual {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []*virtual
	for _, s := range g.snapshot.VirtualClusters {
		if v := g.virtual[s.Name]; v != nil {
			out = append(out, v)
		}
	}
	return out
}

func uuid(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func (a *httpAPI) listMappings(w http.ResponseWriter, r *http.Request) {
	_, rt, p := a.placement(w, r.PathValue("tenant"))
	if p == nil {
		return
	}
	names := p.Topics()
	for _, t := range rt.env.Catalog.Topics() {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	out := []shownMapping{}
	for _, n := range names {
		home, physical, _ := rt.place(n)
		if h := p.Home(n); !h.Shown {
			home = "none"
		}
		m := shownMapping{LogicalTopicName: n, ClusterID: home, TopicName: physical[home], IsVirtual: true}
		if m.TopicName == "" {
			m.TopicName = n
		}
		a.g.mu.Lock()
		if d := a.g.deletes[[2]string{rt.env.VirtualCluster, n}]; d != nil {
			m.PendingDelete = &d.at
		}
		a.g.mu.Unlock()
		out = append(out, m)
	}
	writeJSON(w, 200, out)
}

// setMapping puts a topic on a cluster: one edit of the file, and one move if the topic lives
// elsewhere. It answers when the change is live, or 202 with the move's reason to wait.
func (a *httpAPI) setMapping(w http.ResponseWriter, r *http.Request) {
	v, _, p := a.placement(w, r.PathValue("tenant"))
	if p == nil {
		return
	}
	topic := r.PathValue("topic")
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var m mapping
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil {
		fail(w, 400, fmt.Sprintf(`body is not a mapping: %s; send {"clusterId": "dr", "topicName": %q}`, admin.NotRead(err), topic))
		return
	}
	if m.IsConcentrated || m.IsCompacted {
		fail(w, 501, "concentrated topics are not supported: map each topic to a topic of its own")
		return
	}
	if m.ClusterID == "" {
		m.ClusterID = "main"
	}
	c, ok := a.g.Snapshot().Cluster(m.ClusterID)
	if !ok {
		var names []string
		for _, k := range a.g.Snapshot().Clusters {
			names = append(names, k.Name)
		}
		fail(w, 400, fmt.Sprintf("no cluster %q; the file names %v", m.ClusterID, names))
		return
	}
	about(r.Context(), v.name, topic)
	edits := p.SetHome(topic, c.Name, m.TopicName)
	a.g.cancelDelete(v.name, topic)
	if !a.edit(w, r, edits, failover.Options{Edited: func(t string) bool { return t == topic }}) {
		return
	}
	a.answerMove(w, r, v.name, []string{topic})
}

// edit changes the file and applies it. It answers and returns false if that is not possible.
func (a *httpAPI) edit(w http.ResponseWriter, r *http.Request, edits []config.Edit, o failover.Options) bool {
	if err := (operator{a.g}).edit(r.Context(), "", edits, o); err != nil {
		failWith(w, err)
		return false
	}
	return true
}

// EditFile makes edits to the file and applies the result. On an error the file is unchanged.
func (g *Gateway) EditFile(ctx context.Context, edits []config.Edit, o failover.Options) error {
	return g.editFile(ctx, "", edits, o)
}

// editFile is EditFile of a certain revision; "" is any.
func (g *Gateway) editFile(ctx context.Context, revision string, edits []config.Edit, o failover.Options) error {
	g.editing.Lock()
	defer g.editing.Unlock()
	before := g.Snapshot()
	audit.Of(ctx).Before = before.Revision
	if revision != "" && revision != before.Revision {
		return &admin.Error{Status: http.StatusPreconditionFailed, Message: fmt.Sprintf("somebody has edited the file meanwhile: revision %s is in force, not %s; look at it, then try again", before.Revision, revision)}
	}
	after, err := config.Apply(before.Source, edits...)
	if err != nil {
		return err
	}
	next, err := config.Parse(before.Path, after)
	if err != nil {
		return err
	}
	describe(ctx, before, next)
	if len(edits) > 0 {
		if err := config.WriteFile(before.Path, before.Source, after); err != nil {
			return err
		}
	}
	err = g.ApplySource(ctx, after, o)
	if err != nil && g.Snapshot() == before && len(edits) > 0 { // what can't come into force must not meet the next start
		err = errors.Join(err, config.WriteFile(before.Path, after, before.Source))
	}
	return err
}

// answerMove waits for the moves of topics: 200 when they are done, 202 with what they wait for.
func (a *httpAPI) answerMove(w http.ResponseWriter, r *http.Request, vc string, topics []string) {
	ctx, cancel := context.WithTimeout(r.Context(), applyWait)
	defer cancel()
	status, reports := 200, []failover.Report{}
	for _, t := range topics {
		for {
			rep, ok, err := a.g.runner.Wait(ctx, vc, t)
			if !ok {
				break
			}
			if err == nil && rep.Phase == failover.Dropped {
				continue // a newer edit took its place
			}
			if err != nil || rep.Phase != failover.Done {
				status = 202
			}
			reports = append(reports, rep)
			break
		}
	}
	message := "live"
	if status == 202 {
		message = "pending: see GET /moves"
		w.Header().Set("Location", "/moves")
	}
	writeJSON(w, status, map[string]any{"message": message, "moves": reports})
}

// deleteMapping announces that a topic is to belong to no cluster. Until the grace is over its home
// goes on serving, and a POST or PUT of another home is an ordinary move.
func (a *httpAPI) deleteMapping(w http.ResponseWriter, r *http.Request) {
	v, _, p := a.placement(w, r.PathValue("tenant"))
	if p == nil {
		return
	}
	topic := r.PathValue("topic")
	if h := p.Home(topic); !h.Shown {
		fail(w, 404, "topic "+topic+" has no mapping")
		return
	}
	about(r.Context(), v.name, topic)
	asked := audit.Of(r.Context()).Actor
	grace := a.g.Snapshot().Admin.DeleteGrace
	var run func()
	run = func() {
		rt := v.runtime()
		e := &audit.Entry{Time: time.Now(), Action: "delete_mapping", Actor: asked}
		ctx := audit.With(context.Background(), e)
		about(ctx, v.name, topic)
		err := a.g.EditFile(ctx, rt.chain.Placement().SetHome(topic, "none", ""), failover.Options{})
		switch {
		case errors.Is(err, config.ErrChanged):
			// Somebody edits the file just now: what they decide of the topic cancels this.
			a.g.announceDelete(v.name, topic, time.Second, run)
		case err != nil:
			a.g.refused(e, 0, err)
			a.g.log.Error("mapping not deleted", "virtual_cluster", v.name, "topic", topic, "error", err)
		}
	}
	at := a.g.announceDelete(v.name, topic, grace, run)
	writeJSON(w, 202, map[string]any{
		"message": fmt.Sprintf("%s goes on being served for %s; then its clients get UNKNOWN_TOPIC_OR_PARTITION. Map it to another cluster before that to move it without an outage.", topic, grace),
		"at":      at,
	})
}

func (g *Gateway) announceDelete(vc, topic string, grace time.Duration, run func()) time.Time {
	g.cancelDelete(vc, topic)
	key := [2]string{vc, topic}
	d := &pendingDelete{at: time.Now().Add(grace)}
	g.mu.Lock()
	defer g.mu.Unlock()
	d.timer = guard.After(grace, func() {
		g.mu.Lock()
		mine := g.deletes[key] == d
		delete(g.deletes, key)
		g.mu.Unlock()
		if mine {
			run()
		}
	})
	g.deletes[key] = d
	return d.at
}

func (g *Gateway) cancelDelete(vc, topic string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := g.deletes[[2]string{vc, topic}]; d != nil {
		d.timer.Stop()
		delete(g.deletes, [2]string{vc, topic})
	}
}

// cancelDeletes drops announced deletes of topics that an edit of the file has decided on.
func (g *Gateway) cancelDeletes(vc string, edited func(string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, d := range g.deletes {
		if k[0] == vc && edited != nil && edited(k[1]) {
			d.timer.Stop()
			delete(g.deletes, k)
		}
	}
}

// createTopic creates a topic as CreateTopics would; one that exists is fine.
func (a *httpAPI) createTopic(w http.ResponseWriter, r *http.Request) {
	v, rt, p := a.placement(w, r.PathValue("tenant"))
	if p == nil {
		return
	}
	var body struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body); err != nil || body.Name == "" {
		fail(w, 400, `send {"name": "my-topic"}`)
		return
	}
	about(r.Context(), v.name, body.Name)
	c, ok := p.(interface {
		Create(ctx context.Context, topic string) error
	})
	if !ok {
		fail(w, 501, "this routing can't create topics")
		return
	}
	if err := c.Create(r.Context(), body.Name); err != nil {
		fail(w, 502, "topic "+body.Name+" not created: "+err.Error())
		return
	}
	home, names, _ := rt.place(body.Name)
	writeJSON(w, 200, map[string]string{"name": body.Name, "clusterId": home, "topicName": names[home]})
}
