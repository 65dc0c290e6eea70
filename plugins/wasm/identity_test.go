package wasm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/wasm/host"
	"github.com/sluice-gateway/sluice/plugins/wasm/share"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/handmade"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// TestWhatAModuleCallsItselfGivesItNothing: store and metrics are the section's, by its name or
// where its module comes from.
func TestWhatAModuleCallsItselfGivesItNothing(t *testing.T) {
	dir := t.TempDir()
	for i, file := range []string{"tokens", "stranger"} {
		m := handmade.Guest{Name: "tokens", Version: fmt.Sprint(i)}.Module()
		if err := os.WriteFile(filepath.Join(dir, file), m, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spec, env := Spec(), plugintest.Env(t, plugintest.NewCluster("prod", 0, 1))
	open := func(file, more string) *host.Guest {
		t.Helper()
		i, err := spec.New(t.Context(), env, plugintest.Section(t, fmt.Sprintf("{file: %q%s}", filepath.Join(dir, file), more)))
		if err != nil {
			t.Fatal(err)
		}
		w := i.(*Wasm)
		t.Cleanup(func() { _ = w.Close() })
		return w.Guest()
	}
	tokens := open("tokens", "")
	for what, g := range map[string]*host.Guest{
		"a stranger":           open("stranger", ""),
		"one with a name":      open("stranger", ", name: tokens"),
		"the same, with one":   open("tokens", ", name: other"),
		"a name like a file's": open("stranger", fmt.Sprintf(", name: %q", filepath.Join(dir, "tokens"))),
	} {
		if g.Store == tokens.Store || g.Metrics == tokens.Metrics {
			t.Errorf("%s has the store of tokens", what)
		}
	}
	if g := open("tokens", ", limits: {kv: 1KiB}"); g.Store != tokens.Store || g.Metrics != tokens.Metrics {
		t.Error("another edit of the section has a store of its own")
	} else if code := g.Store.Set([]byte("k"), make([]byte, 2000), 0); code != abi.ErrTooLarge {
		t.Errorf("its limit is not in force: %d", code)
	}
	if open("tokens", ", name: x").Store != open("stranger", ", name: x").Store {
		t.Error("another file under the same name has a store of its own")
	}
	one := asked{cfg: Config{Image: "registry/x@sha256:1"}, source: share.Source{What: "registry/x@sha256:1"}}
	two := asked{cfg: Config{Image: "registry/x@sha256:2"}, source: share.Source{What: "registry/x@sha256:2"}}
	if one.identity() != two.identity() {
		t.Error("another version of an image has a store of its own")
	}
}
