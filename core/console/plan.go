package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/plan"
)

const (
	// planFresh is how long the pages of one plan are of the same one. The page without a number is
	// always of a new one.
	planFresh = time.Minute
	// mostPlans is how many plans are kept.
	mostPlans = 8
	// mostDamage is how many groups a plan shows.
	mostDamage = 50
)

// plans keeps the last plans, so that their other pages need not be made anew.
type plans struct {
	mu   sync.Mutex
	kept []keptPlan
}

type keptPlan struct {
	of   string
	at   time.Time
	plan plan.Plans
}

func (p *plans) get(of string) (plan.Plans, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.kept {
		if k.of == of && time.Since(k.at) < planFresh {
			return k.plan, true
		}
	}
	return plan.Plans{}, false
}

func (p *plans) keep(of string, plan plan.Plans) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = slices.DeleteFunc(p.kept, func(k keptPlan) bool { return k.of == of || time.Since(k.at) >= planFresh })
	p.kept = append(p.kept, keptPlan{of, time.Now(), plan})
	p.kept = p.kept[max(len(p.kept)-mostPlans, 0):]
}

// plan shows what a move would do, with a form to start it.
func (c *Console) plan(r *http.Request) (view, error) {
	q := r.URL.Query()
	m := admin.Move{VirtualCluster: q.Get("vc"), Topics: q["topic"], From: q.Get("from"), To: q.Get("to")}
	of := strings.Join(append([]string{m.VirtualCluster, m.From, m.To}, m.Topics...), "\x00")
	all, kept := c.plans.get(of)
	if !kept || !q.Has("page") {
		var err error
		if all, err = c.g.Plan(r.Context(), m); err != nil {
			return view{}, err
		}
		c.plans.keep(of, all)
	}
	u, _ := c.access.Reader(r)
	data := struct {
		plan.Plans
		Move              admin.Move
		Confirm, Revision string
		Pager             pager
		MoreGroups        int
		MoreCarried       int
		MoreShares        int
		Total             int // topics
		Edits             bool
		Many              string // what is moved
		Gone              bool   // a home is
	}{Plans: all, Move: m, Confirm: confirmation(m), Revision: c.g.Config().Revision, Pager: pages(r, len(all.Topics)), Edits: u.Edits()}
	data.Gone = slices.ContainsFunc(all.Topics, func(p plan.Plan) bool { return !p.Planned })
	data.Total, data.Many = len(all.Topics), fmt.Sprintf("%d topics", len(all.Topics))
	if len(all.Topics) == 1 {
		data.Many = "1 topic"
	}
	data.MoreGroups = max(len(all.Groups)-mostDamage, 0)
	data.Groups = all.Groups[:len(all.Groups)-data.MoreGroups]
	data.MoreCarried = max(len(all.Carried)-mostDamage, 0)
	data.Carried = all.Carried[:len(all.Carried)-data.MoreCarried]
	data.MoreShares = max(len(all.Shares)-mostDamage, 0)
	data.Shares = all.Shares[:len(all.Shares)-data.MoreShares]
	data.Topics = onPage(all.Topics, data.Pager)
	if len(all.Topics) == 1 {
		data.Pager = pages(r, len(all.Topics[0].Partitions))
		one := all.Topics[0]
		one.Partitions = onPage(one.Partitions, data.Pager)
		data.Topics = []plan.Plan{one}
	}
	return view{Title: "Plan", Template: "plan.html", Data: data}, nil
}

// confirmation is what is to be typed before a move starts: the topic, or the cluster that is left,
// or of several topics the new home.
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
