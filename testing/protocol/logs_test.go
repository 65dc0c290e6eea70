package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
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

// TestLevelsAtRunTime: of one component, by the API, for readers to see, until the file says
// something else.
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
	{
		code, _ := h.v1("PUT", "/log/levels", `{"level": "error", "levels": {"server": "info"}}`, &s)
		about := fact.Of(t, "%d %+v", code, s)
		fact.Equal(about, "code", code, 200)
		fact.Equal(about, "s.From", s.From, admin.FromAPI)
		fact.Equal(about, `s.Components["server"]`, s.Components["server"], "info")
		fact.Equal(about, `s.Components["upstream"]`, s.Components["upstream"], "error")
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
	h.v1("PUT", "/log/levels", `{"level": "debug", "levels": {"offsets": "warn", "upstream": "warn"}}`, nil)
	h.edit("      - offsets: {}\n", "") // a level of what is gone would be refused with the next change
	s = admin.LogState{}
	if h.v1("GET", "/log/levels", "", &s); s.Level != "debug" || fmt.Sprint(s.Levels) != "map[upstream:warn]" {
		t.Errorf("%+v", s)
	}
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
	h.produceHeld(p, "orders")
	silent := h.client(h.gw.Bootstrap, kgo.ClientID("silent"), kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	if err := silent.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("nobody answers")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	h.read(h.gw.Bootstrap, "orders", 0, 5)
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
	produces := having(all, "api", "Produce", "client_id", "shop")
	if s := having(all, "api", "Produce", "client_id", "silent"); len(s) != 1 || s[0]["response_size"] != 0.0 {
		t.Errorf("without an answer: %v", s)
	}
	for i, l := range produces {
		held, _ := l["held_ms"].(float64)
		duration := l["duration_ms"].(float64)
		about := fact.Of(t, "%v", l)
		fact.Equal(about, `fmt.Sprint(l["topics"])`, fmt.Sprint(l["topics"]), "[orders]")
		fact.Equal(about, `l["client_id"]`, l["client_id"], "shop")
		fact.Equal(about, `l["software"]`, l["software"], "till 1.2.3")
		fact.Equal(about, `l["virtual_cluster"]`, l["virtual_cluster"], tenant)
		fact.AtLeast(about, `l["version"].(float64)`, l["version"].(float64), 9)
		fact.True(about, `strings.HasPrefix(l["peer"].(string), "127.0.0.1:")`, strings.HasPrefix(l["peer"].(string), "127.0.0.1:"))
		fact.AtLeast(about, `l["request_size"].(float64)`, l["request_size"].(float64), 50)
		fact.AtLeast(about, `l["response_size"].(float64)`, l["response_size"].(float64), 10)
		fact.Above(about, "duration", duration, 0)
		fact.True(about, `strings.HasPrefix(fmt.Sprint(l["upstream"]), "[prod/")`, strings.HasPrefix(fmt.Sprint(l["upstream"]), "[prod/"))
		fact.AtMost(about, `l["upstream_ms"].(float64)`, l["upstream_ms"].(float64), duration)
		fact.True(about, `l["error_code"] == nil`, l["error_code"] == nil)
		fact.True(about, `l["trace_id"] == nil`, l["trace_id"] == nil)
		if held > duration || held > 0 != (i == 3) {
			t.Errorf("produce %d of %.3f ms was held for %.3f ms", i, duration, held)
		}
	}
	about := fact.Of(t, "%d produces; %v", len(produces), all)
	if fact.Equal(about, "len(produces)", len(produces), 4) && fact.Other(about, `len(having(all, "api", "Fetch", "topics", "[orders]"))`, len(having(all, "api", "Fetch", "topics", "[orders]")), 0) && fact.Other(about, `len(having(all, "api", "ApiVersions"))`, len(having(all, "api", "ApiVersions")), 0) {
		fact.Other(about, `len(having(all, "api", "OffsetCommit", "group", "readers"))`, len(having(all, "api", "OffsetCommit", "group", "readers")), 0)
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

// TestATracedRequestSaysSo: its line in the access log has the ids of its span, and so does the log
// of a move.
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

// TestTheBinarysLog: in another format from the next line on, with what becomes of exports in it.
func TestTheBinarysLog(t *testing.T) {
	h := build(t, "orders")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "200")
	p, err := gatewaytest.StartProcess(h.ctx, gatewaytest.Command, t.TempDir(), map[string]string{"orders": "prod"}, h.prod, h.dr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.Edit("state: {dir: ./state}", "state: {dir: ./state}\ntelemetry: {log: {format: json}, traces: {endpoint: 127.0.0.1:1, insecure: true}}"); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool { return strings.Contains(p.Log(), `"msg":"configuration in force"`) })
	h.produce(h.client(p.Bootstrap), "orders", "x", 1)
	h.wait("the exporter's complaint", func() bool { return strings.Contains(p.Log(), `"msg":"traces are not sent"`) })
	text, rest, _ := strings.Cut(p.Log(), "\n{")
	if lines(t, "{"+rest); !strings.Contains(text, "level=INFO msg=listening component=gateway virtual_cluster="+tenant) {
		t.Errorf("%s", text)
	}
}
