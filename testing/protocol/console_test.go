package protocol

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// browser opens headless Chromium; what a page complains of, also of a breach of its policy, fails
// the test.
func (h *house) browser() context.Context {
	h.t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		kafkatest.Require(h.t, "chromium")
	}
	ctx, cancel := chromedp.NewExecAllocator(h.ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(eventually.Limit))...)
	h.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	h.t.Cleanup(cancel)
	err = chromedp.Listen(ctx, func(ev any) {
		switch e := ev.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork { // an error page is no fault
				h.t.Errorf("the page complains: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			h.t.Errorf("a script fails: %s", e.ExceptionDetails.Text)
		}
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.do(ctx, command(log.Enable, cdp.Empty{}), command(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
		Headers: network.Headers{"Authorization": "Basic bm9uZTpub25l"},
	}), chromedp.EmulateViewport(1200, 860))
	return ctx
}

// command is an action that sends a command.
func command[P any](c cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (h *house) do(ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	h.t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		text, _ := chromedp.Run(ctx, chromedp.Text("body"))
		h.t.Fatalf("%v; the page says:\n%s", err, text)
	}
}

// shot keeps a picture of the page (go test -artifacts).
func (h *house) shot(ctx context.Context, name string) {
	h.t.Helper()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.t.ArtifactDir(), name+".png"), png, 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// shows waits until an expression about the page is true.
func shows(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(eventually.Limit))
}

func scheme(name string) chromedp.Action[chromedp.Void] {
	return command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
}

// TestAFailoverInTheConsole: from plan to report in a browser, while a producer and a consumer go
// on.
func TestAFailoverInTheConsole(t *testing.T) {
	h := build(t, "orders", "payments")
	ctx := h.browser()
	h.copier(kafkatest.Faults{}, "orders", "payments")
	run, stop := context.WithCancel(h.ctx)
	var wg sync.WaitGroup
	var sent atomic.Int64
	p := h.client(h.gw.Bootstrap, kgo.ClientID("checkout"))
	wg.Go(func() {
		for i := 0; run.Err() == nil; i++ {
			for _, topic := range []string{"orders", "payments"} {
				if err := p.ProduceSync(h.ctx, &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
					t.Errorf("produce: %v", err)
				}
			}
			sent.Add(1)
			time.Sleep(5 * time.Millisecond)
		}
	})
	next := map[string]int{}
	c := h.client(h.gw.Bootstrap, kgo.ClientID("billing"), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders", "payments"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond), kgo.AutoCommitInterval(200*time.Millisecond))
	reading, done := context.WithCancel(h.ctx)
	var seen atomic.Int64
	var reader sync.WaitGroup
	reader.Go(func() {
		for reading.Err() == nil {
			c.PollFetches(reading).EachRecord(func(r *kgo.Record) {
				if got := string(r.Value); got != fmt.Sprint(next[r.Topic]) {
					t.Errorf("%s: record %s where %d is due", r.Topic, got, next[r.Topic])
				}
				next[r.Topic]++
				if r.Topic == "orders" {
					seen.Add(1)
				}
			})
		}
	})
	h.wait("some records", func() bool { return seen.Load() > 50 })

	// The overview keeps itself current.
	h.do(ctx, chromedp.Navigate(h.gw.Admin+"/console/"), chromedp.WaitVisible("#cluster-dr .tag.good"),
		shows(`document.querySelectorAll("polyline")[0].getAttribute("points").split(" ").length > 6`))
	h.shot(ctx, "overview-light")
	h.do(ctx, scheme("dark"))
	h.shot(ctx, "overview-dark")
	h.do(ctx, chromedp.EmulateViewport(390, 844), shows(`document.documentElement.scrollWidth <= 390`))
	h.shot(ctx, "overview-phone")
	h.do(ctx, scheme("light"), chromedp.EmulateViewport(1200, 860))
	for _, page := range []struct{ path, shows, name string }{
		{"/console/clients", `document.body.innerText.includes("checkout") && document.body.innerText.includes("kgo")`, "clients"},
		{"/console/groups/" + tenant, `document.querySelector("#group-billing .tag.good") != null`, "groups"},
		{"/console/plugins", `document.body.innerText.includes("routing")`, "plugins"},
		{"/console/config", `document.body.innerText.includes("in force") && !document.body.innerText.includes('"password": "none"')`, "config"},
	} {
		h.do(ctx, chromedp.Navigate(h.gw.Admin+page.path), shows(page.shows))
		h.shot(ctx, page.name)
	}

	// From a topic, by keyboard alone, to the plan: links and fields take the focus in order.
	h.do(ctx, chromedp.Navigate(h.gw.Admin+"/console/topics/"+tenant), chromedp.WaitVisible("#topic-orders .tag.good"),
		shows(`document.querySelector("#topic-orders").innerText.includes("dr")`))
	h.shot(ctx, "topics")
	h.do(ctx, chromedp.Focus("#topic-orders a"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(`a.button[href*="to=dr"]`),
		shows(`document.body.innerText.includes("compared")`))
	h.shot(ctx, "topic")
	h.do(ctx, chromedp.Focus(`a.button[href*="to=dr"]`), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#confirm"))
	h.shot(ctx, "plan")
	before := h.file()
	h.do(ctx, chromedp.Focus("#confirm"), chromedp.KeyEvent("order"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#error"))
	if h.file() != before {
		t.Error("a wrong confirmation has moved something")
	}
	h.do(ctx, chromedp.Navigate(h.gw.Admin+"/console/plan?vc="+tenant+"&topic=orders&to=dr"), chromedp.WaitVisible("#confirm"),
		chromedp.Focus("#confirm"), chromedp.KeyEvent("orders"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("tr[id^=past-] .tag.good"))
	h.shot(ctx, "moves")
	m := h.moved(1)
	h.do(ctx, chromedp.Click("tr[id^=past-] a"), chromedp.WaitVisible(".facts .tag.good"), shows(`document.querySelectorAll(".bar .done").length == 6`))
	h.shot(ctx, "report")

	stop()
	wg.Wait()
	h.wait("the rest", func() bool { return seen.Load() == sent.Load() })
	done()
	reader.Wait()
	about := fact.Of(t, "%+v", m)
	fact.Equal(about, "m.Topic", m.Topic, "orders")
	fact.Equal(about, "m.To", m.To, "dr")
	fact.Equal(about, `h.gw.Topic(tenant, "orders").Home`, h.gw.Topic(tenant, "orders").Home, "dr")
	fact.AtMost(about, "len(m.PossibleLoss)", len(m.PossibleLoss), 0)
	if !strings.Contains(h.file(), "orders: {cluster: dr}") {
		t.Errorf("the file says otherwise:\n%s", h.file())
	}
}

// TestAMoveIsFollowedAndAbortedInTheConsole: what blocks it is shown, and it can be taken back.
func TestAMoveIsFollowedAndAbortedInTheConsole(t *testing.T) {
	h := build(t, "orders")
	h.edit("state: {dir: ./state}", "state: {dir: ./state}\ntelemetry: {log: {audit: {file: audit.json}}}")
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 5) // nobody copies them
	ctx := h.browser()
	h.do(ctx, chromedp.Navigate(h.gw.Admin+"/console/plan?vc="+tenant+"&topic=orders&to=dr"), chromedp.WaitVisible("#confirm"),
		shows(`document.querySelector(".why").innerText.includes("none on dr")`))
	h.shot(ctx, "blocked")
	h.do(ctx, chromedp.SendKeys("#confirm", "orders"+kb.Enter), chromedp.WaitVisible(".move .why"))
	h.shot(ctx, "waiting")
	h.do(ctx, shows(`document.querySelector(".move .facts").innerText.includes("asked for by none")`))
	h.do(ctx, chromedp.Click("form.inline button"), chromedp.WaitVisible(".facts .tag"), shows(`document.querySelector("h1").innerText.includes("orders") && document.body.innerText.includes("dropped")`))
	// The audit log says who did it, and that it was done in the console.
	all := h.audited(file(filepath.Join(h.gw.Dir, "audit.json")), "the end of the move", func(all []line) bool { return len(having(all, "action", "move_ended")) == 1 })
	for _, action := range []string{"start_moves", "abort_move"} {
		l := having(all, "action", action)
		about := fact.Of(t, "%s: %v", action, l)
		if fact.Equal(about, "len(l)", len(l), 1) {
			fact.Equal(about, `l[0]["user"]`, l[0]["user"], "none")
			fact.Equal(about, `l[0]["via"]`, l[0]["via"], "console")
			fact.Equal(about, `l[0]["outcome"]`, l[0]["outcome"], "done")
			fact.Equal(about, `fmt.Sprint(l[0]["topics"])`, fmt.Sprint(l[0]["topics"]), "[orders]")
		}
	}
	h.do(ctx, chromedp.Navigate(h.gw.Admin+"/console/moves"), chromedp.WaitVisible("tr[id^=past-]"))
	if row := h.cells(ctx, "tr[id^=past-]"); row["Asked for by"] != "none" || row["Outcome"] != "dropped" {
		t.Errorf("%q", row)
	}
	if moves := h.gw.Moves(); len(moves) != 1 || moves[0].Phase != failover.Dropped || h.gw.Topic(tenant, "orders").Home != "prod" {
		t.Errorf("%+v", moves)
	}
}

// submit sends a form as a user's browser does; the password is the name.
func (h *house) submit(method, path, user, form string, header ...string) (status int, head http.Header, body string) {
	h.t.Helper()
	req := must(http.NewRequestWithContext(h.ctx, method, h.gw.Admin+path, strings.NewReader(form)))
	if user != "" {
		req.SetBasicAuth(user, user)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header, string(must(io.ReadAll(resp.Body)))
}

// TestTheConsoleIsForUsersAlone: readers look, other sites can't make a browser edit, and pages
// load nothing from elsewhere.
func TestTheConsoleIsForUsersAlone(t *testing.T) {
	h := build(t, "orders")
	h.reader()
	before := h.file()
	form := url.Values{"vc": {tenant}, "topic": {"orders"}, "to": {"dr"}, "confirm": {"orders"}, "revision": {h.gw.Snapshot().Revision}}.Encode()
	ask := func(method, path, user string, header ...string) (status int, head http.Header, body string) {
		return h.submit(method, path, user, form, header...)
	}
	if code, head, body := ask("GET", "/console/", ""); code != 401 || head.Get("WWW-Authenticate") == "" || strings.Contains(body, "prod") {
		t.Errorf("nobody: %d %s", code, body)
	}
	code, head, body := ask("GET", "/console/", "eve")
	if csp := head.Get("Content-Security-Policy"); code != 200 || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("a reader: %d %s", code, csp)
	}
	for _, external := range []string{"https://", "//cdn", "style=", "onclick"} {
		if strings.Contains(body, external) {
			t.Errorf("the page has %q", external)
		}
	}
	if code, _, body := ask("GET", "/console/plan?vc="+tenant+"&topic=orders&to=dr", "eve"); code != 200 || strings.Contains(body, "<form") {
		t.Errorf("a reader's plan: %d", code)
	}
	for _, c := range []struct {
		user   string
		header []string
		code   int
	}{
		{"eve", nil, 403},
		{"none", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"none", []string{"Origin", "http://elsewhere.example"}, 403},
	} {
		for _, path := range []string{"/console/moves", "/console/moves/x/abort", "/failover/run", "/api/v1/moves"} {
			code, head, _ := ask("POST", path, c.user, c.header...)
			if path == "/api/v1/moves" && head.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%v: %s", c.header, head.Get("Content-Type"))
			}
			if code != c.code {
				t.Errorf("%s %s %v: %d", c.user, path, c.header, code)
			}
		}
	}
	for path, code := range map[string]int{"/console/nothing": 404, "/console/topics/nobody": 404, "/console/moves/x": 404, "/console/plan?to=mars": 400} {
		if got, _, _ := ask("GET", path, "none"); got != code {
			t.Errorf("%s: %d", path, got)
		}
	}
	if h.file() != before {
		t.Errorf("the file has changed:\n%s", h.file())
	}
	if code, _, _ := ask("POST", "/console/moves", "none", "Sec-Fetch-Site", "same-origin"); code != 303 {
		t.Errorf("the console itself: %d", code)
	}
}

// TestAStreamEndsWithItsUser: who is taken out of the file sees nothing more.
func TestAStreamEndsWithItsUser(t *testing.T) {
	h := build(t, "orders")
	h.reader()
	req := must(http.NewRequestWithContext(h.ctx, http.MethodGet, h.gw.Admin+"/console/moves", nil))
	req.SetBasicAuth("eve", "eve")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 11)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "event: page" {
		t.Fatalf("%q %v", first, err)
	}
	if err := h.gw.Edit("{name: eve, password: eve, role: reader}", "{name: eve, password: other, role: reader}"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("it did not end, but %v", err)
	}
}

// TestVendoredScripts are those of the versions that package.json pins.
func TestVendoredScripts(t *testing.T) {
	const dir = "../../core/console/"
	var pkg struct{ Dependencies map[string]string }
	if err := json.Unmarshal(must(os.ReadFile(dir+"package.json")), &pkg); err != nil {
		t.Fatal(err)
	}
	licences := string(must(os.ReadFile(dir + "assets/vendor/LICENSES")))
	for name, version := range pkg.Dependencies {
		if !strings.Contains(licences, "== "+name+" "+version+"\n") {
			t.Errorf("%s %s is not what lies in assets/vendor: npm ci && npm run vendor", name, version)
		}
	}
	if !strings.Contains(string(must(os.ReadFile(dir+"assets/vendor/htmx.min.js"))), `version:"`+pkg.Dependencies["htmx.org"]+`"`) {
		t.Error("htmx has another version")
	}
}
