package console

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/admin"
)

// manyPages are those that have hundreds of things to show.
var manyPages = []string{
	"/console/", "/console/topics/shop", "/console/topics/shop?page=3", "/console/groups/shop", "/console/groups/shop?group=group-005", "/console/clients",
	"/console/clients?client=client-5", "/console/moves", "/console/moves?state=open", "/console/moves?page=9", "/console/plan?vc=shop&from=prod&to=dr",
	"/console/topics/shop?search=" + strings.Repeat("x", 200),
}

// TestAPageOfHundredsIsSmall, though every name is as long as it may be.
func TestAPageOfHundredsIsSmall(t *testing.T) {
	c := New(newCrowd(), open)
	for _, path := range manyPages {
		code, page := ask(c, "GET", path, nil)
		if code != 200 {
			t.Errorf("%s: %d", path, code)
		}
		if len(page) > 200_000 {
			t.Errorf("%s has %d bytes", path, len(page))
		}
	}
}

var rows = regexp.MustCompile(`<tr id="([^"]*)"`)

// ids are those of the rows of a page.
func ids(page string) (out []string) {
	for _, m := range rows.FindAllStringSubmatch(page, -1) {
		out = append(out, m[1])
	}
	return out
}

// TestAllIsOnSomePage: from page to page by plain links everything is seen once.
func TestAllIsOnSomePage(t *testing.T) {
	next := regexp.MustCompile(`<a href="([^"]*)" rel="next"`)
	for path, want := range map[string]int{
		"/console/topics/shop": 300, "/console/topics/shop?search=TOPIC-1": 100, "/console/groups/shop": 300, "/console/clients": 150,
		"/console/moves": 1000, "/console/moves?state=open": 300, "/console/moves?state=unplanned&sort=topic": 186, "/console/groups/shop?group=group-007": 250,
	} {
		c := New(newCrowd(), open)
		seen := map[string]int{}
		for at := path; at != ""; {
			code, page := ask(c, "GET", at, nil)
			if code != 200 {
				t.Fatalf("%s: %d", at, code)
			}
			on := ids(page)
			if len(on) > admin.PageSize {
				t.Errorf("%s has %d rows", at, len(on))
			}
			for _, id := range on {
				seen[id]++
			}
			at = ""
			if m := next.FindStringSubmatch(page); m != nil {
				at = html.UnescapeString(m[1])
			}
		}
		if len(seen) != want {
			t.Errorf("%s: %d things, want %d", path, len(seen), want)
		}
		for id, n := range seen {
			if n > 1 {
				t.Errorf("%s: %s is there %d times", path, id, n)
			}
		}
	}
}

// TestPagesThatAreNotThere are the next ones that are.
func TestPagesThatAreNotThere(t *testing.T) {
	c := New(newCrowd(), open)
	for page, says := range map[string]string{
		"-1": "page 1 of 3", "0": "page 1 of 3", "2": "page 2 of 3", "3": "page 3 of 3", "4": "page 3 of 3", "999999": "page 3 of 3",
		"99999999999999999999999": "page 1 of 3", "x": "page 1 of 3", "": "page 1 of 3", "1%00": "page 1 of 3",
	} {
		code, text := ask(c, "GET", "/console/topics/shop?page="+page, nil)
		if code != 200 {
			t.Errorf("page %q: %d", page, code)
		}
		if !strings.Contains(text, says) || len(ids(text)) != 100 {
			t.Errorf("page %q: %d rows, it does not say %q", page, len(ids(text)), says)
		}
	}
}

// TestWhatIsAskedForWronglyIsRefused, whatever its length, and shown as text.
func TestWhatIsAskedForWronglyIsRefused(t *testing.T) {
	c := New(newCrowd(), open)
	for _, query := range []string{
		"search=" + strings.Repeat("x", 257), "search=" + strings.Repeat("%C3%A9", 257), "search=" + strings.Repeat("x", 500_000), "state=<script>", "sort=<script>", "sort=--name",
	} {
		for _, path := range []string{"topics/shop", "groups/shop", "clients", "moves"} {
			code, page := ask(c, "GET", "/console/"+path+"?"+strings.ReplaceAll(query, "<script>", "%3Cscript%3E"), nil)
			if code != 400 {
				t.Errorf("%s, %.20s: %d", path, query, code)
			}
			if strings.Contains(page, "<script>") {
				t.Errorf("%s, %.20s: it is not escaped", path, query)
			}
			if len(page) > 20_000 {
				t.Errorf("%s, %.20s: %d bytes", path, query, len(page))
			}
		}
	}
}

// TestAListIsNarrowedDown by what is searched for and by state, and sorted.
func TestAListIsNarrowedDown(t *testing.T) {
	for query, want := range map[string]string{
		"search=topic-29":              "topic-290",
		"search=TOPIC-29&sort=-name":   "topic-299",
		"state=broken":                 "topic-000",
		"state=behind&sort=-lag":       "topic-299",
		"state=behind&sort=lag":        "topic-001",
		"sort=-records":                "topic-299",
		"state=unreachable&search=150": "",
		"search=%3Cb%3E":               "",
	} {
		_, page := answer(newCrowd(), "GET", "/console/topics/shop?"+query, nil)
		got := ""
		if all := ids(page); len(all) > 0 {
			got = strings.TrimPrefix(all[0], "topic-")[:9]
		}
		if got != want {
			t.Errorf("%s: the first is %q, want %q", query, got, want)
		}
	}
}

// TestTheSearchStaysInItsField, and goes along with every link of the list.
func TestTheSearchStaysInItsField(t *testing.T) {
	_, page := answer(newCrowd(), "GET", "/console/topics/shop?search=topic&sort=-lag&state=behind&page=2", nil)
	if !strings.Contains(page, `name="search" value="topic"`) {
		t.Error("the field is empty")
	}
	for _, m := range regexp.MustCompile(`<a href="(/console/topics/shop\?[^"]*)"`).FindAllStringSubmatch(page, -1) {
		link := must(url.Parse(html.UnescapeString(m[1])))
		if got := link.Query().Get("search"); got != "topic" {
			t.Errorf("%s searches for %q", m[1], got)
		}
	}
	for _, want := range []string{`<input type="hidden" name="state" value="behind">`, `<input type="hidden" name="sort" value="-lag">`} {
		if !strings.Contains(page, want) {
			t.Errorf("the form lacks %s", want)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestClientsAreAddedUp by their ids, and one shows its sessions.
func TestClientsAreAddedUp(t *testing.T) {
	g := newCrowd()
	_, page := answer(g, "GET", "/console/clients?search=client-5&sort=client_id", nil)
	row := page[strings.Index(page, "<tr id="):]
	row = row[:strings.Index(row, "</tr>")]
	for _, want := range []string{">client-5</a>", `data-label="Sessions">6<`, `data-label="Requests">2280<`, "4 addresses"} {
		if !strings.Contains(row, want) {
			t.Errorf("it lacks %s:\n%s", want, row)
		}
	}
	link := html.UnescapeString(regexp.MustCompile(`<a href="([^"]*)">client-5</a>`).FindStringSubmatch(row)[1])
	_, page = answer(g, "GET", link, nil)
	if want := []string{"session-5", "session-155", "session-305", "session-455", "session-605", "session-755"}; !slices.Equal(ids(page), want) {
		t.Errorf("%q, want %q", ids(page), want)
	}
}

// TestNamesOfAnyKindAreShownAndFound: of groups and clients, which clients choose.
func TestNamesOfAnyKindAreShownAndFound(t *testing.T) {
	c := New(newCrowd(), open)
	_, page := ask(c, "GET", "/console/groups/shop", nil)
	for _, m := range regexp.MustCompile(`<a href="([^"]*group=[^"]*)"`).FindAllStringSubmatch(page, -1) {
		if code, _ := ask(c, "GET", html.UnescapeString(m[1]), nil); code != 200 {
			t.Errorf("%s: %d", m[1], code)
		}
	}
	if strings.Contains(page, "<b>") {
		t.Error("a name is not escaped")
	}
	if n := strings.Count(page, "ggg"); n*3 > 2*mostName {
		t.Errorf("a name of 30,000 characters is shown with %d", n*3)
	}
	unique := map[string]bool{}
	for _, id := range ids(page) {
		unique[id] = true
	}
	if len(unique) != 100 {
		t.Errorf("%d rows can be told apart", len(unique))
	}
}

// TestWhatIsWrongIsOnEveryPage: a dead cluster, and losses that nobody has acknowledged.
func TestWhatIsWrongIsOnEveryPage(t *testing.T) {
	for _, path := range []string{"", "topics/shop", "groups/shop", "clients", "moves", "plan?vc=shop&from=prod&to=dr"} {
		_, page := answer(newCrowd(), "GET", "/console/"+path, nil)
		for _, want := range []string{"Cluster prod can't be used: it &lt;does not&gt; answer.", "22 moves may have lost up to 220 records"} {
			if !strings.Contains(page, want) {
				t.Errorf("%q does not say: %s", path, want)
			}
		}
		if strings.Contains(page, "Cluster dr can't be used") {
			t.Errorf("%q: a cluster that lives is said to be dead", path)
		}
	}
	_, page := answer(&plain{}, "GET", "/console/", nil)
	if strings.Contains(page, `id="losses"`) {
		t.Error("losses where there are none")
	}
}

// TestAPlanOfHundreds begins with its numbers and where to confirm it; what is blocked comes before
// what is not.
func TestAPlanOfHundreds(t *testing.T) {
	g := newCrowd()
	c := New(g, open)
	const path = "/console/plan?vc=shop&from=prod&to=dr"
	_, page := ask(c, "GET", path, nil)
	last := 0
	for _, want := range []string{"200 ready, 50 blocked, 50 unplanned, 500 records would be lost", "Type <b>prod</b> to confirm the move of 300 topics", "Move 300 topics",
		"Groups that would miss records, or get some again, if their homes died now", "A planned move takes them along as they are.", "&lt;group&gt; 0", ">61 s<", ">?<", ">0.8 s<", "70 groups more",
		"Share groups", "have not acknowledged", "&lt;workers&gt; 0", "70 groups more", ">blocked</span>", ">unplanned</span>"} {
		at := strings.Index(page[last:], want)
		if at < 0 {
			t.Fatalf("%q is not behind %.100q", want, page[last:])
		}
		last += at
	}
	_, second := ask(c, "GET", path+"&page=2", nil)
	if !strings.Contains(second, longest(150)) || strings.Contains(second, longest(10)) {
		t.Error("the second page has not the second hundred")
	}
	if g.plans != 1 {
		t.Errorf("%d plans for two pages of one", g.plans)
	}
	ask(c, "GET", path, nil)
	if g.plans != 2 {
		t.Error("who looks again gets an old plan")
	}
	for i := range 3 * mostPlans {
		ask(c, "GET", fmt.Sprintf("%s&x=%d&topic=%d", path, i, i), nil)
	}
	if n := len(c.plans.kept); n > mostPlans {
		t.Errorf("%d plans are kept", n)
	}
}

// TestAReaderIsOfferedNothingToDo but to search.
func TestAReaderIsOfferedNothingToDo(t *testing.T) {
	g := newCrowd()
	c := New(g, readers)
	for _, path := range append(slices.Clone(manyPages), "/console/moves/m-01100", "/console/moves/m-00100") {
		code, page := ask(c, "GET", path, nil)
		if code != 200 || strings.Contains(page, `method="post"`) {
			t.Errorf("%s: %d, or it has a form", path, code)
		}
	}
	_, page := ask(New(g, open), "GET", "/console/moves/m-01100", nil)
	if !strings.Contains(page, `action="/console/moves/m-01100/abort"`) {
		t.Error("an open move can't be aborted where it is shown")
	}
}

// BenchmarkAPageOfHundreds is to take less than 200 ms.
func BenchmarkAPageOfHundreds(b *testing.B) {
	g := newCrowd()
	for name, path := range map[string]string{"topics": "/console/topics/shop", "moves": "/console/moves", "plan": "/console/plan?vc=shop&from=prod&to=dr", "clients": "/console/clients"} {
		b.Run(name, func(b *testing.B) {
			c := New(g, open)
			for b.Loop() {
				if code, _ := ask(c, "GET", path, nil); code != 200 {
					b.Fatal(code)
				}
			}
		})
	}
}

// TestWhatAPageTakes is bounded by how much it shows, not by how much there is: ten times as many
// topics take little more than their sorting.
func TestWhatAPageTakes(t *testing.T) {
	allocations := func(n int) float64 {
		g := newCrowd()
		g.names = nil
		for i := range n {
			g.names = append(g.names, longest(i))
		}
		c := New(g, open)
		ask(c, "GET", "/console/topics/shop", nil) // clusters have been asked
		return testing.AllocsPerRun(5, func() { ask(c, "GET", "/console/topics/shop", nil) })
	}
	if some, many := allocations(200), allocations(2000); many > some+6*1800 {
		t.Errorf("a page of 200 topics takes %.0f allocations, one of 2000 %.0f", some, many)
	}
}
