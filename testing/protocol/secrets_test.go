package protocol

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestValuesFromOutsideAreNotReferences: nobody who may edit by HTTP reads files or the environment
// of the gateway by it, now or when the file is read the next time.
func TestValuesFromOutsideAreNotReferences(t *testing.T) {
	h := build(t, "orders")
	secret := filepath.Join(h.gw.Dir, "secret")
	if err := os.WriteFile(secret, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := h.file()
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/topicMappings/" + tenant + "/orders", `{"clusterId": "dr", "topicName": "${file:` + secret + `}"}`},
		{"PUT", "/topicMappings/" + tenant + "/orders", `{"clusterId": "prod", "topicName": "x-${env:HOME}"}`},
		{"PUT", "/topicMappings/" + tenant + "/%24%7Benv:HOME%7D", `{"clusterId": "dr"}`},
		{"PUT", "/topicMappings/" + tenant + "/other", `{"clusterId": "dr", "topicName": "${later"}`},
	} {
		status, body := h.call(c.method, c.path, c.body)
		if status != 400 || strings.Contains(body, "s3cret") {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, status, body)
		}
	}
	if h.file() != before {
		t.Errorf("the file has changed:\n%s", h.file())
	}
	if _, config := h.call("GET", "/config", ""); strings.Contains(config, "s3cret") {
		t.Errorf("shown: %s", config)
	}
}

// TestNoErrorShowsASecret: /readyz needs no login.
func TestNoErrorShowsASecret(t *testing.T) {
	h := build(t, "orders")
	if err := os.WriteFile(filepath.Join(h.gw.Dir, "secret"), []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Edit("state:", "limits: {connections: \"${file:secret}\"}\nstate:"); err != nil {
		t.Fatal(err)
	}
	var ready string
	h.wait("the error", func() bool { _, ready = h.call("GET", "/readyz", ""); return strings.Contains(ready, "connections") })
	for _, path := range []string{"/readyz", "/config", "/api/v1/config", "/api/v1/status"} {
		if _, body := h.call("GET", path, ""); strings.Contains(body, "s3cret") {
			t.Errorf("%s shows it: %s", path, body)
		}
	}
}
