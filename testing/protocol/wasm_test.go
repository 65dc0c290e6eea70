package protocol

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestAGuestNamedInTheFile adds a header to every record on its way, from the edit on and through a
// move; a guest that can't be loaded changes nothing.
func TestAGuestNamedInTheFile(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap, kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	h.produce(p, "orders", "before", 2)

	if err := h.gw.Edit("      - routing:", "      - wasm: {file: header.wasm, limits: {timeout: 5m}, config: {key: via, value: sluice}}\n      - routing:"); err != nil {
		t.Fatal(err)
	}
	h.wait("the error", func() bool { _, b := h.call("GET", "/config", ""); return strings.Contains(b, "no such file") })
	h.produce(p, "orders", "still", 2)

	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", filepath.Join(h.gw.Dir, "header.wasm"), "../../sdk/examples/header")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := h.gw.Edit("value: sluice}}", "value: sluice}} # now it is there"); err != nil {
		t.Fatal(err)
	}
	h.wait("the guest", func() bool { return strings.Contains(string(h.gw.Snapshot().Source), "now it is there") })
	h.produce(p, "orders", "with", 2)
	h.copier(kafkatest.Faults{}, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	h.produce(p, "orders", "after", 2)
	for i, r := range h.read(h.gw.Bootstrap, "orders", 0, 8) {
		want := "[]"
		if i >= 4 {
			want = "[{via [115 108 117 105 99 101]}]"
		}
		if got := fmt.Sprint(r.Headers); got != want {
			t.Errorf("%s has the headers %s", r.Value, got)
		}
	}
	h.swaps(p)
}

// swaps changes the module's file while a producer goes on: another build of the same plugin, one
// that is none, and one of its configuration.
func (h *house) swaps(p *kgo.Client) {
	h.t.Helper()
	digest := func() string {
		_, b := h.call("GET", "/plugins", "")
		_, b, _ = strings.Cut(b, `"sha256": "`)
		d, _, _ := strings.Cut(b, `"`)
		return d
	}
	measured := func(name string) float64 {
		v, _ := value(h.scrape()["sluice_guest_"+name+"_total"], map[string]string{"guest": "header"})
		return v
	}
	before, calls := digest(), measured("calls")
	if calls < 4 || measured("swaps") != 0 {
		h.t.Errorf("%v calls, %v swaps", calls, measured("swaps"))
	}
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", filepath.Join(h.gw.Dir, "next.wasm"), "../../sdk/examples/header")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(h.gw.Dir, "next.wasm"), filepath.Join(h.gw.Dir, "header.wasm")); err != nil {
		h.t.Fatal(err)
	}
	h.wait("the next version", func() bool { h.produce(p, "orders", "swap", 1); return digest() != before })
	after := digest()
	h.wait("the end of the version before", func() bool { return measured("swaps") == 1 })
	if more := measured("calls"); more <= calls || measured("failed_swaps") != 0 {
		h.t.Errorf("%v calls, %v failed swaps", more, measured("failed_swaps"))
	}
	if err := os.WriteFile(filepath.Join(h.gw.Dir, "header.wasm"), []byte("no module"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.wait("the refusal", func() bool { _, b := h.call("GET", "/config", ""); return strings.Contains(b, "not a WASM module") })
	h.produce(p, "orders", "refused", 1)
	if digest() != after || measured("swaps") != 1 || measured("failed_swaps") == 0 {
		h.t.Errorf("the version before is not in force, or the refusal is not counted: %v swaps, %v failed", measured("swaps"), measured("failed_swaps"))
	}
}
