package protocol

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestAPluginsFailuresAreOfThoseWhoCauseThem: records that it panics at are refused for good, with
// its reason, and neither another topic, nor another client, nor the client's other partitions
// notice.
func TestAPluginsFailuresAreOfThoseWhoCauseThem(t *testing.T) {
	h := build(t, "orders", "other")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", filepath.Join(h.gw.Dir, "probe.wasm"), "../../plugins/wasm/testdata/probe")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := h.gw.Edit("      - routing:", "      - wasm: {file: probe.wasm, grant: [kv, http, send_request], limits: {timeout: 5m}}\n      - routing:"); err != nil {
		t.Fatal(err)
	}
	h.wait("the plugin", func() bool { return strings.Contains(string(h.gw.Snapshot().Source), "probe.wasm") })

	strange := h.client(h.gw.Bootstrap, kgo.ClientID("strange"), kgo.DisableIdempotentWrite(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	poison := func() error {
		return strange.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("poison")}).FirstErr()
	}
	for i := range 5 {
		if err := poison(); !errors.Is(err, kerr.InvalidRecord) {
			t.Errorf("poison %d: %v", i, err)
		}
	}
	h.wait("the guest to be left alone", func() bool {
		n, _ := value(h.scrape()["sluice_guest_left_alone_begun_total"], map[string]string{"guest": "probe"})
		return n == 1
	})
	good := h.client(h.gw.Bootstrap, kgo.ClientID("good"), kgo.RecordRetries(0))
	for i := range 20 {
		for _, topic := range []string{"orders", "other"} {
			if err := good.ProduceSync(h.ctx, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%d", i)}).FirstErr(); err != nil {
				t.Errorf("%s, record %d: %v", topic, i, err)
			}
		}
	}
	if err := strange.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("fine")}).FirstErr(); err != nil {
		t.Errorf("the client itself, after a while: %v", err)
	}
	if ended, _ := value(h.scrape()["sluice_guest_left_alone_ended_total"], map[string]string{"guest": "probe"}); ended != 1 {
		t.Errorf("ended %v times", ended)
	}
	if n, _ := value(h.scrape()["sluice_guest_counter_ticks_total"], map[string]string{"guest": "probe"}); n == 0 {
		t.Error("what the plugin counts is not among the metrics")
	}
}
