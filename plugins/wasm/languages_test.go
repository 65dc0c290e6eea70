package wasm

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// languages are those that there is an SDK for besides Go: the header example, and a probe that
// does what the Go one does with records.
var languages = map[string]struct {
	header, probe func(t testing.TB) string
}{
	"rust": {
		func(t testing.TB) string { return rustGuest(t, "../../sdk/examples/rust-header") },
		func(t testing.TB) string { return rustGuest(t, "testdata/rustprobe") },
	},
	"c": {
		func(t testing.TB) string { return cGuest(t, "../../sdk/examples/c-header/header.c", false) },
		func(t testing.TB) string { return cGuest(t, "testdata/cprobe/probe.c", true) },
	},
}

// inEveryLanguage runs a test for every language, with a probe.
func inEveryLanguage(t *testing.T, more string, test func(t *testing.T, language string, w *Wasm)) {
	for name, l := range languages {
		t.Run(name, func(t *testing.T) {
			w, err := build(t, fmt.Sprintf("{file: %q, grant: [kv, http, send_request]%s}", l.probe(t), more))
			if err != nil {
				t.Fatal(err)
			}
			test(t, name, w)
		})
	}
}

// TestTheRustCrate runs its own tests, and those of its examples.
func TestTheRustCrate(t *testing.T) {
	some := regexp.MustCompile(`[1-9]\d* passed`)
	for _, dir := range []string{"rust", "examples/rust-header", "examples/rust-mask"} {
		if out := cargo(t, "../../sdk/"+dir, "test"); !some.MatchString(out) {
			t.Errorf("%s: %s", dir, out)
		}
	}
}

// TestHeadersInEveryLanguage are added in every codec, and the configuration is checked.
func TestHeadersInEveryLanguage(t *testing.T) {
	for name, l := range languages {
		t.Run(name, func(t *testing.T) {
			file := l.header(t)
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes", info.Size())
			for config, want := range map[string]string{"{value: x}": "config.key is missing", "{key: [x]}": "key must be a text"} {
				if _, err := build(t, fmt.Sprintf("{file: %q, config: %s}", file, config)); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v", config, err)
				}
			}
			w, err := build(t, fmt.Sprintf(`{file: %q, config: {value: "<ü€\n\"", key: via}}`, file))
			if err != nil {
				t.Fatal(err)
			}
			headersAreAdded(t, w, "<ü€\n\"")
		})
	}
}

// TestEveryEditInEveryLanguage does what it does in Go.
func TestEveryEditInEveryLanguage(t *testing.T) {
	inEveryLanguage(t, "", func(t *testing.T, _ string, w *Wasm) { everyEdit(t, w) })
}

// TestRefusalsInEveryLanguage have their code, and are no failures; a refused record costs its
// partition.
func TestRefusalsInEveryLanguage(t *testing.T) {
	inEveryLanguage(t, "", func(t *testing.T, _ string, w *Wasm) {
		for what, want := range map[string]struct {
			code    int16
			message string
		}{"refuse": {44, "not like this"}, "code": {87, "wrong"}, "reject": {87, "no good"}} {
			sent, answer, err := run(t, w, produce("orders", records(t, shape{}, what)))
			about := fact.Of(t, "%s: %+v, %v", what, answer, err)
			if fact.NoError(about, err) {
				fact.Equal(about, "answer.ErrorCode", answer.ErrorCode, want.code)
				if fact.True(about, "answer.ErrorMessage != nil", answer.ErrorMessage != nil) {
					fact.Equal(about, "*answer.ErrorMessage", *answer.ErrorMessage, want.message)
					if what != "reject" {
						fact.True(about, "nothing is sent", sent == nil)
					}
				}
			}
		}
		if w.Guest().Failed.Load() != 0 {
			t.Error("a refusal is no failure")
		}
	})
}

// TestHostFunctionsInEveryLanguage do what they do in Go.
func TestHostFunctionsInEveryLanguage(t *testing.T) {
	inEveryLanguage(t, ", config: {known: 1}", func(t *testing.T, language string, w *Wasm) {
		lines := logged(w)
		for value, want := range map[string]string{"kv": "2 true false 500 true", "send": "not granted by the operator", "http": "bad argument", "log": "log"} {
			if got := answer(t, w, value); got != want {
				t.Errorf("%s: %q, want %q", value, got, want)
			}
		}
		if got := answer(t, w, "kv"); !strings.HasPrefix(got, "4 ") {
			t.Errorf("kv again: %q", got)
		}
		var at int64
		var random bool
		var name string
		{
			_, err := fmt.Sscan(answer(t, w, "clock"), &at, &random, &name)
			about := fact.Of(t, "clock: %d %t %s, %v", at, random, name, err)
			if fact.NoError(about, err) {
				fact.AtMost(about, "time.Since(time.Unix(0, at)).Abs()", time.Since(time.Unix(0, at)).Abs(), time.Minute)
				if fact.True(about, "random", random) {
					fact.Equal(about, "name", name, "None")
				}
			}
		}
		if got := lines.String(); !strings.Contains(got, `level=WARN msg="0 of 1"`) {
			t.Errorf("log: %q", got)
		}
		all := w.Guest().Metrics.All()
		about := fact.Of(t, "metrics: %+v", all)
		if fact.Equal(about, "len(all)", len(all), 1) {
			fact.Equal(about, "all[0].Name", all[0].Name, "seen_total")
			fact.Equal(about, "all[0].Value", all[0].Value, 2)
			fact.Equal(about, `all[0].Labels["language"]`, all[0].Labels["language"], language)
		}
		seesTheTrace(t, func(testing.TB, string) *Wasm { return w })
		w.SetBelow(func(kmsg.Key) plugin.Handler { return throttled(t, 258) })
		if got := answer(t, w, "send"); got != "[0, 0, 1, 2]" {
			t.Errorf("send: %q", got)
		}
		if _, err := build(t, fmt.Sprintf("{file: %q, grant: [kv, http, send_request], config: {other: 1}}", languages[language].probe(t))); err == nil || !strings.Contains(err.Error(), "config.other") {
			t.Errorf("a bad configuration: %v", err)
		}
	})
}

// TestMessagesInEveryLanguage are bytes, to be refused, changed and answered.
func TestMessagesInEveryLanguage(t *testing.T) {
	inEveryLanguage(t, "", func(t *testing.T, _ string, w *Wasm) {
		if sent, resp, err := create(t, w, "plain"); err != nil || sent != "plain" || resp.ThrottleMillis != 0 {
			t.Errorf("untouched: sent %q, %+v, %v", sent, resp, err)
		}
		if sent, resp, err := create(t, w, "rename"); err != nil || sent != "newone" || resp.ThrottleMillis != '*' {
			t.Errorf("changed: sent %q, %+v, %v", sent, resp, err)
		}
		{
			sent, resp, err := create(t, w, "refuse")
			about := fact.Of(t, "refused: sent %q, %+v, %v", sent, resp, err)
			if fact.NoError(about, err) {
				fact.Equal(about, "sent", sent, "")
				fact.Equal(about, "resp.Topics[0].ErrorCode", resp.Topics[0].ErrorCode, 44)
				fact.Equal(about, "*resp.Topics[0].ErrorMessage", *resp.Topics[0].ErrorMessage, "not by that name")
			}
		}
		if sent, _, err := create(t, w, "close"); !plugin.Closes(err) || sent != "" {
			t.Errorf("closed: sent %q, %v", sent, err)
		}
		if got := w.MaxVersion(int16(kmsg.CreateTopics), 7); got != 5 {
			t.Errorf("offered up to %d", got)
		}
	})
}

// TestMessagesAsJSONInEveryLanguage, whole, for those who have no code for Kafka's protocol: one is
// changed, one refused, and one is broken by the guest.
func TestMessagesAsJSONInEveryLanguage(t *testing.T) {
	inEveryLanguage(t, "", func(t *testing.T, _ string, w *Wasm) {
		ask := func(names ...string) (sent []kmsg.CreatePartitionsRequestTopic, resp *kmsg.CreatePartitionsResponse) {
			t.Helper()
			m := kmsg.NewPtrCreatePartitionsRequest()
			m.SetVersion(3)
			m.TimeoutMillis = 77
			for _, name := range names {
				topic := kmsg.NewCreatePartitionsRequestTopic()
				topic.Topic, topic.Count = name, 3
				a := kmsg.NewCreatePartitionsRequestTopicAssignment()
				a.Replicas = []int32{1, 2}
				topic.Assignment = append(topic.Assignment, a)
				m.Topics = append(m.Topics, topic)
			}
			out, err := w.Intercept(t.Context(), plugintest.Request(t, m, "prod"), plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
				got := plugintest.Sent[*kmsg.CreatePartitionsRequest](t, req)
				if sent = got.Topics; got.TimeoutMillis != 77 {
					t.Errorf("%+v", got)
				}
				return plugin.Fail(req, 0, "")
			}))
			if err != nil {
				t.Fatal(err)
			}
			return sent, plugintest.Decode[*kmsg.CreatePartitionsResponse](t, out)
		}
		{
			sent, _ := ask("a", "t\"ü")
			about := fact.Of(t, "changed: %+v", sent)
			if fact.Equal(about, "len(sent)", len(sent), 2) {
				fact.Equal(about, "sent[0].Count", sent[0].Count, 3)
				fact.Equal(about, "sent[1].Count", sent[1].Count, 6)
				fact.Equal(about, "sent[1].Topic", sent[1].Topic, "t\"ü")
				fact.Equal(about, "fmt.Sprint(sent[1].Assignment[0].Replicas)", fmt.Sprint(sent[1].Assignment[0].Replicas), "[1 2]")
			}
		}
		if sent, _ := ask("a", "b"); len(sent) != 2 || sent[1].Count != 3 {
			t.Errorf("untouched: %+v", sent)
		}
		if sent, resp := ask("a"); sent != nil || resp.Topics[0].ErrorCode != 42 || *resp.Topics[0].ErrorMessage != "not two topics" {
			t.Errorf("refused: %+v, %+v", sent, resp)
		}
		if sent, resp := ask("a", "bad json"); sent != nil || kafka.Code(resp.Topics[0].ErrorCode) != kafka.PolicyViolation {
			t.Errorf("broken: %+v, %+v", sent, resp)
		}
	})
}

// TestMaskedForConsumers: the digits of values, where they stand; what has none stays the bytes
// that it was.
func TestMaskedForConsumers(t *testing.T) {
	file := rustGuest(t, "../../sdk/examples/rust-mask")
	if _, err := build(t, fmt.Sprintf("{file: %q, on_error: pass}", file)); err == nil {
		t.Error("what it can't see may get by")
	}
	w, err := build(t, fmt.Sprintf("{file: %q}", file))
	if err != nil {
		t.Fatal(err)
	}
	for codec := range int8(5) {
		same := at(records(t, shape{codec: codec}, "none", ""), 10)
		resp, err := fetched(t, w, "cards", at(records(t, shape{codec: codec}, "4711", "", "cvc 99"), 100), same)
		if err != nil {
			t.Fatal(err)
		}
		parts := resp.Topics[0].Partitions
		list := decoded(t, parts[0].RecordBatches)
		about := fact.Of(t, "codec %d: %+v", codec, list)
		if fact.Equal(about, "len(list)", len(list), 3) {
			fact.Equal(about, "string(list[0].Value)", string(list[0].Value), "****")
			fact.True(about, "list[1].Value == nil", list[1].Value == nil)
			fact.Equal(about, "string(list[2].Value)", string(list[2].Value), "cvc **")
			fact.Equal(about, "list[2].Offset", list[2].Offset, 102)
		}
		if string(parts[1].RecordBatches) != string(same) {
			t.Errorf("codec %d: what has no digits was changed", codec)
		}
	}
}

// TestHostileInEveryLanguage costs the request that it is of, and the next one is served.
func TestHostileInEveryLanguage(t *testing.T) {
	inEveryLanguage(t, ", limits: {timeout: 300ms, memory: 32MiB}", func(t *testing.T, language string, w *Wasm) {
		lines := logged(w)
		all := []string{"panic", "loop", "recurse", "memory"}
		for _, what := range all {
			costsItsOwn(t, w, what, "fine")
		}
		replaced(t, w, int64(len(all)))
		if language == "rust" && !strings.Contains(lines.String(), "panicked at") {
			t.Errorf("nobody is told where it panicked: %s", lines)
		}
	})
}

// TestResultsThatAreNone: whatever a guest answers with, it costs its own request.
func TestResultsThatAreNone(t *testing.T) {
	open := func(more string) *Wasm {
		t.Helper()
		w, err := build(t, fmt.Sprintf("{file: %q%s}", cGuest(t, "testdata/hostile/hostile.c", false), more))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := open(", limits: {timeout: 300ms}")
	for what := 'a'; what <= 't'; what++ {
		costsItsOwn(t, w, string(what), "Fine")
	}
	replaced(t, w, 't'-'a'+1)
	w = open("")
	sent, _, err := run(t, w, produce("orders", records(t, shape{}, "u")))
	if err != nil {
		t.Fatalf("a guest that scribbled in its own input: %v", err)
	}
	if _, list := first(t, sent); string(list[0].Value) != "u" {
		t.Errorf("a guest that scribbled in its own input: the value became %q", list[0].Value)
	}
	if sent, _, err := run(t, w, produce("orders", records(t, shape{}, strings.Repeat("F", 900_000)))); err != nil || sent == nil {
		t.Errorf("a call that just fits: %v", err)
	}
	if _, answer, err := run(t, w, produce("orders", records(t, shape{}, strings.Repeat("F", 2<<20)))); !refused(err, answer) {
		t.Error("an input buffer that is elsewhere was written to")
	}
}

// logged keeps the lines of a guest's log.
func logged(w *Wasm) *strings.Builder {
	var b strings.Builder
	w.Guest().Log = slog.New(slog.NewTextHandler(&b, nil))
	return &b
}

// throttled answers Metadata requests.
func throttled(t *testing.T, ms int32) plugin.HandlerFunc {
	return func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
		if req.Key != kmsg.Metadata || req.Version != 7 {
			t.Errorf("request %+v", req)
		}
		resp := kmsg.NewPtrMetadataResponse()
		resp.SetVersion(7)
		resp.ThrottleMillis = ms
		return plugin.Respond(resp), nil
	}
}

// decoded are the records of all batches.
func decoded(t *testing.T, b []byte) (out []kafka.Record) {
	t.Helper()
	for _, batch := range kafka.Batches(b) {
		list, err := kafka.Records(batch)
		if err != nil || !batch.ValidCRC() {
			t.Fatalf("a broken batch: %v, CRC %t", err, batch.ValidCRC())
		}
		out = append(out, list...)
	}
	return out
}

// costsItsOwn sends a request that breaks the guest, and one that does not.
func costsItsOwn(t *testing.T, w *Wasm, what, fine string) {
	t.Helper()
	if sent, answer, err := run(t, w, produce("orders", records(t, shape{}, what))); !refused(err, answer) || sent != nil {
		t.Errorf("%s: it went by", what)
	} else {
		t.Logf("%s: %v", what, err)
	}
	served(t, w, what, fine)
}

// BenchmarkGuests adds a header to 500 records of 200 bytes: all of it, and the guest's part of it.
func BenchmarkGuests(b *testing.B) {
	files := map[string]func(testing.TB) string{
		"go":   func(t testing.TB) string { return guest(t, header) },
		"rust": languages["rust"].header, "c": languages["c"].header,
	}
	var values []string
	for range 500 {
		values = append(values, strings.Repeat("x", 200))
	}
	parts := []*blocks.Partition{{Topic: "orders", Records: records(b, shape{producer: 5}, values...)}}
	h := &blocks.Head{Kind: abi.KindProduce, Version: 9, ClientID: "bench"}
	for _, name := range []string{"go", "rust", "c"} {
		g := started(b, compiledModule(b, files[name](b)), map[string]string{"key": "via", "value": "sluice"})
		b.Run(name, func(b *testing.B) {
			began := g.InGuest.Load()
			for b.Loop() {
				if err := g.Records(b.Context(), h, parts); err != nil || parts[0].Out == nil {
					b.Fatal(err)
				}
			}
			n := float64(b.N * len(values))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/record")
			b.ReportMetric(float64(g.InGuest.Load()-began)/n, "guest-ns/record")
		})
	}
}
