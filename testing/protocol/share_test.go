package protocol

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/plugins"
)

// TestOnePhysicalTopicHasOneHome: a topic that two virtual clusters show could be moved by one of
// them.
func TestOnePhysicalTopicHasOneHome(t *testing.T) {
	for _, c := range []struct {
		name, a, b, clusters string
		refused              bool
	}{
		{"no prefixes", `""`, `""`, "[prod, dr]", true},
		{"one prefix", `""`, "b.", "[prod, dr]", true},
		{"a prefix of the other", "team.", "team.x.", "[dr]", true},
		{"disjoint prefixes", "a.", "b.", "[prod, dr]", false},
		{"no cluster in common", `""`, `""`, "[other]", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "sluice.yaml")
			text := fmt.Sprintf(`clusters:
  prod: {bootstrap: [127.0.0.1:19092], nodes: 0-3}
  dr: {bootstrap: [127.0.0.1:29092], nodes: 0-3}
  other: {bootstrap: [127.0.0.1:39092], nodes: 0-3}
virtual_clusters:
  a:
    clusters: [prod, dr]
    listen: {bootstrap: 127.0.0.1:6969, brokers: {ports: 6970-6989}}
    chain: [routing: {default: prod}, topics: {prefix: %s}, offsets: {}]
  b:
    clusters: %s
    listen: {bootstrap: 127.0.0.1:7969, brokers: {ports: 7970-7989}}
    chain:
      - routing: {}
      - topics: {prefix: %s}
      - offsets: {}
`, c.a, c.clusters, c.b)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := gateway.Check(t.Context(), file, plugins.Builtin())
			if refused := err != nil; refused != c.refused {
				t.Fatalf("%v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), file+":14:") || !strings.Contains(err.Error(), `"a" and "b"`)) {
				t.Errorf("%v", err)
			}
		})
	}
}
