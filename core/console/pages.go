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

// mostCards is how many open moves are shown with their phases; the others are in the list of
// moves.
const mostCards = 10

func (c *Console) overview(*http.Request) (view, error) {
	c.recent.mu.Lock()
	now := c.recent.rates
	c.recent.mu.Unlock()
	return view{Title: "Overview", Template: "overview.html", Data: struct {
		Status admin.Status
		Rates  rates
		Moves  openMoves
	}{c.g.Status(), now, c.openMoves()}}, nil
}

// openMoves are the first ones, and how many more there are.
type openMoves struct {
	Cards []shownMove
	More  int
}

func (c *Console) openMoves() (out openMoves) {
	for _, r := range c.g.Moves() {
		switch {
		case !r.Ended.IsZero():
		case len(out.Cards) < mostCards:
			out.Cards = append(out.Cards, show(r, time.Now()))
		default:
			out.More++
		}
	}
	return out
}

func (c *Console) topic(r *http.Request) (view, error) {
	t, err := c.g.Topic(r.Context(), r.PathValue("vc"), r.PathValue("topic"))
	data := struct {
		admin.Topic
		Pager pager
		Moves []shownMove
	}{Topic: t, Pager: pages(r, len(t.Partitions))}
	data.Partitions = onPage(t.Partitions, data.Pager)
	data.Copies = slices.Clone(t.Copies)
	for i, k := range data.Copies {
		data.Copies[i].Partitions = onPage(k.Partitions, data.Pager)
	}
	for _, rep := range slices.Backward(c.g.Moves()) {
		if rep.VirtualCluster == t.VirtualCluster && rep.What() == (failover.Movable{Kind: failover.Topic, Name: t.Name}) && len(data.Moves) < 20 {
			data.Moves = append(data.Moves, show(rep, time.Now()))
		}
	}
	return view{Title: t.Name, Template: "topic.html", Data: data}, err
}

// onPage are the things of a list that are on a page.
func onPage[T any](list []T, p pager) []T {
	return list[min(p.First, len(list)):min(p.Last, len(list))]
}

func (c *Console) plugins(*http.Request) (view, error) {
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
	return view{Title: "Plugins", Template: "plugins.html", Data: out}, nil
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

func (c *Console) config(*http.Request) (view, error) {
	cfg := c.g.Config()
	b, err := json.MarshalIndent(cfg.Config, "", "  ")
	return view{Title: "Configuration", Template: "config.html", Data: struct {
		admin.Config
		Text string
	}{cfg, string(b)}}, err
}

func (c *Console) move(r *http.Request) (view, error) {
	u, _ := c.access.Reader(r)
	for _, rep := range c.g.Moves() {
		if rep.ID == r.PathValue("id") {
			data := struct {
				shownMove
				Edits    bool
				Lost     int64
				Pager    pager
				Revision string
			}{show(rep, time.Now()), u.Edits(), rep.Lost(), pages(r, len(rep.PossibleLoss)), c.g.Config().Revision}
			data.PossibleLoss = onPage(rep.PossibleLoss, data.Pager)
			return view{Title: "Move of " + rep.What().String(), Template: "move.html", Data: data}, nil
		}
	}
	return view{}, &admin.Error{Status: 404, Message: "there is no such move"}
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
