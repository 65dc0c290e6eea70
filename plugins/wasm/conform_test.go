package wasm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sluice-gateway/sluice/sdk/examples/mask/mask"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// TestEveryExampleConforms, in every language, with the configuration of its cases, and mask compiled in as well.
func TestEveryExampleConforms(t *testing.T) {
	all, err := filepath.Glob("../../sdk/examples/*/cases.yaml")
	if err != nil || len(all) < 12 {
		t.Fatalf("%d examples, %v", len(all), err)
	}
	for _, path := range all {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			settings := configOf(t, path)
			w, err := build(t, fmt.Sprintf("{file: %q, grant: [kv, http, send_request], produce_drop: tombstone%s}", exampleGuest(t, dir), settings))
			if err != nil {
				t.Fatal(err)
			}
			plugintest.Conform(t, w, "orders")
			if filepath.Base(dir) == "mask" {
				plugintest.Conform(t, compiledFrom(t, "mask", mask.New, "{produce_drop: tombstone"+settings+"}"), "orders")
			}
		})
	}
}

// configOf is the configuration of a file of cases, as a part of a section.
func configOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Config yaml.Node `yaml:"config"`
	}
	if err := yaml.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	if c.Config.IsZero() {
		return ""
	}
	flow(&c.Config)
	text, err := yaml.Marshal(&c.Config)
	if err != nil {
		t.Fatal(err)
	}
	return ", config: " + string(text[:len(text)-1])
}

// flow makes a node one that stands in one line.
func flow(n *yaml.Node) {
	n.Style |= yaml.FlowStyle
	n.LineComment = ""
	for _, c := range n.Content {
		flow(c)
	}
}

// exampleGuest builds an example in its language.
func exampleGuest(t *testing.T, dir string) string {
	t.Helper()
	switch filepath.Base(dir) {
	case "c-header":
		return languages["c"].header(t)
	case "rust-header":
		return languages["rust"].header(t)
	case "rust-mask":
		return rustGuest(t, dir)
	}
	return guest(t, dir)
}
