package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
)

// failoverRequest asks for a plan, or a run, of moves: of the topics named, or of all that live on
// From.
type failoverRequest struct {
	VirtualCluster string   `json:"virtual_cluster"` // may be left out if there is one
	Topics         []string `json:"topics"`
	From           string   `json:"from"`
	To             string   `json:"to"`
	Unplanned      bool     `json:"unplanned"`
	Atomic         bool     `json:"atomic"` // all topics commit together, or none
}

// resolve finds the virtual cluster and the topics.
func (a *admin) resolve(w http.ResponseWriter, r *http.Request) (*runtime, *failoverRequest, []string, bool) {
	var f failoverRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&f); err != nil {
		fail(w, 400, fmt.Sprintf(`body: %v; send {"from": "prod", "to": "dr"} or {"topics": [...], "to": "dr"}`, err))
		return nil, nil, nil, false
	}
	if all := a.g.virtuals(); f.VirtualCluster == "" && len(all) == 1 {
		f.VirtualCluster = all[0].name
	}
	_, rt, p := a.placement(w, f.VirtualCluster)
	if p == nil {
		return nil, nil, nil, false
	}
	for _, c := range []*string{&f.To, &f.From} {
		if *c == "" {
			continue
		}
		known, ok := a.g.Snapshot().Cluster(*c)
		if !ok {
			fail(w, 400, fmt.Sprintf("no cluster %q", *c))
			return nil, nil, nil, false
		}
		*c = known.Name
	}
	if f.To == "" || (f.From == "") == (len(f.Topics) == 0) {
		fail(w, 400, "name the target, and either topics or the cluster that is to be left")
		return nil, nil, nil, false
	}
	topics := f.Topics
	for _, t := range rt.env.Catalog.Topics() {
		if f.From != "" && t.Home == f.From && p.Home(t.Name).Shown {
			topics = append(topics, t.Name)
		}
	}
	slices.Sort(topics)
	return rt, &f, topics, true
}

func (a *admin) plan(w http.ResponseWriter, r *http.Request) {
	rt, f, topics, ok := a.resolve(w, r)
	if !ok {
		return
	}
	plans := []failover.Plan{}
	for _, t := range topics {
		plans = append(plans, a.g.runner.Plan(r.Context(), a.g.failoverEnv(rt), t, f.To))
	}
	writeJSON(w, 200, plans)
}

// run edits the file and answers with the topics that are to move; GET /moves follows them.
func (a *admin) run(w http.ResponseWriter, r *http.Request) {
	rt, f, topics, ok := a.resolve(w, r)
	if !ok {
		return
	}
	p := rt.chain.Placement()
	var edits []config.Edit
	if f.From != "" {
		if b, ok := p.(interface {
			LeaveCluster(from, to string) []config.Edit
		}); ok {
			edits = b.LeaveCluster(f.From, f.To)
		}
	}
	source := a.g.Snapshot().Source
	for _, t := range topics {
		// What the general rules don't move gets a rule of its own.
		if f.From == "" {
			edits = append(edits, p.SetHome(t, f.To, "")...)
		}
	}
	if _, err := config.Apply(source, edits...); err != nil {
		fail(w, 409, err.Error())
		return
	}
	o := failover.Options{Edited: func(t string) bool { return slices.Contains(topics, t) }, Unplanned: f.Unplanned, Atomic: f.Atomic}
	if !a.edit(w, r, edits, o) {
		return
	}
	writeJSON(w, 202, map[string]any{"virtual_cluster": f.VirtualCluster, "topics": topics, "to": f.To})
}
