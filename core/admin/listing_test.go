package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
)

// hundreds is a gateway of 250 topics and as many moves.
type hundreds struct {
	Gateway
	asked int
	shown []int // how many topics clusters were asked about, each time
	full  bool  // they were asked for with their partitions
}

func (h *hundreds) Topics(_ context.Context, _ string, partitions bool, pick func([]Topic) []Topic) (out []Topic, err error) {
	h.asked++
	h.full = partitions
	for i := range 250 {
		out = append(out, Topic{Name: fmt.Sprintf("topic-%03d", i), Home: "prod", Wanted: "prod", Reachable: i%10 > 0, Copies: []Copy{{Cluster: "dr", Lag: int64(i % 4)}}})
	}
	if pick != nil {
		out = pick(out)
	}
	h.shown = append(h.shown, len(out))
	return out, nil
}

func (*hundreds) Groups(context.Context, string) (Groups, error) {
	return Groups{Groups: []Group{{Name: "a", State: "Stable"}, {Name: "b", State: "Empty", Lag: 3}}, Problem: "some"}, nil
}

func (*hundreds) Clients() []Client {
	return []Client{{ClientID: "till", InFlight: 1}, {ClientID: "office"}}
}

var noon = time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)

func (*hundreds) Moves() (out []failover.Report) {
	for i := range 250 {
		at := noon.Add(time.Duration(i) * time.Minute)
		out = append(out, failover.Report{ID: fmt.Sprint("m", i), Topic: fmt.Sprintf("topic-%03d", i), Planned: true, Since: at, Ended: at, Phase: failover.Done})
	}
	return out
}

// list asks the API, and returns the names of what it lists.
func list(t *testing.T, g Gateway, target string) (code int, names []string, total, links string) {
	t.Helper()
	w := httptest.NewRecorder()
	API(g, &Access{Users: func() []config.User { return nil }}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/"+target, nil))
	var things []struct {
		Name     string
		Topic    string
		ClientID string `json:"client_id"`
	}
	body := w.Body.Bytes()
	var groups struct{ Groups json.RawMessage }
	if json.Unmarshal(body, &groups) == nil && groups.Groups != nil {
		body = groups.Groups
	}
	if w.Code == 200 {
		if err := json.Unmarshal(body, &things); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range things {
		names = append(names, x.Name+x.Topic+x.ClientID)
	}
	return w.Code, names, w.Header().Get("Total-Count"), strings.Join(w.Header().Values("Link"), ", ")
}

// TestListsOfTheAPIAreNarrowedDown as those of the console are.
func TestListsOfTheAPIAreNarrowedDown(t *testing.T) {
	for target, c := range map[string]struct {
		n           int
		first, last string
		total       string
	}{
		"topics/v":                          {250, "topic-000", "topic-249", "250"},
		"topics/v?page=1":                   {100, "topic-000", "topic-099", "250"},
		"topics/v?page=3":                   {50, "topic-200", "topic-249", "250"},
		"topics/v?page=4":                   {0, "", "", "250"},
		"topics/v?page=999999":              {0, "", "", "250"},
		"topics/v?search=PIC-01":            {10, "topic-010", "topic-019", "10"},
		"topics/v?search=":                  {250, "topic-000", "topic-249", "250"},
		"topics/v?search=%3Cb%3E":           {0, "", "", "0"},
		"topics/v?state=unreachable":        {25, "topic-000", "topic-240", "25"},
		"topics/v?sort=-name&page=1":        {100, "topic-249", "topic-150", "250"},
		"topics/v?sort=-lag&state=behind":   {187, "topic-003", "", "187"},
		"groups/v?state=Empty":              {1, "b", "b", "1"},
		"groups/v?sort=-lag":                {2, "b", "a", "2"},
		"clients?state=idle":                {1, "office", "office", "1"},
		"clients?search=till":               {1, "till", "till", "1"},
		"moves?state=past&search=topic-003": {1, "topic-003", "topic-003", "1"},
		"moves?state=open":                  {0, "", "", "0"},
		"moves?sort=-since&page=1":          {100, "topic-249", "topic-150", "250"},
		"moves?since=2025-01-01T16:00:00Z":  {10, "topic-240", "topic-249", "10"},
	} {
		code, names, total, _ := list(t, &hundreds{}, target)
		if code != 200 || len(names) != c.n || total != c.total {
			t.Errorf("%s: %d, %d of %s", target, code, len(names), total)
			continue
		}
		if c.n > 0 && names[0] != c.first {
			t.Errorf("%s begins with %s", target, names[0])
		}
		if c.n > 0 && c.last != "" && names[c.n-1] != c.last {
			t.Errorf("%s ends with %s", target, names[c.n-1])
		}
	}
}

// TestPartitionsAreLeftOut where a call says so.
func TestPartitionsAreLeftOut(t *testing.T) {
	for query, want := range map[string]bool{"": true, "?page=1": true, "?partitions=true": true, "?partitions=false": false, "?page=2&partitions=false&sort=-lag": false} {
		g := &hundreds{}
		if code, _, _, _ := list(t, g, "topics/v"+query); code != 200 || g.full != want {
			t.Errorf("%q: %d, with partitions: %t", query, code, g.full)
		}
	}
}

// TestAWrongQueryIsRefused before anybody is asked for the list.
func TestAWrongQueryIsRefused(t *testing.T) {
	for _, query := range []string{
		"page=0", "page=-1", "page=x", "page=", "page=99999999999999999999", "page=1&page=2", "state=", "state=none", "sort=", "sort=none", "sort=--name",
		"frob=1", "partitions=", "partitions=no", "partitions=false&partitions=false", "since=2025-01-01T16:00:00Z", "search=" + strings.Repeat("x", 257), "search=" + strings.Repeat("%C3%A9", 257),
	} {
		g := &hundreds{}
		if code, _, _, _ := list(t, g, "topics/v?"+query); code != 400 || g.asked != 0 {
			t.Errorf("%.30s: %d, asked for %d times", query, code, g.asked)
		}
	}
	if code, _, _, _ := list(t, &hundreds{}, "groups/v?partitions=false"); code != 400 {
		t.Errorf("partitions of groups: %d", code)
	}
	if code, _, _, _ := list(t, &hundreds{}, "moves?since=yesterday"); code != 400 {
		t.Errorf("a time that is none: %d", code)
	}
}

// TestPagesAreLinked, with all else that was asked for.
func TestPagesAreLinked(t *testing.T) {
	link := regexp.MustCompile(`<([^>]*)>; rel="(\w+)"`)
	for target, want := range map[string]map[string]string{
		"topics/a%2Fb?page=1&search=t": {"first": "1", "next": "2", "last": "3"},
		"topics/a%2Fb?page=2&search=t": {"first": "1", "prev": "1", "next": "3", "last": "3"},
		"topics/a%2Fb?page=3&search=t": {"first": "1", "prev": "2", "last": "3"},
		"topics/a%2Fb?page=9&search=t": {"first": "1", "prev": "3", "last": "3"},
		"topics/a%2Fb?search=t":        {},
	} {
		_, _, _, links := list(t, &hundreds{}, target)
		got := map[string]string{}
		for _, m := range link.FindAllStringSubmatch(links, -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.EscapedPath() != "/api/v1/topics/a%2Fb" || u.Query().Get("search") != "t" {
				t.Errorf("%s: %s", target, m[1])
				continue
			}
			got[m[2]] = u.Query().Get("page")
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", target, got, want)
		}
	}
}

// TestTheDescriptionNamesEveryStateAndSort of lists.
func TestTheDescriptionNamesEveryStateAndSort(t *testing.T) {
	var doc struct {
		Paths map[string]struct {
			Get struct {
				Parameters []struct {
					Name   string
					Schema struct{ Enum []string }
				}
			}
		}
	}
	if err := yaml.Unmarshal(description, &doc); err != nil {
		t.Fatal(err)
	}
	for path, c := range map[string]struct{ states, sorts []string }{
		"/topics/{vc}": {TopicListing.StateNames(), TopicListing.SortNames()},
		"/groups/{vc}": {GroupListing.StateNames(), GroupListing.SortNames()},
		"/clients":     {ClientListing.StateNames(), ClientListing.SortNames()},
		"/moves":       {MoveListing.StateNames(), MoveListing.SortNames()},
	} {
		both := c.sorts
		for _, s := range c.sorts {
			both = append(both, "-"+s)
		}
		got := map[string]string{}
		for _, p := range doc.Paths[path].Get.Parameters {
			got[p.Name] = strings.Join(p.Schema.Enum, " ")
		}
		if want := strings.Join(c.states, " "); got["state"] != want {
			t.Errorf("%s has the states %q, want %q", path, got["state"], want)
		}
		if want := strings.Join(both, " "); got["sort"] != want {
			t.Errorf("%s has the sorts %q, want %q", path, got["sort"], want)
		}
	}
}

// TestOnlyThePageIsAskedFor where nothing that clusters say decides what is on it.
func TestOnlyThePageIsAskedFor(t *testing.T) {
	for target, want := range map[string]int{
		"topics/vc?page=2":                           PageSize,
		"topics/vc?page=3&sort=-name":                50,
		"topics/vc?page=1&sort=partitions":           PageSize,
		"topics/vc?page=1&state=unreachable":         25,
		"topics/vc?search=topic-00":                  10,
		"topics/vc?page=1&sort=lag":                  250,
		"topics/vc?page=1&state=behind":              250,
		"topics/vc?page=1&state=elsewhere&sort=-lag": 250,
	} {
		h := &hundreds{}
		if code, _, _, _ := list(t, h, target); code != http.StatusOK {
			t.Errorf("%s: %d", target, code)
		}
		if len(h.shown) != 1 || h.shown[0] != want {
			t.Errorf("%s: clusters are asked about %v topics, want %d", target, h.shown, want)
		}
	}
}
