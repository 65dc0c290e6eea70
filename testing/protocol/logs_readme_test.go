package protocol

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestREADMEShowsRealLogs: each line that the document of logs shows has the fields, and the words
// that don't depend on the day, of one that a gateway writes.
func TestREADMEShowsRealLogs(t *testing.T) {
	h, log := logged(t, "access: {sample_ratio: 1}, audit: {file: audit.json}", "orders")
	h.produce(h.client(h.gw.Bootstrap, kgo.ClientID("shop"), kgo.SoftwareNameAndVersion("apache-kafka-java", "4.1.0")), "orders", "x", 1)
	if code, _ := h.v1("POST", "/moves", `{"topics": ["orders"], "to": "dr"}`, nil, "If-Match", "*"); code != 202 {
		t.Fatal(code)
	}
	for _, n := range h.dr.Nodes() {
		if err := h.dr.Kill(n); err != nil {
			t.Fatal(err)
		}
	}
	h.wait("the cluster to be missed", func() bool { return len(having(lines(t, log.String()), "component", "upstream", "level", "WARN")) > 0 })
	all := lines(t, log.String())
	entries := h.audited(file(filepath.Join(h.gw.Dir, "audit.json")), "the audit", func(all []line) bool { return len(having(all, "action", "start_moves")) == 1 })
	real := []line{
		having(all, "component", "upstream", "level", "WARN")[0],
		having(all, "component", "access", "api", "Produce")[0],
		having(entries, "action", "start_moves")[0],
	}
	document, err := os.ReadFile("../../core/logging/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown []line
	for i, block := range strings.Split(string(document), "```") {
		if text, ok := strings.CutPrefix(block, "json\n"); ok && i%2 == 1 {
			shown = append(shown, lines(t, text)...)
		}
	}
	if len(shown) != len(real) {
		t.Fatalf("%d lines are shown; the log:\n%s\nthe audit log:\n%s", len(shown), log, file(filepath.Join(h.gw.Dir, "audit.json"))())
	}
	for i, want := range real {
		if a, b := slices.Sorted(maps.Keys(shown[i])), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
			t.Errorf("shown:  %q\nin fact: %q", a, b)
		}
		for _, key := range []string{"level", "msg", "component", "cluster", "api", "client_id", "software", "virtual_cluster", "user", "role", "via", "action", "request", "outcome"} {
			if shown[i][key] != want[key] {
				t.Errorf("%s is shown as %v, and is %v", key, shown[i][key], want[key])
			}
		}
	}
	if t.Failed() {
		t.Logf("the log:\n%s\nthe audit log:\n%s", log, file(filepath.Join(h.gw.Dir, "audit.json"))())
	}
}
