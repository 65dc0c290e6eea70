package protocol

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plan"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// shop is 300 topics of three partitions each, of which every tenth has records that only its home
// has. One has the longest name that Kafka allows.
func shop(t *testing.T) (h *house, topics []string) {
	for _, team := range []string{"billing", "checkout", "logistics", "payments", "search"} {
		for i := range 60 {
			topics = append(topics, fmt.Sprintf("%s.events-%02d", team, i+1))
		}
	}
	topics[299] = "search." + strings.Repeat("x", 242)
	h = build(t, topics...)
	c := h.copier(kafkatest.Faults{}, topics[:60]...)
	p := h.client(h.gw.Bootstrap, kgo.ClientID("till"))
	write := func(each func(i int) int) {
		for i, n := range topics {
			for j := range each(i) {
				p.Produce(h.ctx, &kgo.Record{Topic: n, Partition: int32(j % 3), Value: fmt.Append(nil, j)}, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Errorf("produce to %s: %v", n, err)
					}
				})
			}
		}
		if err := p.Flush(h.ctx); err != nil {
			t.Fatal(err)
		}
	}
	write(func(i int) int { return map[bool]int{true: 12}[i < 60] })
	if err := c.CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	c.Stop()
	for _, group := range []string{"ledger", "mailer"} {
		h.commit(topics[10], group, 2)
	}
	h.wait("the distances of all copies", func() bool {
		for _, n := range topics {
			if _, ok := h.gw.Topic(tenant, n).Partitions[2].Delta("dr"); !ok {
				return false
			}
		}
		return true
	})
	write(func(i int) int { return map[bool]int{true: 3 + i%7}[i%10 == 0 && i < 60] })
	return h, topics
}

// TestTheConsoleOfHundredsOfTopics: found, sorted and moved off a cluster that has died; by
// keyboard, and on a phone.
func TestTheConsoleOfHundredsOfTopics(t *testing.T) {
	h, topics := shop(t)
	ctx := h.browser()
	open := func(path, shown string) {
		t.Helper()
		h.do(ctx, chromedp.Navigate(h.gw.Admin+"/console/"+path), shows(shown))
		_, page := h.call("GET", "/console/"+path, "")
		if len(page) > 200_000 {
			t.Errorf("%s has %d bytes", path, len(page))
		}
		h.do(ctx, chromedp.EmulateViewport(360, 740))
		if w := ask[int](h, ctx, `document.documentElement.scrollWidth`); w > 360 {
			t.Errorf("%s is %d wide: %s", path, w, ask[string](h, ctx, wide))
		}
		h.do(ctx, chromedp.EmulateViewport(1200, 860))
	}
	count := func(selector string) string { return fmt.Sprintf(`document.querySelectorAll(%q).length`, selector) }

	list := "topics/" + tenant
	open(list+"?sort=-lag", count("tr[id^=topic-]")+` == 100 && document.querySelector(".pager").innerText.includes("page 1 of 3") && document.querySelector("tr[id^=topic-]").innerText.includes("behind") && !document.querySelector("tbody").innerText.includes("…")`)
	h.shot(ctx, "topics-of-300")
	h.do(ctx, chromedp.Click(`a[rel=next]`), chromedp.WaitVisible(`a[rel=prev]`), shows(`document.querySelector(".pager").innerText.includes("101 to 200 of 300")`))
	// A search, by keyboard.
	h.do(ctx, chromedp.Focus("input[name=search]"), chromedp.KeyEvent("EVENTS-07"+kb.Enter), chromedp.WaitVisible(`input[value="EVENTS-07"]`), shows(count("tr[id^=topic-]")+` == 5`))
	// What has changed takes its place in the page, which else stays as it is.
	ask[bool](h, ctx, `(document.querySelector("#topic-search\\.events-07").seen = document.querySelector("#topic-billing\\.events-07").seen = true)`)
	before := h.cells(ctx, `#topic-search\.events-07`)["Offsets in use"]
	h.produce(h.client(h.gw.Bootstrap), "search.events-07", "x", 3)
	h.do(ctx, shows(fmt.Sprintf(`document.querySelector("#topic-search\\.events-07 td:nth-child(4)").innerText != %q`, before)))
	if !ask[bool](h, ctx, `document.querySelector("#topic-search\\.events-07").seen && document.querySelector("#topic-billing\\.events-07").seen && document.querySelector("input[name=search]").value == "EVENTS-07"`) {
		t.Error("the page was made anew")
	}
	open(list+"?search="+topics[299][:200], count("tr[id^=topic-]")+` == 1`)

	if err := kafkatest.KillAll(h.prod); err != nil {
		t.Fatal(err)
	}
	open("", `document.querySelector("#dead-prod") != null && document.querySelector("#dead-dr") == null`)
	open("plan?vc="+tenant+"&from=prod&to=dr", `document.querySelector("#summary") != null`)
	h.shot(ctx, "plan-of-300")
	var plans plan.Plans
	h.v1("POST", "/moves/plan", `{"from": "prod", "to": "dr"}`, &plans)
	if text := ask[string](h, ctx, `document.querySelector("#summary").innerText`); text != plans.Summary || plans.Lost == 0 || plans.Unplanned == 0 {
		t.Errorf("the page says %q, the API %q", text, plans.Summary)
	}
	if label := ask[string](h, ctx, `document.querySelector("label[for=confirm]").innerText`); label != "Type prod to confirm the move of 300 topics" {
		t.Error(label)
	}
	h.do(ctx, chromedp.Click("input[name=unplanned]"), chromedp.Focus("#confirm"), chromedp.KeyEvent("prod"+kb.Enter),
		chromedp.WaitVisible(`nav a[href="/console/moves"][aria-current]`))
	var past []failover.Report
	h.wait("the moves", func() bool {
		h.v1("GET", "/moves?state=done", "", &past)
		past = slices.DeleteFunc(past, func(m failover.Report) bool { return m.Kind != failover.Topic }) // the groups go with them
		return len(past) == 300
	})
	open("moves", count("tr[id^=past-]")+` == 100 && document.querySelector("#losses") != null`)
	h.shot(ctx, "moves-of-300")
	var s admin.Status
	h.v1("GET", "/status", "", &s)
	if s.Losses.Records < plans.Lost || s.Losses.Moves < 6 {
		t.Errorf("losses %+v, planned were %d records", s.Losses, plans.Lost)
	}
	open("moves?state=lost&sort=-loss", count("tr[id^=past-]")+fmt.Sprintf(" == %d", s.Losses.Moves))
}
