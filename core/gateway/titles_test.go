package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/wasm"
	"github.com/sluice-gateway/sluice/testing/handmade"
)

// TestTwoPluginsOfOneNameAreRefused, whatever names them: the file, or what a module says of
// itself, now or later.
func TestTwoPluginsOfOneNameAreRefused(t *testing.T) {
	r := guested(t, withGuest)
	other := filepath.Join(filepath.Dir(r.path), "other.wasm")
	is := func(name string) {
		t.Helper()
		if err := os.WriteFile(other, handmade.Guest{Name: name}.Module(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	with := func(section string) string {
		return strings.Replace(withGuest, "{wasm: {file: guest.wasm}}", "{wasm: {file: guest.wasm}}, {wasm: "+section+"}", 1)
	}
	is("guest")
	for _, section := range []string{"{file: other.wasm}", "{file: guest.wasm, topics: [x]}", "{file: guest.wasm, name: guest}"} {
		err := r.apply(with(section))
		if err == nil || !strings.Contains(err.Error(), `another plugin of this chain is called "guest"`) || !strings.Contains(err.Error(), ".yaml:5:") {
			t.Errorf("%s: %v", section, err)
		}
	}
	if err := r.apply(with("{file: other.wasm, name: mine}")); err != nil {
		t.Errorf("with names: %v", err)
	}
	is("other")
	if err := r.apply(with("{file: other.wasm}")); err != nil {
		t.Fatal(err)
	}
	is("guest")
	r.look()
	named := func() string { return (operator{r.Gateway}).Plugins()[1].Status.(wasm.Status).Name }
	if named() != "other" {
		t.Error("a version that calls itself like another plugin is in force")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path, r.file(with("{file: other.wasm}")), 0o600); err != nil {
		t.Fatal(err)
	}
	r.open() // serves, whatever has happened meanwhile
	if named() != "guest" {
		t.Error("this test does not test what it is to")
	}
	if err := r.apply(with("{file: other.wasm, topics: [x]}")); err == nil {
		t.Error("an edit makes two of one name")
	}
	is("other")
	if err := r.apply(with("{file: other.wasm, topics: [x]}")); err != nil || named() != "other" {
		t.Errorf("with a name of its own: %q, %v", named(), err)
	}
}
