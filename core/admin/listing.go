package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// PageSize is how many things a page has.
	PageSize = 100
	// MostSearch is how many characters a search may have: more than any name of a topic.
	MostSearch = 256
)

// Query narrows a list down. What is empty narrows nothing.
type Query struct {
	Search string    // a part of a name, whatever its case
	State  string    // a name of Listing.States
	Sort   string    // a name of Listing.Sorts; with - before it from the end
	Page   int       // from 1; 0 is all
	Since  time.Time // what began then or later
}

// Listing says how a list can be narrowed down and sorted.
type Listing[T any] struct {
	Text   func(T) []string // what is searched
	States []State[T]
	Sorts  []Sort[T]
	Began  func(T) time.Time // nil: nothing begins
	// Parts says that things have lists of partitions, which a call may leave out.
	Parts bool
	// Known names the states and sorts that take only what the gateway knows by itself: nobody has
	// to be asked for what is not on the page.
	Known []string
}

// picks reports that a query can be answered without asking for what it leaves out.
func (l Listing[T]) picks(q Query) bool {
	known := func(name string) bool { return name == "" || slices.Contains(l.Known, name) }
	return known(q.State) && known(strings.TrimPrefix(q.Sort, "-"))
}

// State is one by which a list can be narrowed down.
type State[T any] struct {
	Name string
	Is   func(T) bool
}

// Sort is an order that a list can have.
type Sort[T any] struct {
	Name string
	By   func(a, b T) int
}

// Selection is the part of a list that was asked for.
type Selection[T any] struct {
	Items []T
	// Total is how many things there are on all pages, Of how many there are without search and
	// state.
	Total, Of int
	Pages     int
}

// StateNames are what Query.State may be.
func (l Listing[T]) StateNames() (names []string) {
	for _, s := range l.States {
		names = append(names, s.Name)
	}
	return names
}

// SortNames are what Query.Sort may be.
func (l Listing[T]) SortNames() (names []string) {
	for _, s := range l.Sorts {
		names = append(names, s.Name)
	}
	return names
}

// Select narrows a list down. The list itself stays as it is.
func (l Listing[T]) Select(list []T, q Query) (Selection[T], error) {
	out := Selection[T]{Of: len(list), Pages: 1}
	is, err := l.state(q.State)
	if err != nil {
		return out, err
	}
	by, err := l.order(q.Sort)
	if err != nil {
		return out, err
	}
	if utf8.RuneCountInString(q.Search) > MostSearch {
		return out, &Error{http.StatusBadRequest, fmt.Sprintf("search has more than %d characters", MostSearch)}
	}
	find := strings.ToLower(q.Search)
	out.Items = make([]T, 0, len(list))
	for _, x := range list {
		if (is == nil || is(x)) && (find == "" || slices.ContainsFunc(l.Text(x), func(s string) bool { return strings.Contains(strings.ToLower(s), find) })) &&
			(q.Since.IsZero() || l.Began == nil || !l.Began(x).Before(q.Since)) {
			out.Items = append(out.Items, x)
		}
	}
	if by != nil && !slices.IsSortedFunc(out.Items, by) { // topics come by name
		slices.SortStableFunc(out.Items, by)
	}
	out.Total = len(out.Items)
	if q.Page == 0 {
		return out, nil
	}
	out.Pages = max((out.Total+PageSize-1)/PageSize, 1)
	first := out.Total
	if q.Page <= out.Pages {
		first = (q.Page - 1) * PageSize
	}
	out.Items = out.Items[first:min(first+PageSize, out.Total)]
	return out, nil
}

func (l Listing[T]) state(name string) (func(T) bool, error) {
	for _, s := range l.States {
		if s.Name == name {
			return s.Is, nil
		}
	}
	if name == "" {
		return nil, nil
	}
	return nil, &Error{http.StatusBadRequest, "state is one of " + strings.Join(l.StateNames(), ", ")}
}

func (l Listing[T]) order(name string) (func(a, b T) int, error) {
	plain, back := strings.CutPrefix(name, "-")
	for _, s := range l.Sorts {
		switch {
		case s.Name != plain:
		case back:
			return func(a, b T) int { return s.By(b, a) }, nil
		default:
			return s.By, nil
		}
	}
	if name == "" {
		return nil, nil
	}
	return nil, &Error{http.StatusBadRequest, "sort is one of " + strings.Join(l.SortNames(), ", ") + ", from the end with - before it"}
}

// Over is a listing of what has things in it, whenever they began.
func Over[T, U any](l Listing[U], of func(T) U) Listing[T] {
	out := Listing[T]{Text: func(x T) []string { return l.Text(of(x)) }}
	for _, s := range l.States {
		out.States = append(out.States, State[T]{s.Name, func(x T) bool { return s.Is(of(x)) }})
	}
	for _, s := range l.Sorts {
		out.Sorts = append(out.Sorts, Sort[T]{s.Name, func(a, b T) int { return s.By(of(a), of(b)) }})
	}
	return out
}

// query reads the parameters of a call, of which none may be unknown or there twice.
func (l Listing[T]) query(v url.Values) (q Query, err error) {
	bad := func(format string, args ...any) (Query, error) {
		return q, &Error{http.StatusBadRequest, fmt.Sprintf(format, args...)}
	}
	for name, values := range v {
		if len(values) != 1 {
			return bad("%s is there %d times", name, len(values))
		}
		s := values[0]
		switch {
		case name == "search":
			q.Search = s
		case name == "state" && s != "":
			q.State = s
		case name == "sort" && s != "":
			q.Sort = s
		case name == "page":
			if q.Page, err = strconv.Atoi(s); err != nil || q.Page < 1 {
				return bad("page is a number from 1 on")
			}
		case name == "since" && l.Began != nil:
			if q.Since, err = time.Parse(time.RFC3339, s); err != nil {
				return bad("since is a time such as 2006-01-02T15:04:05Z")
			}
		case name == "partitions" && l.Parts:
			if s != "true" && s != "false" {
				return bad("partitions is true or false")
			}
		default:
			return bad("the query may hold search, state, sort and page%s", map[bool]string{true: ", and since", false: ""}[l.Began != nil]+map[bool]string{true: ", and partitions", false: ""}[l.Parts])
		}
	}
	return q, nil
}

// whole is a list that is there as a whole.
func whole[T any](get func() ([]T, error)) func(func([]T) []T) ([]T, error) {
	return func(pick func([]T) []T) ([]T, error) {
		list, err := get()
		if err == nil && pick != nil {
			list = pick(list)
		}
		return list, err
	}
}

// selected is the part of a list that a call asks for. get makes a list of what pick chooses, if
// that is not nil. Links to other pages are in the header Link, the number of all things in
// Total-Count.
func selected[T any](w http.ResponseWriter, r *http.Request, l Listing[T], get func(pick func([]T) []T) ([]T, error)) ([]T, error) {
	q, err := l.query(r.URL.Query())
	if err == nil {
		_, err = l.Select(nil, q) // nobody is asked for the list of a wrong query
	}
	if err != nil {
		return nil, err
	}
	var s Selection[T]
	pick := func(all []T) []T {
		s, err = l.Select(all, q)
		return s.Items
	}
	if l.picks(q) {
		list, gerr := get(pick)
		err, s.Items = cmp.Or(gerr, err), list
	} else if list, gerr := get(nil); gerr != nil {
		err = gerr
	} else {
		pick(list)
	}
	if err != nil {
		return nil, err
	}
	w.Header().Set("Total-Count", strconv.Itoa(s.Total))
	if q.Page > 0 {
		link := func(rel string, page int) {
			v := r.URL.Query()
			v.Set("page", strconv.Itoa(page))
			w.Header().Add("Link", fmt.Sprintf("<%s?%s>; rel=%q", r.URL.EscapedPath(), v.Encode(), rel))
		}
		link("first", 1)
		if q.Page > 1 {
			link("prev", min(q.Page-1, s.Pages))
		}
		if q.Page < s.Pages {
			link("next", q.Page+1)
		}
		link("last", s.Pages)
	}
	return nonNil(s.Items), nil
}
