package wasm

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-gateway/sluice/core/plugin"
	probed "github.com/sluice-gateway/sluice/plugins/wasm/testdata/probe/probe"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// TestCompiledPluginsThatFail cost their own request, as modules do.
func TestCompiledPluginsThatFail(t *testing.T) {
	w := compiled(t, "")
	for _, what := range []string{"panic", "refuse", "code"} {
		sent, answer, err := run(t, w, produce("orders", records(t, shape{}, what)))
		want := map[string]int16{"panic": 87, "refuse": 44, "code": 87}[what]
		if sent != nil || err != nil || answer.ErrorCode != want {
			t.Errorf("%s: code %d, %v", what, answer.ErrorCode, err)
		}
	}
	if got := w.Guest().Replaced.Load(); got != 2 {
		t.Errorf("%d copies replaced: it was tried twice", got)
	}
	if sent, _, err := run(t, w, produce("orders", records(t, shape{}, "fine"))); err != nil || sent == nil {
		t.Errorf("after the panic: %v", err)
	}
}

// TestSectionsOfCompiledPlugins are those of guests, without what says where a module is.
func TestSectionsOfCompiledPlugins(t *testing.T) {
	env := plugintest.Env(t, plugintest.NewCluster("prod", 0, 1))
	for section, want := range map[string]string{
		"{file: probe.wasm, grant: [kv, http, send_request]}": "file has no place here",
		"{grant: [kv]}": "probe asks for http, send_request, which is not granted",
		"{grant: [kv, http, send_request], config: {self_test_fails: true}}": "self-test: it does not work",
		"{grant: [kv, http, send_request], config: {deny: 1}}":               "config: json",
		"{grants: [kv]}": `unknown key "grants"`,
	} {
		if _, err := Compiled("probe", probed.New).New(t.Context(), env, plugintest.Section(t, section)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", section, err, want)
		}
	}
}

// TestGuestsSeeTheTrace of the request that they are called for.
func TestGuestsSeeTheTrace(t *testing.T) { bothWays(t, seesTheTrace) }

func seesTheTrace(t *testing.T, probing starter) {
	w := probing(t, "")
	if got := answer(t, w, "trace"); got != "" {
		t.Errorf("a request without a trace: %q", got)
	}
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled})
	var sent *kmsg.ProduceRequest
	_, err := w.Intercept(trace.ContextWithSpanContext(t.Context(), span), plugintest.Request(t, produce("orders", records(t, shape{}, "trace")), "prod"),
		plugin.HandlerFunc(func(_ context.Context, req *plugin.Request) (*plugin.Response, error) {
			sent = plugintest.Sent[*kmsg.ProduceRequest](t, req)
			return plugin.Fail(req, 0, "")
		}))
	if err != nil {
		t.Fatal(err)
	}
	if _, list := first(t, sent); string(list[0].Value) != "00-01020000000000000000000000000000-0300000000000000-01" {
		t.Errorf("%s", list[0].Value)
	}
}
