package protocol

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// audited waits for entries of the audit log, in a file or a topic, and returns them all.
func (h *house) audited(read func() string, what string, enough func([]line) bool) (all []line) {
	h.t.Helper()
	h.wait(what, func() bool {
		all = lines(h.t, read())
		return enough(all)
	})
	return all
}

func file(path string) func() string {
	return func() string {
		b, _ := os.ReadFile(path)
		return string(b)
	}
}

// changed is what an entry says of a path of the file.
func changed(l line, path string) (before, after any) {
	list, _ := l["changes"].([]any)
	for _, c := range list {
		if m := c.(map[string]any); strings.HasSuffix(m["path"].(string), path) {
			return m["before"], m["after"]
		}
	}
	return nil, nil
}

// TestAuditLog: each action is one entry, whichever way it came, and whatever came of it.
func TestAuditLog(t *testing.T) {
	h, _ := logged(t, "audit: {file: audit.json}", "orders", "other", "third")
	h.edit("users: [{name: none, password: none}]", "users: [{name: none, password: none}, {name: eve, password: eve, role: reader}]")
	path := filepath.Join(h.gw.Dir, "audit.json")
	for _, topic := range []string{"orders", "third"} { // nobody copies them: their moves wait; that of other is done
		h.produce(h.client(h.gw.Bootstrap), topic, "x", 3)
	}
	form := func(user, topic, revision string, header ...string) int {
		fields := fmt.Sprintf("vc=%s&topic=%s&to=dr&confirm=%s&revision=%s", tenant, topic, topic, revision)
		code, _, _ := h.submit("POST", "/console/moves", user, fields, append(header, "User-Agent", "browser")...)
		return code
	}
	revision := func() string { return h.gw.Snapshot().Revision }
	first := revision()
	for _, c := range []struct {
		code int
		do   func() int
	}{
		{202, func() int {
			code, _ := h.v1("POST", "/moves", `{"topics": ["orders"], "to": "dr"}`, nil, "If-Match", `"`+first+`"`)
			return code
		}},
		{412, func() int {
			code, _ := h.v1("POST", "/moves", `{"topics": ["other"], "to": "dr"}`, nil, "If-Match", `"`+first+`"`)
			return code
		}},
		{303, func() int { return form("none", "other", revision()) }},
		{403, func() int { return form("eve", "third", revision()) }},
		{403, func() int { return form("none", "third", revision(), "Sec-Fetch-Site", "cross-site") }},
		{401, func() int {
			code, _ := h.call("POST", "/failover/run", `{"topics": ["third"], "to": "dr"}`, "mallory", "guess")
			return code
		}},
		{400, func() int {
			code, _ := h.call("PUT", "/topicMappings/"+tenant+"/third", `{"clusterId": "mars"}`)
			return code
		}},
		{200, func() int { code, _ := h.call("POST", "/topics/"+tenant, `{"name": "new"}`); return code }},
		{200, func() int {
			code, _ := h.v1("PUT", "/log/levels", `{"level": "warn", "levels": {"upstream": "debug"}}`, nil)
			return code
		}},
		{200, func() int { // looks alone
			code, _ := h.v1("POST", "/moves/plan", `{"topics": ["third"], "to": "dr"}`, nil)
			return code
		}},
		{404, func() int { code, _ := h.call("POST", "/nothing", ""); return code }},
	} {
		if code := c.do(); code != c.code {
			t.Fatalf("%d, want %d", code, c.code)
		}
	}
	moves := h.gw.Moves()
	id := moves[slices.IndexFunc(moves, func(m failover.Report) bool { return m.Topic == "orders" })].ID
	if code, _ := h.v1("DELETE", "/moves/"+id, "", nil, "If-Match", "*"); code != 200 {
		t.Fatal(code)
	}
	if _, page := h.call("GET", "/console/moves/"+id, ""); !strings.Contains(page, "asked for by <b>none</b>") {
		t.Error("the console does not say who asked for a move")
	}
	h.edit("third: {cluster: prod}", "third: {cluster: dr}")
	if err := h.gw.Edit("password: eve", "passwort: eve"); err != nil {
		t.Fatal(err)
	}
	all := h.audited(file(path), "the refused edit", func(all []line) bool {
		return len(having(all, "action", "edit", "outcome", "refused")) == 1 && len(having(all, "action", "move_started")) == 3 && len(having(all, "action", "move_ended")) == 2
	})
	one := func(kv ...string) line {
		t.Helper()
		found := having(all, kv...)
		if len(found) != 1 {
			t.Fatalf("%d entries with %q:\n%s", len(found), kv, file(path)())
		}
		return found[0]
	}
	api := one("action", "start_moves", "via", "api", "outcome", "done")
	{
		before, after := changed(api, "routing.topics.orders.cluster")
		about := fact.Of(t, "%v", api)
		fact.Equal(about, "before", before, "prod")
		fact.Equal(about, "after", after, "dr")
		fact.Equal(about, `api["user"]`, api["user"], "none")
		fact.Equal(about, `api["role"]`, api["role"], "admin")
		fact.Equal[any](about, `api["before"]`, api["before"], first)
		fact.Other[any](about, `api["after"]`, api["after"], first)
		fact.Equal(about, `fmt.Sprint(api["topics"])`, fmt.Sprint(api["topics"]), "[orders]")
		fact.Equal(about, `api["virtual_cluster"]`, api["virtual_cluster"], tenant)
		fact.Equal(about, `api["request"]`, api["request"], "POST /api/v1/moves")
		fact.True(about, `strings.HasPrefix(api["address"].(string), "127.0.0.1:")`, strings.HasPrefix(api["address"].(string), "127.0.0.1:"))
	}
	if stale := one("action", "start_moves", "status", "412"); stale["before"] != api["after"] || !strings.Contains(stale["error"].(string), "meanwhile") || fmt.Sprint(stale["topics"]) != "[other]" {
		t.Errorf("%v", stale)
	}
	console := one("action", "start_moves", "via", "console", "outcome", "done")
	{
		before, after := changed(console, "routing.topics.other.cluster")
		about := fact.Of(t, "%v", console)
		fact.Equal(about, "before", before, "prod")
		fact.Equal(about, "after", after, "dr")
		fact.Equal(about, `console["agent"]`, console["agent"], "browser")
		fact.Equal(about, `console["user"]`, console["user"], "none")
	}
	eve := one("user", "eve")
	about := fact.Of(t, "%v", eve)
	fact.Equal(about, `eve["status"]`, eve["status"], 403.0)
	fact.Equal(about, `eve["role"]`, eve["role"], "reader")
	fact.Equal(about, `eve["via"]`, eve["via"], "console")
	fact.Equal(about, `eve["outcome"]`, eve["outcome"], "refused")
	fact.Has(about, eve["error"].(string), "role reader")
	if other := one("user", "none", "status", "403"); !strings.Contains(other["error"].(string), "another site") {
		t.Errorf("%v", other)
	}
	{
		mallory := one("user", "mallory")
		about := fact.Of(t, "%v", mallory)
		fact.Equal(about, `mallory["status"]`, mallory["status"], 401.0)
		fact.True(about, `mallory["role"] == nil`, mallory["role"] == nil)
		fact.Equal(about, `mallory["via"]`, mallory["via"], "http")
		fact.Equal(about, `mallory["action"]`, mallory["action"], "start_moves")
	}
	if mars := one("action", "set_mapping"); mars["status"] != 400.0 || !strings.Contains(mars["error"].(string), "mars") {
		t.Errorf("%v", mars)
	}
	if created := one("action", "create_topic"); fmt.Sprint(created["topics"]) != "[new]" || created["outcome"] != "done" {
		t.Errorf("%v", created)
	}
	levels := one("action", "set_log_levels")
	if before, after := changed(levels, "levels.upstream"); before != nil || after != "debug" {
		t.Errorf("%v", levels)
	}
	if abort := one("action", "abort_move"); fmt.Sprint(abort["topics"]) != "[orders]" || abort["outcome"] != "done" {
		t.Errorf("%v", abort)
	}
	if ended := one("action", "move_ended", "topics", "[orders]"); ended["user"] != "none" || ended["outcome"] != "failed" || ended["move"].(map[string]any)["phase"] != "dropped" {
		t.Errorf("%v", ended)
	}
	if committed := one("action", "move_committed"); committed["user"] != "none" || fmt.Sprint(committed["topics"]) != "[other]" || committed["move"].(map[string]any)["to"] != "dr" {
		t.Errorf("%v", committed)
	}
	one("action", "move_ended", "topics", "[other]", "outcome", "done")
	byHand := one("action", "edit", "user", "file", "outcome", "done", "before", fmt.Sprint(one("action", "abort_move")["after"]))
	if before, after := changed(byHand, "routing.topics.third.cluster"); before != "prod" || after != "dr" || byHand["via"] != "file" {
		t.Errorf("%v", byHand)
	}
	if started := having(all, "action", "move_started", "user", "file"); len(started) != 1 || fmt.Sprint(started[0]["topics"]) != "[third]" {
		t.Errorf("%v", started)
	}
	if wrong := one("action", "edit", "outcome", "refused"); !strings.Contains(wrong["error"].(string), "passwort") {
		t.Errorf("%v", wrong)
	}
	one("action", "unknown", "status", "404")
	// The first entry is the edit that opened the log; a user's password is nowhere.
	reader := all[1]
	if _, after := changed(reader, "admin.users.1"); after == nil || strings.Contains(file(path)(), `"password":"eve"`) {
		t.Errorf("%v", reader)
	}
	ids := map[any]bool{}
	for _, l := range all {
		if ids[l["id"]] = true; l["time"] == nil {
			t.Errorf("%v", l)
		}
	}
	if len(ids) != len(all) {
		t.Errorf("%d ids of %d entries", len(ids), len(all))
	}
	// The last entry says who turned it off; a restart has an entry, too.
	if err := h.gw.Edit("passwort: eve", "password: eve"); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Restart(h.ctx); err != nil {
		t.Fatal(err)
	}
	all = h.audited(file(path), "the start", func(all []line) bool { return len(having(all, "action", "start")) == 1 })
	one("action", "stop", "user", "gateway")
	one("action", "start", "after", h.gw.Snapshot().Revision)
	h.edit("telemetry: {log: {audit: {file: audit.json}}}", "")
	h.audited(file(path), "the last entry", func(all []line) bool {
		last := all[len(all)-1]
		before, after := changed(last, "telemetry")
		return last["action"] == "edit" && before != nil && after == nil
	})
}

// TestAuditTopic: entries go to a topic that is made for them, and wait while its cluster is down.
func TestAuditTopic(t *testing.T) {
	h, log := logged(t, "audit: {cluster: dr, topic: __sluice_audit}", "orders", "other")
	read := func(n int) (out []line) {
		for _, r := range h.read(h.dr.Bootstrap()[0], "__sluice_audit", 0, n) {
			out = append(out, lines(t, string(r.Value))...)
		}
		return out
	}
	if first := read(1)[0]; first["action"] != "edit" || first["user"] != "file" {
		t.Errorf("%v", first)
	}
	for _, n := range h.dr.Nodes() {
		if err := h.dr.Kill(n); err != nil {
			t.Fatal(err)
		}
	}
	if code, _ := h.v1("PUT", "/log/levels", `{"level": "debug"}`, nil); code != 200 {
		t.Fatal(code)
	}
	if code, body := h.call("DELETE", "/topicMappings/"+tenant+"/other", ""); code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	h.wait("a line about it", func() bool {
		return len(having(lines(t, log.String()), "component", "audit", "level", "ERROR")) > 0
	})
	for _, n := range h.dr.Nodes() {
		if err := h.dr.Restart(h.ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[any]bool{}
	for _, l := range read(3) {
		seen[l["action"]] = true
	}
	if !seen["set_log_levels"] || !seen["announce_delete"] {
		t.Errorf("%v", seen)
	}
	var topics []admin.Topic
	h.v1("GET", "/topics/"+tenant, "", &topics)
	if slices.ContainsFunc(topics, func(t admin.Topic) bool { return t.Name == "__sluice_audit" }) {
		t.Error("clients see the audit log")
	}
}
