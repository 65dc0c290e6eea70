package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
)

// pages keep a log.
type pages struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *pages) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *pages) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// line is a line of JSON.
type line map[string]any

func lines(t *testing.T, text string) (out []line) {
	t.Helper()
	for s := range strings.Lines(text) {
		var l line
		if err := json.Unmarshal([]byte(s), &l); err != nil {
			t.Fatalf("%v: %s", err, s)
		}
		out = append(out, l)
	}
	return out
}

// having are the lines with these values.
func having(all []line, kv ...string) []line {
	return slices.DeleteFunc(slices.Clone(all), func(l line) bool {
		for i := 0; i+1 < len(kv); i += 2 {
			if fmt.Sprint(l[kv[i]]) != kv[i+1] {
				return true
			}
		}
		return false
	})
}

// logged is a house whose log is kept, with more settings under telemetry.log.
func logged(t *testing.T, settings string, topics ...string) (*house, *pages) {
	t.Helper()
	p := &pages{}
	h := buildLogging(t, slog.New(slog.NewJSONHandler(p, &slog.HandlerOptions{Level: slog.LevelDebug})), topics...)
	if settings != "" {
		h.edit("state: {dir: ./state}", "state: {dir: ./state}\ntelemetry: {log: {"+settings+"}}")
	}
	return h, p
}

// edit edits the file by hand and waits until that is in force.
func (h *house) edit(from, to string) {
	h.t.Helper()
	before := h.gw.Snapshot().Revision
	if err := h.gw.Edit(from, to); err != nil {
		h.t.Fatal(err)
	}
	h.wait("the edit", func() bool { return h.gw.Snapshot().Revision != before })
}

// TestLevelsAtRunTime: of one component, by the API, for readers to see, until the file says something else.
func TestLevelsAtRunTime(t *testing.T) {
	h, log := logged(t, "levels: {server: error}", "orders")
	h.edit("users: [{name: none, password: none}]", "users: [{name: none, password: none}, {name: eve, password: eve, role: reader}]")
	noise := func() string { // a session that is closed for what it sends
		c, err := net.Dial("tcp", h.gw.Bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("an answer to noise")
		}
		return c.LocalAddr().String()
	}
	told := func(client string) bool {
		return len(having(lines(t, log.String()), "component", "server", "msg", "session closed", "client", client)) == 1
	}
	var s admin.LogState
	first := noise()
	if code, _ := h.v1("PUT", "/log/levels", `{"level": "error", "levels": {"server": "info"}}`, &s); code != 200 || s.From != admin.FromAPI || s.Components["server"] != "info" || s.Components["upstream"] != "error" {
		t.Errorf("%d %+v", code, s)
	}
	second := noise()
	h.wait("the line", func() bool { return told(second) })
	if told(first) {
		t.Error("a line below the level of its component")
	}
	if code, body := h.call("GET", "/api/v1/log/levels", "", "eve", "eve"); code != 200 || !strings.Contains(body, `"from": "api"`) {
		t.Errorf("a reader looks: %d %s", code, body)
	}
	for _, method := range []string{"PUT", "DELETE"} {
		if code, _ := h.call(method, "/api/v1/log/levels", `{"level": "debug"}`, "eve", "eve"); code != 403 {
			t.Errorf("a reader's %s: %d", method, code)
		}
	}
	for _, bad := range []string{`{}`, `{"level": "loud"}`, `{"level": "info", "levels": {"upstraem": "info"}}`, `{"level": "info", "levels": {"server": ""}}`} {
		var p struct{ Detail string }
		if code, _ := h.v1("PUT", "/log/levels", bad, &p); code != 400 || !strings.Contains(p.Detail, "level") {
			t.Errorf("%s: %d %s", bad, code, p.Detail)
		}
	}
	h.edit("delete_grace: 30s", "delete_grace: 31s") // not of the levels: they stay
	if h.v1("GET", "/log/levels", "", &s); s.From != admin.FromAPI {
		t.Errorf("%+v", s)
	}
	h.edit("server: error", "server: warn")
	if h.v1("GET", "/log/levels", "", &s); s.From != admin.FromFile || s.Level != "info" || s.Components["server"] != "warn" {
		t.Errorf("%+v", s)
	}
	h.v1("PUT", "/log/levels", `{"level": "debug"}`, nil)
	s = admin.LogState{}
	if code, _ := h.v1("DELETE", "/log/levels", "", &s); code != 200 || s.From != admin.FromFile || s.Levels["server"] != "warn" {
		t.Errorf("%d %+v", code, s)
	}
	gateway := commandLine(t)
	if out, code := gateway("log", "-c", h.gw.File, "routing=debug", "--level", "warn", "--output", "json"); code != 0 || decoded[admin.LogState](t, out).Components["routing"] != "debug" || decoded[admin.LogState](t, out).Components["server"] != "warn" {
		t.Errorf("%d %s", code, out)
	}
	if out, code := gateway("log", "-c", h.gw.File, "--reset"); code != 0 || !strings.Contains(out, "COMPONENT  LEVEL") || !strings.Contains(out, "routing    info") {
		t.Errorf("%d %s", code, out)
	}
	if out, code := gateway("log", "-c", h.gw.File, "nobody=debug"); code != 1 || !strings.Contains(out, "no component") {
		t.Errorf("%d %s", code, out)
	}
	if out, code := gateway("log", "-c", h.gw.File, "debug"); code != 2 {
		t.Errorf("%d %s", code, out)
	}
}

// TestAccessLog: one line per answered request, with what it was and where its time went.
func TestAccessLog(t *testing.T) {
	h, log := logged(t, "level: error, access: {sample_ratio: 1}", "orders")
	p := h.client(h.gw.Bootstrap, kgo.ClientID("shop"), kgo.SoftwareNameAndVersion("till", "1.2.3"))
	h.produce(p, "orders", "x", 3)
	gate := h.gw.Gate(tenant, "orders")
	gate.Hold(t)
	done := make(chan struct{})
	go func() { h.produce(p, "orders", "held", 1); close(done) }()
	h.wait("a held produce", func() bool { return gate.Waiting() == 1 })
	gate.Release(t)
	<-done
	h.read(h.gw.Bootstrap, "orders", 0, 4)
	h.commit("orders", "readers", 3)
	var all []line
	h.wait("as many lines as answers", func() bool {
		all = having(lines(t, log.String()), "component", "access", "msg", "request")
		want := int64(0)
		for _, v := range must(traffic(h)) {
			for _, a := range v.APIs {
				want += a.Requests
			}
		}
		return want > 0 && int64(len(all)) == want
	})
	produces := having(all, "api", "Produce")
	for i, l := range produces {
		held, _ := l["held_ms"].(float64)
		duration := l["duration_ms"].(float64)
		if fmt.Sprint(l["topics"]) != "[orders]" || l["client_id"] != "shop" || l["software"] != "till 1.2.3" || l["virtual_cluster"] != tenant || l["version"].(float64) < 9 ||
			!strings.HasPrefix(l["peer"].(string), "127.0.0.1:") || l["request_size"].(float64) < 50 || l["response_size"].(float64) < 10 || duration <= 0 ||
			!strings.HasPrefix(fmt.Sprint(l["upstream"]), "[prod/") || l["upstream_ms"].(float64) > duration || l["error_code"] != nil || l["trace_id"] != nil {
			t.Errorf("%v", l)
		}
		if held > duration || held > 0 != (i == 3) {
			t.Errorf("produce %d of %.3f ms was held for %.3f ms", i, duration, held)
		}
	}
	if len(produces) != 4 || len(having(all, "api", "Fetch", "topics", "[orders]")) == 0 || len(having(all, "api", "ApiVersions")) == 0 || len(having(all, "api", "OffsetCommit", "group", "readers")) == 0 {
		t.Errorf("%d produces; %v", len(produces), all)
	}
	// Errors alone.
	h.edit("sample_ratio: 1", "sample_ratio: 0, errors: true")
	before := len(log.String())
	h.produce(p, "orders", "y", 2)
	for _, topic := range []string{"orders", "nowhere"} {
		m := kmsg.NewPtrListOffsetsRequest()
		rt, rp := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		rt.Topic, rt.Partitions, rp.Timestamp = topic, []kmsg.ListOffsetsRequestTopicPartition{rp}, -1
		m.Topics = []kmsg.ListOffsetsRequestTopic{rt}
		if _, err := p.SeedBrokers()[0].Request(h.ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	h.wait("the failed request", func() bool {
		return len(having(lines(t, log.String()[before:]), "component", "access")) > 0
	})
	for _, l := range having(lines(t, log.String()[before:]), "component", "access") {
		if l["api"] != "ListOffsets" || l["error_code"] != "UNKNOWN_TOPIC_OR_PARTITION" || fmt.Sprint(l["topics"]) != "[nowhere]" {
			t.Errorf("%v", l)
		}
	}
}

func traffic(h *house) (out []admin.Traffic, err error) {
	h.v1("GET", "/traffic", "", &out)
	return out, nil
}

// TestATracedRequestSaysSo: its line in the access log has the ids of its span, and so does the log of a move.
func TestATracedRequestSaysSo(t *testing.T) {
	h, log := logged(t, "access: {sample_ratio: 1}", "orders")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	collector.RegisterTraceServiceServer(s, &receiver{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	h.edit("telemetry: {", fmt.Sprintf("telemetry: {traces: {endpoint: %q, insecure: true}, ", l.Addr()))
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 1)
	h.edit("orders: {cluster: prod}", "orders: {cluster: dr}") // refused: nobody copies
	h.wait("the move's line", func() bool { return len(having(lines(t, log.String()), "component", "failover")) > 0 })
	all := lines(t, log.String())
	for _, x := range []line{having(all, "component", "access", "api", "Produce")[0], having(all, "component", "failover")[0]} {
		if trace, _ := x["trace_id"].(string); len(trace) != 32 || len(x["span_id"].(string)) != 16 {
			t.Errorf("%v", x)
		}
	}
}

// abort takes a move back.
func (h *house) abort(id string) (int, string) {
	h.t.Helper()
	req := must(http.NewRequestWithContext(h.ctx, "DELETE", h.gw.Admin+"/api/v1/moves/"+id, nil))
	req.SetBasicAuth("none", "none")
	req.Header.Set("If-Match", "*")
	resp := must(http.DefaultClient.Do(req))
	defer resp.Body.Close()
	return resp.StatusCode, string(must(io.ReadAll(resp.Body)))
}

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
		body := fmt.Sprintf("vc=%s&topic=%s&to=dr&confirm=%s&revision=%s", tenant, topic, topic, revision)
		req := must(http.NewRequestWithContext(h.ctx, "POST", h.gw.Admin+"/console/moves", strings.NewReader(body)))
		req.SetBasicAuth(user, user)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("User-Agent", "browser")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp := must(http.DefaultTransport.RoundTrip(req))
		_ = resp.Body.Close()
		return resp.StatusCode
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
	if code, body := h.abort(id); code != 200 {
		t.Fatalf("%d %s", code, body)
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
	if before, after := changed(api, "routing.topics.orders.cluster"); before != "prod" || after != "dr" || api["user"] != "none" || api["role"] != "admin" || api["before"] != first ||
		api["after"] == first || fmt.Sprint(api["topics"]) != "[orders]" || api["virtual_cluster"] != tenant || api["request"] != "POST /api/v1/moves" || !strings.HasPrefix(api["address"].(string), "127.0.0.1:") {
		t.Errorf("%v", api)
	}
	if stale := one("action", "start_moves", "status", "412"); stale["before"] != api["after"] || !strings.Contains(stale["error"].(string), "meanwhile") || fmt.Sprint(stale["topics"]) != "[other]" {
		t.Errorf("%v", stale)
	}
	console := one("action", "start_moves", "via", "console", "outcome", "done")
	if before, after := changed(console, "routing.topics.other.cluster"); before != "prod" || after != "dr" || console["agent"] != "browser" || console["user"] != "none" {
		t.Errorf("%v", console)
	}
	if eve := one("user", "eve"); eve["status"] != 403.0 || eve["role"] != "reader" || eve["via"] != "console" || eve["outcome"] != "refused" || !strings.Contains(eve["error"].(string), "role reader") {
		t.Errorf("%v", eve)
	}
	if other := one("user", "none", "status", "403"); !strings.Contains(other["error"].(string), "another site") {
		t.Errorf("%v", other)
	}
	if mallory := one("user", "mallory"); mallory["status"] != 401.0 || mallory["role"] != nil || mallory["via"] != "http" || mallory["action"] != "start_moves" {
		t.Errorf("%v", mallory)
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
	// Whoever turns it off is the last to be seen in it, and a restart is seen, too.
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
