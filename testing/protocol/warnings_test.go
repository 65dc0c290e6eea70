package protocol

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestWarningsAreTold by validate, which does not fail for them, and by a gateway that runs with
// them.
func TestWarningsAreTold(t *testing.T) {
	h := build(t, "orders")
	gateway := commandLine(t)
	// Two globs of equal weight that meet: which one wins is only the order of the alphabet.
	if err := h.gw.EditAll(func(text string) string {
		return strings.Replace(text, "            orders: {cluster: prod}\n", "            orders: {cluster: prod}\n            \"a*c\": {cluster: prod}\n            \"ac*\": {cluster: dr}\n", 1)
	}); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool { return strings.Contains(string(h.gw.Snapshot().Source), "ac*") })
	out, code := gateway("validate", h.gw.File, "--output", "json")
	all := decoded[[]struct {
		Level string
		Line  int
	}](t, out)
	about := fact.Of(t, "validate: %d %s", code, out)
	fact.Equal(about, "code", code, 0)
	if fact.Equal(about, "len(all)", len(all), 1) {
		fact.Equal(about, "all[0].Level", all[0].Level, "warning")
		fact.Other(about, "all[0].Line", all[0].Line, 0)
	}
	if _, body := h.call("GET", "/config", ""); !strings.Contains(body, `"warnings"`) || !strings.Contains(body, "ac*") {
		t.Errorf("/config: %s", body)
	}
}

// TestOneClusterUnderTwoNames: the brokers of both say the same id. Such an edit is refused with
// its place, and what runs goes on.
func TestOneClusterUnderTwoNames(t *testing.T) {
	prod := fake(t, "prod", map[string]int32{"orders": 1})
	twin, err := kafkatest.Fake("twin", 1, nil, kfake.ClusterID("fake-prod"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = twin.Close() })
	port, err := kafkatest.FreePorts(6)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("admin: {listen: 127.0.0.1:%d}\nclusters:\n  prod: {bootstrap: [%s], nodes: 0-1}\nvirtual_clusters:\n  vc:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {ports: %d-%d}}\n    chain:\n      - routing: {default: prod}\n      - topics: {}\n      - offsets: {}\n",
		port+5, strings.Join(prod.Bootstrap(), ","), port, port+1, port+4)
	gw := open(t, text)
	h := &house{t: t, ctx: t.Context(), prod: prod, gw: gw}
	gw.Admin, gw.Bootstrap = fmt.Sprintf("http://127.0.0.1:%d", port+5), fmt.Sprintf("127.0.0.1:%d", port)
	h.produce(h.client(gw.Bootstrap), "orders", "before", 3)
	if err := gw.Edit("virtual_clusters:", fmt.Sprintf("  twin: {bootstrap: [%s], nodes: 0-1}\nvirtual_clusters:", strings.Join(twin.Bootstrap(), ","))); err != nil {
		t.Fatal(err)
	}
	h.wait("the refusal", func() bool {
		_, body := h.call("GET", "/readyz", "")
		return strings.Contains(body, filepath.Base(gw.File)+":4:") && strings.Contains(body, "cluster id fake-prod")
	})
	h.produce(h.client(gw.Bootstrap), "orders", "after", 3)
	if b, err := os.ReadFile(gw.File); err != nil || !strings.Contains(string(b), "twin:") {
		t.Errorf("the file was changed: %v", err)
	}
}
