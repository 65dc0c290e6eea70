package protocol

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheAdminAPIIsCalledByItsOwnNames alone, on every path: a page of another site may have its
// name lead here.
func TestTheAdminAPIIsCalledByItsOwnNames(t *testing.T) {
	h := build(t, "orders")
	call := func(host, path string) int {
		req, err := http.NewRequestWithContext(h.ctx, http.MethodGet, h.gw.Admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.SetBasicAuth("none", "none")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	paths := []string{"/readyz", "/config", "/metrics", "/api/v1/status", "/console/", "/topicMappings/" + tenant}
	for _, path := range paths {
		if got := call("evil.example.com", path); got != 403 {
			t.Errorf("%s: %d", path, got)
		}
		if got := call("localhost", path); got != 200 {
			t.Errorf("%s by localhost: %d", path, got)
		}
	}
	if err := h.gw.Edit("admin: {listen:", "admin: {hosts: [Ops.example.com], listen:"); err != nil {
		t.Fatal(err)
	}
	h.wait("the name", func() bool { return call("ops.example.com", "/config") == 200 })
}

// TestWrongPasswordsAreAudited when they become many, and the right one waits like the others.
func TestWrongPasswordsAreAudited(t *testing.T) {
	h := build(t, "orders")
	if err := h.gw.Edit("state:", "telemetry: {log: {audit: {file: audit.json}}}\nstate:"); err != nil {
		t.Fatal(err)
	}
	h.wait("the audit log", func() bool { return strings.Contains(string(h.gw.Snapshot().Source), "audit.json") })
	for range 6 {
		h.call("GET", "/config", "", "none", "guess")
	}
	if got, body := h.call("GET", "/config", ""); got != 401 || !strings.Contains(body, "too many wrong passwords") {
		t.Errorf("the right password: %d %s", got, body)
	}
	h.wait("the end of the wait", func() bool { got, _ := h.call("GET", "/config", ""); return got == 200 })
	h.wait("the entry", func() bool {
		b, _ := os.ReadFile(filepath.Join(h.gw.Dir, "audit.json"))
		return strings.Contains(string(b), `"action":"lock_out"`)
	})
}

// TestReadyTellsNamesToWhoHasLoggedInAlone, and how much is wrong to everybody.
func TestReadyTellsNamesToWhoHasLoggedInAlone(t *testing.T) {
	h := build(t, "orders")
	if err := h.gw.Edit("orders: {cluster: prod", "orders: {cluster: dr"); err != nil {
		t.Fatal(err)
	}
	h.wait("a refused move", func() bool { _, body := h.call("GET", "/readyz", ""); return strings.Contains(body, "orders") })
	code, body := h.call("GET", "/readyz", "", "nobody", "guess")
	if code != 200 || !strings.Contains(body, `"open_moves": 1`) || !strings.Contains(body, `"status": "ready"`) {
		t.Errorf("without login: %d %s", code, body)
	}
	for _, name := range []string{"orders", "prod", "dr", "none"} {
		if strings.Contains(body, name) {
			t.Errorf("%q is told to everybody: %s", name, body)
		}
	}
}
