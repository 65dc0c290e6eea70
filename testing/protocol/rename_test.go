package protocol

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestAClusterGetsAnotherName, by an alias or since its brokers say that they are the same: clients
// notice nothing, groups keep their positions, and topics move under the new name, also after a
// restart.
func TestAClusterGetsAnotherName(t *testing.T) {
	for name, section := range map[string]string{"by an alias": "production: {aliases: [prod], ", "by its id": "production: {"} {
		t.Run(name, func(t *testing.T) {
			h := build(t, "orders")
			p := h.client(h.gw.Bootstrap)
			h.produce(p, "orders", "before", 5)
			h.commit("orders", "g", 3)
			rename := strings.NewReplacer("  prod: {", "  "+section, "default: prod", "default: production", "cluster: prod}", "cluster: production}")
			if err := os.WriteFile(h.gw.File, []byte(rename.Replace(h.file())), 0o600); err != nil {
				t.Fatal(err)
			}
			h.wait("the other name", func() bool {
				_, body := h.call("GET", "/config", "")
				return strings.Contains(body, `"default": "production"`)
			})
			if _, body := h.call("GET", "/readyz", ""); strings.Contains(body, "config_error") {
				t.Fatal(body)
			}
			h.produce(p, "orders", "after", 5)
			if err := h.gw.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := h.gw.Restart(h.ctx); err != nil {
				t.Fatal(err)
			}
			if at := h.produce(p, "orders", "again", 5); at[0] != 10 {
				t.Errorf("after a restart from offset %d", at[0])
			}
			h.commit("orders", "g", 4)
			h.copier(kafkatest.Faults{}, "orders")
			if code, body := h.call("PUT", "/topicMappings/"+tenant+"/orders", `{"clusterId": "dr"}`); code != 200 {
				t.Fatalf("%d %s", code, body)
			}
			h.produce(p, "orders", "on dr", 5)
			if code, body := h.call("POST", "/failover/plan", `{"topics": ["orders"], "to": "production"}`); code != 200 {
				t.Errorf("%d %s", code, body)
			}
		})
	}
}
