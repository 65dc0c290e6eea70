package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/sluice-gateway/sluice/core/admin"
)

// find is what a page of a list is narrowed down to, as links and a field. It works without
// scripts.
type find struct {
	Path, Search string
	Hidden       [][2]string // what the field sends along
	States       []choice
	Sorts        []choice
	Names        string // what is searched
}

// choice is a link to the same page with another parameter.
type choice struct {
	Name, Link string
	Current    bool
}

// pager leads to the other pages of a list.
type pager struct {
	First, Last, Total, Of int
	Page, Pages            int
	Prev, Next             string // "" for none
	Narrowed               bool
}

// narrow lists what a request asks for: search, state, sort and page are parameters of its address,
// as those of the API are. Pages that are not there are the next ones that are. sort is the order
// that things have where none is asked for.
func narrow[T any](r *http.Request, l admin.Listing[T], sort string, list []T) (admin.Selection[T], *find, pager, error) {
	v := r.URL.Query()
	q := admin.Query{Search: v.Get("search"), State: v.Get("state"), Sort: v.Get("sort")}
	if q.Sort == "" {
		q.Sort = sort
	}
	s, err := l.Select(list, q)
	if err != nil {
		return s, nil, pager{}, err
	}
	f := &find{Path: r.URL.EscapedPath(), Search: q.Search}
	for _, k := range []string{"state", "sort", "vc", "client"} {
		if v.Get(k) != "" {
			f.Hidden = append(f.Hidden, [2]string{k, v.Get(k)})
		}
	}
	f.States = append(f.States, choice{"all", with(r, "state", ""), q.State == ""})
	for _, name := range l.StateNames() {
		f.States = append(f.States, choice{name, with(r, "state", name), q.State == name})
	}
	for _, name := range l.SortNames() {
		c := choice{Name: name, Link: with(r, "sort", name), Current: q.Sort == name || q.Sort == "-"+name}
		if q.Sort == name {
			c.Link = with(r, "sort", "-"+name)
		}
		f.Sorts = append(f.Sorts, c)
	}
	p := pages(r, s.Total)
	p.Of, p.Narrowed = s.Of, q.Search != "" || q.State != ""
	s.Items = s.Items[p.First:p.Last]
	return s, f, p, nil
}

// pages divides a number of things into pages and says which one a request asks for; First and Last
// are its things.
func pages(r *http.Request, total int) pager {
	p := pager{Total: total, Of: total, Pages: max((total+admin.PageSize-1)/admin.PageSize, 1)}
	n, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil {
		n = 1
	}
	p.Page = min(max(n, 1), p.Pages)
	p.First = (p.Page - 1) * admin.PageSize
	p.Last = min(p.First+admin.PageSize, total)
	if p.Page > 1 {
		p.Prev = with(r, "page", strconv.Itoa(p.Page-1))
	}
	if p.Page < p.Pages {
		p.Next = with(r, "page", strconv.Itoa(p.Page+1))
	}
	return p
}

// with is the address of a request with another parameter, on its first page unless that is the
// parameter.
func with(r *http.Request, name, value string) string {
	v := r.URL.Query()
	v.Del("page")
	v.Set(name, value)
	if value == "" {
		v.Del(name)
	}
	if len(v) == 0 {
		return r.URL.EscapedPath()
	}
	return r.URL.EscapedPath() + "?" + v.Encode()
}

// Says are the numbers of the page in words.
func (p pager) Says() string {
	s := fmt.Sprintf("%d to %d of %d", min(p.First+1, p.Last), p.Last, p.Total)
	if p.Narrowed {
		s += fmt.Sprintf(" that match, of %d", p.Of)
	}
	return s
}

// query is an address with parameters.
func query(path string, pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return path + "?" + v.Encode()
}
