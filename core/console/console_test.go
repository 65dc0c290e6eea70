package console

import (
	"context"
	"html"
	"io"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plan"
)

// plain is a gateway of three clusters, and virtual clusters of which one's name is the beginning
// of another's, and one's is hard to write.
type plain struct {
	admin.Gateway
	started []admin.Move
	broken  []admin.Broken
}

func (g *plain) Status() admin.Status {
	return admin.Status{
		Broken:   g.broken,
		Clusters: []admin.Cluster{{Name: "prod"}, {Name: "dr"}, {Name: "lab"}},
		VirtualClusters: []admin.VirtualCluster{
			{Name: "shop", Clusters: []string{"prod", "dr"}},
			{Name: "shop2", Clusters: []string{"prod", "lab"}},
			{Name: "a/b?c", Clusters: []string{"prod"}},
		},
	}
}

func (*plain) Traffic() []admin.Traffic { return nil }

func (*plain) Moves() []failover.Report { return nil }
func (*plain) Acknowledge(context.Context, admin.Acknowledge) ([]failover.Report, error) {
	return nil, nil
}

func (*plain) Config() admin.Config { return admin.Config{Revision: "r1"} }

func (*plain) Topics(_ context.Context, vc string, _ bool, _ func([]admin.Topic) []admin.Topic) ([]admin.Topic, error) {
	if !slices.Contains([]string{"shop", "shop2", "a/b?c"}, vc) {
		return nil, &admin.Error{Status: 404, Message: "no " + vc}
	}
	return []admin.Topic{{VirtualCluster: vc, Name: "x%2Fy"}}, nil
}

func (*plain) Counts(context.Context, string) ([]admin.Count, error) { return nil, nil }

func (*plain) Topic(_ context.Context, vc, topic string) (admin.Topic, error) {
	if topic != "x%2Fy" {
		return admin.Topic{}, &admin.Error{Status: 404, Message: "no " + topic}
	}
	return admin.Topic{VirtualCluster: vc, Name: topic}, nil
}

func (*plain) Plan(_ context.Context, m admin.Move) (plans plan.Plans, err error) {
	for _, t := range m.Topics {
		plans.Topics = append(plans.Topics, plan.Plan{Topic: t, From: "prod", To: m.To, Planned: true, State: plan.StateReady})
	}
	return plans, nil
}

func (g *plain) Start(_ context.Context, _ string, m admin.Move) (admin.Started, error) {
	g.started = append(g.started, m)
	return admin.Started{}, nil
}

// open lets everybody do everything, readers lets them look.
var (
	open    = &admin.Access{Users: func() []config.User { return nil }}
	readers = &admin.Access{Users: func() []config.User { return []config.User{{Name: "eve", Password: "eve", Role: "reader"}} }}
)

func answer(g admin.Gateway, method, target string, form url.Values) (int, string) {
	return ask(New(g, open), method, target, form)
}

func ask(c *Console, method, target string, form url.Values) (int, string) {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("eve", "eve")
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Body)
	return w.Code, string(b)
}

// TestOnePageIsTheCurrentOne, also where a name begins as another does.
func TestOnePageIsTheCurrentOne(t *testing.T) {
	for _, vc := range []string{"shop", "shop2", "a/b?c"} {
		_, page := answer(&plain{}, "GET", "/console/topics/"+url.PathEscape(vc), nil)
		if n := strings.Count(page, `aria-current="page"`); n != 1 || !strings.Contains(page, `aria-current="page">Topics of `+vc+`<`) {
			t.Errorf("%s: %d pages are current", vc, n)
		}
	}
}

// TestWhatIsBrokenIsShown, and why; where nothing is, nothing is said of it.
func TestWhatIsBrokenIsShown(t *testing.T) {
	const table = `id="broken"`
	if _, page := answer(&plain{}, "GET", "/console/", nil); strings.Contains(page, table) {
		t.Error("something is broken")
	}
	_, page := answer(&plain{broken: []admin.Broken{{VirtualCluster: "shop", Part: "wasm mask", Error: "open <mask.wasm>: no such file"}}}, "GET", "/console/", nil)
	for _, want := range []string{table, "wasm mask", "open &lt;mask.wasm&gt;: no such file"} {
		if !strings.Contains(page, want) {
			t.Errorf("the overview lacks %s", want)
		}
	}
}

// TestEveryLinkLeadsToAPage, whatever things are called.
func TestEveryLinkLeadsToAPage(t *testing.T) {
	_, page := answer(&plain{}, "GET", "/console/", nil)
	_, topics := answer(&plain{}, "GET", "/console/topics/"+url.PathEscape("a/b?c"), nil)
	links := regexp.MustCompile(`<a href="(/console/topics/[^"]*)`).FindAllStringSubmatch(page+topics, -1)
	if len(links) < 10 {
		t.Errorf("%d links", len(links))
	}
	for _, l := range links {
		if code, page := answer(&plain{}, "GET", html.UnescapeString(l[1]), nil); code != 200 {
			t.Errorf("%s: %d\n%s", l[1], code, page)
		}
	}
}

// TestTheOverviewOffersMovesThatCanBe: from a cluster that the virtual cluster spans, and each
// button says of which.
func TestTheOverviewOffersMovesThatCanBe(t *testing.T) {
	_, page := answer(&plain{}, "GET", "/console/", nil)
	var got []string
	for _, m := range regexp.MustCompile(`href="/console/plan\?([^"]*)">([^<]*)<`).FindAllStringSubmatch(page, -1) {
		got = append(got, strings.ReplaceAll(m[1], "&amp;", " ")+": "+m[2])
	}
	want := []string{
		"vc=shop from=prod to=dr: Move everything of shop to dr…", "vc=shop2 from=prod to=lab: Move everything of shop2 to lab…",
		"vc=shop from=dr to=prod: Move everything of shop to prod…", "vc=shop2 from=lab to=prod: Move everything of shop2 to prod…",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestAMoveStartsWhenItsNameIsTyped: the topic's, the cluster's that is left, of several topics the
// new home's.
func TestAMoveStartsWhenItsNameIsTyped(t *testing.T) {
	for query, confirm := range map[string]string{
		"vc=shop&to=dr&topic=a": "a", "vc=shop&to=dr&from=prod&topic=a": "prod", "vc=shop&to=dr&topic=a&topic=b": "dr",
	} {
		_, page := answer(&plain{}, "GET", "/console/plan?"+query, nil)
		if !strings.Contains(page, "Type <b>"+confirm+"</b> to confirm") {
			t.Errorf("%s: %s is not what is to be typed", query, confirm)
		}
		form, _ := url.ParseQuery(query)
		for _, typed := range []string{"", "x", confirm} {
			form.Set("confirm", typed)
			g := &plain{}
			if code, page := answer(g, "POST", "/console/moves", form); code != 400 || !strings.Contains(page, "this is not the form of a plan") || len(g.started) > 0 {
				t.Errorf("%s, %q without a revision: %d, %d started", query, typed, code, len(g.started))
			}
			form.Set("revision", "r1")
			code, page := answer(g, "POST", "/console/moves", form)
			if typed == confirm && (code != 303 || len(g.started) != 1) {
				t.Errorf("%s, %q: %d, %d started", query, typed, code, len(g.started))
			}
			if typed != confirm && (code != 400 || !strings.Contains(page, "is not "+confirm+"; go back") || len(g.started) > 0) {
				t.Errorf("%s, %q: %d, %d started", query, typed, code, len(g.started))
			}
			form.Del("revision")
		}
	}
}
