package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/core/admin"
)

// TestTablesAreOfPlainText: what clients call themselves neither steers the terminal nor breaks the
// table.
func TestTablesAreOfPlainText(t *testing.T) {
	r := rates{
		APIs: []apiRate{{VirtualCluster: "shop", API: "Produce", P50: 410593 * time.Nanosecond}},
		Clients: []clientRate{
			{Client: admin.Client{ClientID: "\x1b]0;mine\x07\x1b[31m", Software: "a\tb", SoftwareVersion: "\r\n1"}},
			{Client: admin.Client{ClientID: strings.Repeat("long", 50)}},
			{Client: admin.Client{ClientID: "kasse-äöü"}},
			{Client: admin.Client{}},
		},
	}
	var b strings.Builder
	if err := r.write(&b, admin.Status{Started: time.Now()}, 10); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	if strings.ContainsAny(out, "\x1b\x07\r\t") {
		t.Errorf("it steers the terminal: %q", out)
	}
	if !strings.Contains(out, " 410.6µs ") {
		t.Errorf("durations are not rounded:\n%s", out)
	}
	lines := strings.Split(strings.TrimSpace(out[strings.Index(out, "CLIENT"):]), "\n")
	if len(lines) != 1+len(r.Clients) {
		t.Fatalf("%d lines of clients:\n%s", len(lines), out)
	}
	for i, want := range []string{`\x1b]0;mine\a\x1b[31m a\tb \r\n1 `, strings.Repeat("long", 11) + "lon… ", "kasse-äöü ", "- "} {
		if got := strings.Join(strings.Fields(lines[i+1]), " "); !strings.HasPrefix(got, want) {
			t.Errorf("%q does not begin with %q", got, want)
		}
	}
}
