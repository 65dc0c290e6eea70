package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
)

func (c *Console) overview(_ *http.Request, m *memo) (view, error) {
	return view{"Overview", "overview.html", struct {
		Status admin.Status
		Rates  rates
		Moves  []shownMove
	}{c.g.Status(), m.traffic(c.g.Traffic(), time.Now()), c.open()}}, nil
}

func (c *Console) open() (out []shownMove) {
	for _, r := range c.g.Moves() {
		if r.Ended.IsZero() {
			out = append(out, show(r, time.Now()))
		}
	}
	return out
}

func (c *Console) clients(_ *http.Request, m *memo) (view, error) {
	return view{"Clients", "clients.html", m.clients(c.g.Clients(), time.Now())}, nil
}

func (c *Console) topics(r *http.Request, m *memo) (view, error) {
	vc := r.PathValue("vc")
	list, err := c.g.Topics(r.Context(), vc)
	return view{"Topics of " + vc, "topics.html", m.topics(list, time.Now())}, err
}

func (c *Console) topic(r *http.Request, _ *memo) (view, error) {
	t, err := c.g.Topic(r.Context(), r.PathValue("vc"), r.PathValue("topic"))
	data := struct {
		admin.Topic
		Moves []shownMove
	}{Topic: t}
	for _, rep := range slices.Backward(c.g.Moves()) {
		if rep.VirtualCluster == t.VirtualCluster && rep.Topic == t.Name && len(data.Moves) < 20 {
			data.Moves = append(data.Moves, show(rep, time.Now()))
		}
	}
	return view{t.Name, "topic.html", data}, err
}

func (c *Console) groups(r *http.Request, _ *memo) (view, error) {
	vc := r.PathValue("vc")
	g, err := c.g.Groups(r.Context(), vc)
	return view{"Groups of " + vc, "groups.html", g}, err
}

func (c *Console) plugins(*http.Request, *memo) (view, error) {
	type shown struct {
		admin.Plugin
		Cost   *cost
		Status string
	}
	var out []shown
	for _, p := range c.g.Plugins() {
		s := shown{Plugin: p}
		if p.Status != nil {
			b, err := json.MarshalIndent(p.Status, "", "  ")
			if err != nil {
				return view{}, err
			}
			s.Status = string(b)
			var k cost
			if json.Unmarshal(b, &k) == nil && k.Calls != nil {
				s.Cost = &k
			}
		}
		out = append(out, s)
	}
	return view{"Plugins", "plugins.html", out}, nil
}

// cost is what a guest says of itself, as far as the page has columns for it.
type cost struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Calls     *int64 `json:"calls"` // nil: it is no guest
	Failures  int64  `json:"failures"`
	Busy      int64  `json:"busy_us"`
	Instances int64  `json:"instances"`
	Memory    int64  `json:"instance_bytes"`
	LeftAlone bool   `json:"left_alone"`
}

// PerCall is the mean time of a call.
func (k cost) PerCall() time.Duration {
	if *k.Calls == 0 {
		return 0
	}
	return time.Duration(k.Busy) * time.Microsecond / time.Duration(*k.Calls)
}

func (c *Console) config(*http.Request, *memo) (view, error) {
	cfg := c.g.Config()
	b, err := json.MarshalIndent(cfg.Config, "", "  ")
	return view{"Configuration", "config.html", struct {
		admin.Config
		Text string
	}{cfg, string(b)}}, err
}

func (c *Console) moves(r *http.Request, _ *memo) (view, error) {
	u, _ := c.access.Reader(r)
	data := struct {
		Open, Past []shownMove
		Edits      bool
		Revision   string
	}{Edits: u.Edits(), Revision: c.g.Config().Revision, Open: c.open()}
	for _, rep := range slices.Backward(c.g.Moves()) {
		if !rep.Ended.IsZero() && len(data.Past) < 100 {
			data.Past = append(data.Past, show(rep, time.Now()))
		}
	}
	return view{"Moves", "moves.html", data}, nil
}

func (c *Console) move(r *http.Request, _ *memo) (view, error) {
	u, _ := c.access.Reader(r)
	for _, rep := range c.g.Moves() {
		if rep.ID == r.PathValue("id") {
			return view{"Move of " + rep.Topic, "move.html", struct {
				shownMove
				Edits bool
			}{show(rep, time.Now()), u.Edits()}}, nil
		}
	}
	return view{}, &admin.Error{Status: 404, Message: "there is no such move"}
}

// plan shows what a move would do, with a form to start it.
func (c *Console) plan(r *http.Request, _ *memo) (view, error) {
	q := r.URL.Query()
	m := admin.Move{VirtualCluster: q.Get("vc"), Topics: q["topic"], From: q.Get("from"), To: q.Get("to")}
	plans, err := c.g.Plan(r.Context(), m)
	u, _ := c.access.Reader(r)
	data := struct {
		Move              admin.Move
		Confirm, Revision string
		Summary           string
		Plans             []failover.Plan
		Blocked, Gone     bool
		Edits             bool
	}{Move: m, Confirm: confirmation(m), Revision: c.g.Config().Revision, Summary: plans.Summary, Plans: plans.Topics, Edits: u.Edits()}
	for _, p := range plans.Topics {
		data.Blocked = data.Blocked || p.Blocked != ""
		data.Gone = data.Gone || !p.Planned
	}
	return view{"Plan", "plan.html", data}, err
}

// confirmation is what is to be typed before a move starts: the topic, or the cluster that is left, or of several topics
// the new home.
func confirmation(m admin.Move) string {
	switch {
	case m.From != "":
		return m.From
	case len(m.Topics) == 1:
		return m.Topics[0]
	}
	return m.To
}

func (c *Console) start(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		c.fail(w, r, &admin.Error{Status: 400, Message: err.Error()})
		return
	}
	f := r.PostForm
	m := admin.Move{
		VirtualCluster: f.Get("vc"), Topics: f["topic"], From: f.Get("from"), To: f.Get("to"),
		Unplanned: f.Has("unplanned"), Atomic: f.Has("atomic"),
	}
	switch want := confirmation(m); {
	case want == "" || f.Get("revision") == "":
		c.fail(w, r, &admin.Error{Status: 400, Message: "nothing was moved: this is not the form of a plan; make one from the page of a topic or of the overview"})
		return
	case f.Get("confirm") != want:
		c.fail(w, r, &admin.Error{Status: 400, Message: "nothing was moved: what was typed is not " + want + "; go back and type it as it stands there"})
		return
	}
	if _, err := c.g.Start(r.Context(), f.Get("revision"), m); err != nil {
		c.fail(w, r, err)
		return
	}
	http.Redirect(w, r, Prefix+"moves", http.StatusSeeOther)
}

func (c *Console) abort(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	rep, err := c.g.Abort(r.Context(), r.PostFormValue("revision"), r.PathValue("id"))
	if err != nil {
		c.fail(w, r, err)
		return
	}
	http.Redirect(w, r, Prefix+"moves/"+url.PathEscape(rep.ID), http.StatusSeeOther)
}

func (c *Console) acknowledge(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	id := r.PathValue("id")
	if _, err := c.g.Acknowledge(r.Context(), admin.Acknowledge{Moves: []string{id}}); err != nil {
		c.fail(w, r, err)
		return
	}
	http.Redirect(w, r, Prefix+"moves/"+url.PathEscape(id), http.StatusSeeOther)
}
