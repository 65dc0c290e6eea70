package console

import (
	"cmp"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
)

// listed is what the page of a list shows.
type listed[T any] struct {
	Items []T
	Pager pager
}

// shownTopic is a topic with what has come to it; Known is false if it was not counted before.
type shownTopic struct {
	admin.Topic
	Rate  float64 // records per second
	Known bool
}

// shownTopics can be sorted by how much comes to them, too.
var shownTopics = func() admin.Listing[shownTopic] {
	l := admin.Over(admin.TopicListing, func(t shownTopic) admin.Topic { return t.Topic })
	l.Sorts = append(l.Sorts, admin.Sort[shownTopic]{Name: "rate", By: func(a, b shownTopic) int { return cmp.Compare(a.Rate, b.Rate) }})
	return l
}()

func (c *Console) topics(r *http.Request) (view, error) {
	vc := r.PathValue("vc")
	list, err := c.topicsOf(r.Context(), vc)
	if err != nil {
		return view{}, err
	}
	shown := make([]shownTopic, 0, len(list))
	for _, t := range list {
		x := shownTopic{Topic: t}
		if n := t.Records; n >= 0 {
			x.Rate, x.Known = c.recent.rate(lifeOf(t.VirtualCluster, t.Name, t.Generation), n, time.Now())
		}
		shown = append(shown, x)
	}
	s, f, p, err := narrow(r, shownTopics, "name", shown)
	return view{"Topics of " + vc, "topics.html", listed[shownTopic]{s.Items, p}, f}, err
}

// groups lists the groups, or shows one.
func (c *Console) groups(r *http.Request) (view, error) {
	vc := r.PathValue("vc")
	all, err := c.groupsOf(r.Context(), vc)
	if err != nil {
		return view{}, err
	}
	if q := r.URL.Query(); q.Has("group") {
		return group(r, vc, q.Get("group"), all)
	}
	s, f, p, err := narrow(r, admin.GroupListing, "name", all.Groups)
	return view{"Groups of " + vc, "groups.html", struct {
		VirtualCluster, Problem string
		listed[admin.Group]
	}{vc, all.Problem, listed[admin.Group]{s.Items, p}}, f}, err
}

func group(r *http.Request, vc, name string, all admin.Groups) (view, error) {
	i := slices.IndexFunc(all.Groups, func(g admin.Group) bool { return g.Name == name })
	if i < 0 {
		return view{}, &admin.Error{Status: 404, Message: "there is no such group"}
	}
	g := all.Groups[i]
	p := pages(r, len(g.Positions))
	g.Positions = onPage(g.Positions, p)
	return view{Title: "Group " + short(name), Template: "group.html", Data: struct {
		admin.Group
		VirtualCluster string
		Pager          pager
	}{g, vc, p}}, nil
}

// shownClient is all sessions with one client id, or one of them.
type shownClient struct {
	admin.Client
	Sessions, Addresses int
	Rate                float64
	Known               bool
}

// shownClients are found by what one of their sessions is.
var shownClients = func() admin.Listing[shownClient] {
	l := admin.Over(admin.ClientListing, func(c shownClient) admin.Client { return c.Client })
	l.Sorts = append(l.Sorts,
		admin.Sort[shownClient]{Name: "sessions", By: func(a, b shownClient) int { return cmp.Compare(a.Sessions, b.Sessions) }},
		admin.Sort[shownClient]{Name: "rate", By: func(a, b shownClient) int { return cmp.Compare(a.Rate, b.Rate) }})
	return l
}()

// clients lists the clients by their id, or the sessions of one.
func (c *Console) clients(r *http.Request) (view, error) {
	q := r.URL.Query()
	title, one := "Clients", q.Has("client")
	if one {
		title = "Sessions of " + cmp.Or(short(q.Get("client")), "clients without an id")
	}
	var list []shownClient
	for _, k := range c.g.Clients() {
		if one && (k.ClientID != q.Get("client") || q.Has("vc") && k.VirtualCluster != q.Get("vc")) {
			continue
		}
		x := shownClient{Client: k, Sessions: 1, Addresses: 1}
		x.Rate, x.Known = c.recent.rate(sessionOf(k), k.Requests, time.Now())
		list = append(list, x)
	}
	template := "sessions.html"
	if !one {
		list, template = together(list), "clients.html"
	}
	s, f, p, err := narrow(r, shownClients, "client_id", list)
	return view{title, template, listed[shownClient]{s.Items, p}, f}, err
}

// together adds up the sessions of each client id of a virtual cluster.
func together(sessions []shownClient) (out []shownClient) {
	at := map[[2]string]int{}
	hosts := map[[3]string]bool{}
	for _, s := range sessions {
		k := [2]string{s.VirtualCluster, s.ClientID}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, shownClient{Client: admin.Client{VirtualCluster: s.VirtualCluster, ClientID: s.ClientID, Since: s.Since}})
		}
		c := &out[i]
		host, _, err := net.SplitHostPort(s.Address)
		if err != nil {
			host = s.Address
		}
		if seen := [3]string{k[0], k[1], host}; !hosts[seen] {
			hosts[seen] = true
			c.Addresses++
			c.Address = host
		}
		if s.Software != "" {
			c.Software, c.SoftwareVersion = s.Software, s.SoftwareVersion
		}
		if s.Since.Before(c.Since) {
			c.Since = s.Since
		}
		c.Sessions++
		c.InFlight += s.InFlight
		c.Requests += s.Requests
		c.BytesIn += s.BytesIn
		c.BytesOut += s.BytesOut
		c.Rate += s.Rate
		c.Known = c.Known || s.Known
	}
	return out
}

// moves shows the open moves and lists those that have ended, the newest first, or what is searched
// for.
func (c *Console) moves(r *http.Request) (view, error) {
	u, _ := c.access.Reader(r)
	all := c.g.Moves()
	if q := r.URL.Query(); q.Get("state") == "" && q.Get("search") == "" {
		all = slices.DeleteFunc(all, func(m failover.Report) bool { return m.Ended.IsZero() })
	}
	s, f, p, err := narrow(r, admin.MoveListing, "-since", all)
	if err != nil {
		return view{}, err
	}
	data := struct {
		Open     openMoves
		Past     listed[shownMove]
		Edits    bool
		Revision string
	}{Edits: u.Edits(), Revision: c.g.Config().Revision, Past: listed[shownMove]{Pager: p}}
	if !p.Narrowed && p.Page == 1 {
		data.Open = c.openMoves()
	}
	for _, rep := range s.Items {
		data.Past.Items = append(data.Past.Items, show(rep, time.Now()))
	}
	return view{"Moves", "moves.html", data, f}, nil
}
