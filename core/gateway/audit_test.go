package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/audit"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/logging"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestEveryActionHasAName: what version 1 of the API may change is not "unknown" in the audit log.
func TestEveryActionHasAName(t *testing.T) {
	b, err := os.ReadFile("../admin/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Paths map[string]map[string]any }
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	names, n := actions(), 0
	for path, methods := range doc.Paths {
		for _, m := range []string{"PUT", "POST", "DELETE", "PATCH"} {
			if methods[strings.ToLower(m)] == nil {
				continue
			}
			n++
			if _, ok := names[m+" /api/v1"+path]; !ok {
				t.Errorf("%s %s has no name", m, path)
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d found", n)
	}
}

// entries is what the audit log says of a request that h answers; serve makes it.
func entries(t *testing.T, h http.Handler, serve func(h http.Handler)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.json")
	f, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	logs := logging.New(os.Stderr, logging.Settings{})
	g := &Gateway{logs: logs, log: logs.Logger("gateway")}
	g.live.Store(&live{snap: &config.Snapshot{}, audit: newPart(audit.Open(f, g.log), nil)})
	serve(newHTTPAPI(g).audited(h))
	if err := g.now().audit.get().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAPanicIsAudited as a failure, and goes on.
func TestAPanicIsAudited(t *testing.T) {
	got := entries(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no") }), func(h http.Handler) {
		defer func() {
			if recover() == nil {
				t.Error("the panic has ended here")
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, admin.Prefix+"log/levels", nil))
	})
	if !strings.Contains(got, `"action":"set_log_levels"`) || !strings.Contains(got, `"outcome":"failed","status":500,"error":"panic: no"`) {
		t.Error(got)
	}
}

// TestARedirectIsNoAction: nothing was done, and nobody was asked who it is.
func TestARedirectIsNoAction(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /failover/run", func(http.ResponseWriter, *http.Request) { t.Error("run") })
	got := entries(t, mux, func(h http.Handler) {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "http://gateway//failover/run", nil))
	})
	if !strings.Contains(got, `"request":"POST //failover/run","outcome":"refused","status":307`) {
		t.Error(got)
	}
}

// TestAnOlderContentDoesNotComeBack: one that was seen before an edit of ours, and is told of after
// it, is not in the file any more.
func TestAnOlderContentDoesNotComeBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	port, err := kafkatest.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	source := fmt.Appendf(nil, `failover: {hold: 10s}
clusters: {prod: {bootstrap: [127.0.0.1:1], nodes: 0-0}}
virtual_clusters:
  main:
    listen: {bootstrap: 127.0.0.1:%d, brokers: {host: 127.0.0.1, ports: %d-%d}}
    chain: []
`, port, port+1, port+1)
	if err := os.WriteFile(file, source, 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := Start(t.Context(), Options{Path: file, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := g.EditFile(t.Context(), []config.Edit{{Path: []string{"failover", "hold"}, Value: "11s"}}, failover.Options{}); err != nil {
		t.Fatal(err)
	}
	ours := g.Snapshot().Revision
	if g.editedByHand(t.Context(), source); g.Snapshot().Revision != ours {
		t.Errorf("hold is %s again", g.Snapshot().Failover.Hold)
	}
	if err := os.WriteFile(file, source, 0o600); err != nil {
		t.Fatal(err)
	}
	if g.editedByHand(t.Context(), source); g.Snapshot().Revision == ours {
		t.Error("an edit by hand is not followed")
	}
}
