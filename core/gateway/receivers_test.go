package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/testing/fact"
)

const sent = "telemetry: {SIGNAL: {endpoint: 127.0.0.1:1, tls: {ca: no.crt}}}\n"

// TestAReceiversFiles that can't be had refuse an edit, with their place, and keep no gateway from
// starting: the signal is not sent. An edit of something else tries again, and does without it no
// more.
func TestAReceiversFiles(t *testing.T) {
	for _, signal := range []string{"traces", "metrics"} {
		file := strings.Replace(one+sent, "SIGNAL", signal, 1)
		r := startReloading(t, one)
		err := r.apply(file)
		about := fact.Of(t, "%s: %v", signal, err)
		if fact.True(about, "err != nil", err != nil) {
			fact.Has(about, err.Error(), "sluice.yaml:6:")
			fact.Has(about, err.Error(), "telemetry."+signal+".tls.ca: ")
			fact.Has(about, err.Error(), "no.crt")
		}
		r = startReloading(t, file)
		if got := r.listens(); len(got) == 0 {
			t.Errorf("%s: the gateway does not serve", signal)
		}
		if l := r.now(); l.tracer != nil || l.exporter != nil {
			t.Errorf("%s: it is sent", signal)
		}
		if err := r.apply(file + "# an edit\n"); err == nil || !strings.Contains(err.Error(), "no.crt") {
			t.Errorf("%s: an edit is not told: %v", signal, err)
		}
		_, warnings := inspected(t, file)
		says(t, signal, warnings, []string{"6:" + "|no.crt"})
	}
}

// TestAProgramWithoutExporters refuses an edit that names a receiver, with its place, and goes on.
func TestAProgramWithoutExporters(t *testing.T) {
	r := startReloading(t, one)
	r.opts.Exporters = nil
	for _, signal := range []string{"traces", "metrics"} {
		err := r.apply(one + "telemetry: {" + signal + ": {endpoint: 127.0.0.1:1}}\n")
		if err == nil {
			t.Errorf("%s: an edit that names a receiver is taken", signal)
			continue
		}
		for _, want := range []string{"sluice.yaml:6:", telemetry.ErrNoExporters.Error()} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", signal, err, want)
			}
		}
	}
	if got := r.listens(); len(got) == 0 {
		t.Error("the gateway does not serve")
	}
}

// TestReceiversAreOpenedForWhatHasChanged alone.
func TestReceiversAreOpenedForWhatHasChanged(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close) // after the gateway, which sends its last metrics
	to := "{endpoint: " + strings.TrimPrefix(s.URL, "http://") + ", protocol: http, insecure: true, headers: {a: b}}"
	traced := one + "telemetry: {traces: " + to + ", metrics: " + to + "}\n"
	r := startReloading(t, traced)
	before := r.now()
	if err := r.apply(strings.Replace(traced, "insecure: true", "spans: all, insecure: true", 1)); err != nil {
		t.Fatal(err)
	}
	if now := r.now(); now.tracer.value != before.tracer.value || now.exporter.value != before.exporter.value {
		t.Error("an edit of which spans there are has opened a receiver")
	}
	if err := r.apply(strings.ReplaceAll(traced, "a: b", "a: c")); err != nil {
		t.Fatal(err)
	}
	if now := r.now(); now.tracer.value == before.tracer.value || now.exporter.value == before.exporter.value {
		t.Error("another header has opened no receiver")
	}
}
