package gateway

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/plugins/wasm"
	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/handmade"
)

// TestASwapIsToldAndAudited with both versions, by the file and by the API; one that is refused is
// in GET /plugins.
func TestASwapIsToldAndAudited(t *testing.T) {
	log := filepath.Join(t.TempDir(), "audit.json")
	var lines bytes.Buffer
	module := func(version string) []byte { return handmade.Guest{Name: "guest", Version: version}.Module() }
	r := writeReloading(t, withGuest+"telemetry: {log: {audit: {file: "+log+"}}}\n")
	r.module(module("1"))
	r.log = slog.NewTextHandler(&lines, nil)
	r.start(wasm.Spec())
	status := func() wasm.Status { return (operator{r.Gateway}).Plugins()[0].Status.(wasm.Status) }

	r.look()
	r.module(module("2"))
	r.look()
	swap := `"swaps":[{"virtual_cluster":"a","plugin":"guest","before":{"version":"1","sha256":"` + host.Digest(module("1")) + `"},"after":{"version":"2","sha256":"` + host.Digest(module("2")) + `"}}]`
	if !eventually.True(func() bool {
		b, _ := os.ReadFile(log)
		return strings.Contains(string(b), swap) && strings.Count(string(b), `"swaps"`) == 1
	}) {
		b, _ := os.ReadFile(log)
		t.Errorf("the audit log has no %s: %s", swap, b)
	}
	if said := "plugin=guest version=2 sha256=" + host.Digest(module("2")) + " version_before=1 sha256_before=" + host.Digest(module("1")); strings.Count(lines.String(), said) != 1 {
		t.Errorf("the log does not say %q once: %s", said, lines.String())
	}
	if s := status(); s.SwapError != "" {
		t.Errorf("%+v", s)
	}
	r.module([]byte("no module"))
	r.look()
	if s := status(); s.Version != "2" || !strings.Contains(s.SwapError, "not a WASM module") {
		t.Errorf("%+v", s)
	}
	r.module(module("3"))
	r.look()
	if s := status(); s.Version != "3" || s.SwapError != "" {
		t.Errorf("%+v", s)
	}
}

// echo refuses a configuration with what stands in it.
type echo struct{}

func (echo) Configure(b []byte) error {
	if strings.Contains(string(b), "fine") {
		return nil
	}
	return fmt.Errorf("not with %s", b)
}

// TestTheErrorOfASwapShowsNoSecret of the edit that was refused.
func TestTheErrorOfASwapShowsNoSecret(t *testing.T) {
	source := strings.Replace(withGuest, "{wasm: {file: guest.wasm}}", "{echo: {config: {token: fine}}}", 1)
	r := writeReloading(t, source)
	if err := os.WriteFile(filepath.Join(filepath.Dir(r.path), "secret"), []byte("hunter2hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(wasm.Compiled("echo", func() *sdk.Guest { return sdk.New("echo", echo{}) }))
	next := r.file(strings.Replace(source, "token: fine", `token: "${file:secret}"`, 1))
	if err := os.WriteFile(r.path, next, 0o600); err != nil {
		t.Fatal(err)
	}
	snap, err := config.Load(r.path)
	if err != nil {
		t.Fatal(err)
	}
	ready, err := r.prepare(t.Context(), snap, false)
	ready.close()
	if err == nil {
		t.Fatal("it is prepared")
	}
	if s := (operator{r.Gateway}).Plugins()[0].Status.(wasm.Status); !strings.Contains(s.SwapError, "not with") || strings.Contains(s.SwapError, "hunter2") {
		t.Errorf("%q", s.SwapError)
	}
}
