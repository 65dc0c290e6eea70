package protocol

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// as lets the browser be another user; the password is the name.
func as(user string) chromedp.Action[chromedp.Void] {
	return command(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
		Headers: network.Headers{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+user))},
	})
}

// ask evaluates an expression in the page.
func ask[T any](h *house, ctx context.Context, expression string) T {
	h.t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		h.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// cells are the texts of a row by its columns.
func (h *house) cells(ctx context.Context, row string) map[string]string {
	h.t.Helper()
	return ask[map[string]string](h, ctx, fmt.Sprintf(`Object.fromEntries([...document.querySelectorAll(%q)].map(td => [td.dataset.label, td.innerText.trim()]))`, row+" td[data-label]"))
}

// plight is what the console is to show at once: a topic that moved from a home that died and left
// records behind, one that moved with a copy, one that can't, one that has a long name; a guest
// that fails at times; a reader; and a file with mistakes.
func plight(t *testing.T) (h *house, lost []int64) {
	h = build(t, "orders", "waits", strings.Repeat("a.long-name_", 12))
	guest := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-o", filepath.Join(h.gw.Dir, "probe.wasm"), "../../plugins/wasm/testdata/probe")
	guest.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := guest.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h.reader()
	h.edit("      - routing:", "      - wasm: {file: probe.wasm, limits: {timeout: 5m}, name: probe, on_error: pass, grant: [kv, http, send_request]}\n      - routing:")
	p := h.client(h.gw.Bootstrap, kgo.ClientID("checkout"))
	c := h.copier(kafkatest.Faults{}, "orders")
	h.produce(p, "orders", "copied", 10)
	for range 2 {
		if err := p.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("panic")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	h.wait("the stored distance", func() bool {
		_, ok := h.gw.Topic(tenant, "orders").Partitions[0].Delta("dr")
		return ok
	})
	if err := c.CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	c.Stop()
	lost = h.produce(p, "orders", "lost", 7)
	h.produce(p, "waits", "x", 3)
	return h, lost
}

// bury ends the old home, and moves a topic off it.
func (h *house) bury(topic string) {
	h.t.Helper()
	if err := kafkatest.KillAll(h.prod); err != nil {
		h.t.Fatal(err)
	}
	h.wait("the death to be noticed", func() bool {
		_, body := h.call("GET", "/readyz", "")
		return strings.Contains(body, `"reachable": false`)
	})
	if code, body := h.call("POST", "/failover/run", `{"topics": ["`+topic+`"], "to": "dr", "unplanned": true}`); code != 202 {
		h.t.Fatalf("%d %s", code, body)
	}
	h.moved(1)
}

// TestTheConsoleShowsWhatIsWrong: failing guests, mistakes in the file, lost records, a dead
// cluster; to a reader, by keyboard, on a phone, and in the dark.
func TestTheConsoleShowsWhatIsWrong(t *testing.T) {
	h, lost := plight(t)
	ctx := h.browser()
	part := func(name string, do func(h *house)) {
		t.Run(name, func(t *testing.T) {
			sub := *h
			sub.t = t
			do(&sub)
		})
	}
	open := func(h *house, path string, shown string) {
		h.t.Helper()
		h.do(ctx, chromedp.Navigate(h.gw.Admin+"/console/"+path), shows(shown))
	}
	part("guests", func(h *house) {
		t := h.t
		open(h, "plugins", `document.querySelector("#plugin-0").innerText.includes("probe 1.2")`)
		h.shot(ctx, "guests")
		row := h.cells(ctx, "#plugin-0")
		for column, like := range map[string]string{
			"Calls": `^[1-9]\d*$`, "Mean call": `^(0\.\d*[1-9]\d*|[1-9][\d.]*) (µs|ms|s)$`, "Failures": `^4$` /* each was tried twice */, "Instances": `^[1-9]\d*$`, "Memory each": `^[1-9][\d.]* [kM]B$`,
		} {
			if !regexp.MustCompile(like).MatchString(row[column]) {
				t.Errorf("%s: %q", column, row[column])
			}
		}
	})
	part("a refused file", func(h *house) {
		t := h.t
		before := h.file()
		if err := h.gw.Edit("users: [{name: none", "users: [{nane: none"); err != nil {
			t.Fatal(err)
		}
		if err := h.gw.Edit("{dir: ./state}", "{dri: ./state}"); err != nil {
			t.Fatal(err)
		}
		open(h, "config", `document.querySelectorAll("#errors tbody tr").length >= 2`)
		h.shot(ctx, "errors")
		lines := strings.Split(h.file(), "\n")
		found := ask[[]string](h, ctx, `[...document.querySelectorAll("#errors tbody tr")].map(r => [...r.cells].map(c => c.innerText.trim()).join(" | "))`)
		for _, mistake := range []string{"nane", "dri:"} {
			i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, mistake) })
			at := regexp.MustCompile(fmt.Sprintf(`^%d:(\d+) \| .*%s`, i+1, strings.TrimSuffix(mistake, ":")))
			j := slices.IndexFunc(found, at.MatchString)
			if j < 0 {
				t.Errorf("line %d, %s: %q", i+1, mistake, found)
				continue
			}
			var column int
			_, _ = fmt.Sscan(at.FindStringSubmatch(found[j])[1], &column)
			if column < 1 || column > len(lines[i]) || !strings.Contains(lines[i][column-1:], mistake) {
				t.Errorf("%s is not at column %d of %q", mistake, column, lines[i])
			}
		}
		open(h, "", `document.querySelector("#wrong a[href='/console/config']") != null`)
		if err := os.WriteFile(h.gw.File, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		h.do(ctx, shows(`document.querySelector("#wrong") == null`))
	})
	h.bury("orders")
	part("lost records", func(h *house) {
		t := h.t
		open(h, "moves", `document.querySelector("tr[id^=past-] .badtext") != null`)
		if row := h.cells(ctx, "tr[id^=past-]"); row["Possible loss"] != "1 range" || !strings.Contains(row["Outcome"], "unplanned") {
			t.Errorf("%q", row)
		}
		h.do(ctx, chromedp.Click("tr[id^=past-] a"), chromedp.WaitVisible("#loss"))
		h.shot(ctx, "loss")
		{
			row := h.cells(ctx, "#loss tbody tr")
			about := fact.Of(t, "%q, lost are %d to %d", row, lost[0], lost[6])
			fact.Equal(about, `row["Partition"]`, row["Partition"], "0")
			fact.Equal(about, `row["From offset"]`, row["From offset"], fmt.Sprint(lost[0]))
			fact.Equal(about, `row["To offset"]`, row["To offset"], fmt.Sprint(lost[6]))
			fact.Equal(about, `row["Records, at most"]`, row["Records, at most"], "7")
		}
		if text := ask[string](h, ctx, `document.querySelector("main").innerText`); !strings.Contains(text, "asked for by none") {
			t.Errorf("it does not say by whom:\n%s", text)
		}
	})
	// A move that stays open, for all that follows.
	if code, body := h.call("POST", "/failover/run", `{"topics": ["waits"], "to": "dr"}`); code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	long := strings.Repeat("a.long-name_", 12)
	pages := []string{"", "topics/" + tenant, "topics/" + tenant + "/orders", "topics/" + tenant + "/" + long, "groups/" + tenant, "moves", "clients", "plugins", "config",
		"plan?vc=" + tenant + "&topic=" + long + "&to=dr", "plan?vc=" + tenant + "&from=prod&to=dr", "nothing", "moves/" + h.moved(1).ID}
	part("a reader", func(h *house) {
		t := h.t
		h.do(ctx, as("eve"))
		defer h.do(ctx, as("none"))
		open(h, "moves", `document.querySelector(".move") != null`)
		h.shot(ctx, "reader")
		for _, page := range pages {
			open(h, page, `document.querySelector(".who .tag") != null`)
			if n := ask[int](h, ctx, `document.querySelectorAll("form[method=post], a[href*='/plan']").length`); n > 0 && !strings.HasPrefix(page, "plan") && page != "" && !strings.HasPrefix(page, "topics") {
				t.Errorf("%q offers a reader %d things to do", page, n)
			}
			if n := ask[int](h, ctx, `document.querySelectorAll("form:not([role=search]), form:not([method=get]), main :not(form) > button, main :not(form) > input").length`); n > 0 {
				t.Errorf("%q has %d controls for a reader", page, n)
			}
		}
		open(h, pages[9], `document.body.innerText.includes("needs the role admin")`)
		before := h.file()
		// What the page does not offer is refused, too.
		ask[bool](h, ctx, `(() => { const f = document.createElement("form"); f.method = "post"; f.action = "/console/moves";
			for (const [k, v] of [["vc", "`+tenant+`"], ["topic", "`+long+`"], ["to", "dr"], ["confirm", "`+long+`"], ["revision", "x"]]) {
			const i = document.createElement("input"); i.name = k; i.value = v; f.append(i) } document.body.append(f); setTimeout(() => f.submit()); return true })()`)
		h.do(ctx, chromedp.WaitVisible("#error"), shows(`document.body.innerText.includes("has the role reader")`))
		h.shot(ctx, "refused")
		if h.file() != before {
			t.Error("a reader has edited the file")
		}
	})
	part("a phone, light and dark", func(h *house) {
		t := h.t
		defer h.do(ctx, scheme("light"), chromedp.EmulateViewport(1200, 860))
		for _, colours := range []string{"light", "dark"} {
			h.do(ctx, scheme(colours), chromedp.EmulateViewport(360, 740))
			for i, page := range pages {
				open(h, page, `document.querySelector("h1") != null && document.styleSheets.length == 1`)
				if w := ask[int](h, ctx, `document.documentElement.scrollWidth`); w > 360 {
					t.Errorf("%q is %d wide: %s", page, w, ask[string](h, ctx, wide))
				}
				for _, faint := range ask[[]string](h, ctx, contrast) {
					t.Errorf("%q, %s: hard to read: %s", page, colours, faint)
				}
				if dark := ask[bool](h, ctx, `getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).slice(0, 3).every(c => c < 60)`); dark != (colours == "dark") {
					t.Errorf("%q is not %s", page, colours)
				}
				h.shot(ctx, fmt.Sprintf("phone-%s-%d", colours, i))
			}
		}
	})
	part("by keyboard", func(h *house) {
		t := h.t
		for _, page := range pages {
			open(h, page, `document.querySelector("h1") != null && document.readyState == "complete"`)
			want := ask[[]string](h, ctx, `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary")].map(`+named+`)`)
			var got []string
			for range want {
				h.do(ctx, chromedp.KeyEvent(kb.Tab))
				got = append(got, ask[string](h, ctx, `(`+named+`)(document.activeElement)`))
				if !ask[bool](h, ctx, `(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
					return parseFloat(s.outlineWidth) >= 2 && s.outlineStyle != "none" && r.width > 0 && r.left >= -1 && r.right <= innerWidth + 1 && r.bottom > 0 && r.top < innerHeight })()`) {
					t.Errorf("%q: one does not see that %s has the focus", page, got[len(got)-1])
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q: tab goes to\n%q\nwant\n%q", page, got, want)
			}
		}
		// The first link leads past the navigation, by Enter.
		open(h, "moves", `document.querySelector(".move") != null`)
		h.do(ctx, chromedp.KeyEvent(kb.Tab+kb.Enter), shows(`document.activeElement.id == "main"`))
		// Pages keep themselves current and the focus where it is.
		h.do(ctx, chromedp.Focus("form.inline button"))
		before := ask[string](h, ctx, `document.querySelector(".move .facts").innerText`)
		h.do(ctx, shows(fmt.Sprintf(`document.querySelector(".move .facts").innerText != %q && document.activeElement.matches("form.inline button")`, before)))
	})
	part("a gateway that is gone", func(h *house) {
		open(h, "moves", `document.querySelector(".move") != null`)
		if err := h.gw.Stop(); err != nil {
			h.t.Fatal(err)
		}
		h.do(ctx, chromedp.WaitVisible("#stale"))
		h.shot(ctx, "stale")
		if err := h.gw.Restart(h.ctx); err != nil {
			h.t.Fatal(err)
		}
		h.do(ctx, chromedp.WaitNotVisible("#stale"))
	})
}

// named tells elements of a page apart.
const named = `e => e.tagName + " " + (e.getAttribute("href") || e.name || e.innerText).slice(0, 60)`

// wide names what does not fit.
const wide = `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className).slice(0, 5).join(", ")`

// contrast lists texts whose contrast is below what WCAG 2 asks for (AA, 4.5).
const contrast = `(() => {
	const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 }); return .2126 * r + .7152 * g + .0722 * b };
	const rgb = s => s.match(/[\d.]+/g).map(Number);
	const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > .99) return c.slice(0, 3) } return [255, 255, 255] };
	const out = new Set();
	for (const e of document.querySelectorAll("body *")) {
		if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || !e.getClientRects().length) continue;
		const a = light(rgb(getComputedStyle(e).color).slice(0, 3)), b = light(ground(e));
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		if (ratio < 4.5) out.add(e.tagName + "." + e.className + " " + ratio.toFixed(2));
	}
	return [...out] })()`
