package house

import (
	"debug/buildinfo"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	mostShipped = 26 // modules that the gateway's own code imports
	mostDemo    = 45 // modules to download for the demo, which is what a stranger tries first
)

// built is a package that a program is made of.
type built struct {
	ImportPath string
	Imports    []string
	Standard   bool
	Module     *struct {
		Path string
		Main bool
	}
}

// builtFor lists the packages of a program.
func builtFor(t *testing.T, program string) (all []built) {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Standard,Module", program)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p built
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// direct are the modules of which our packages of a program import something, and who does.
func direct(all []built) map[string][]string {
	moduleOf, out := map[string]string{}, map[string][]string{}
	for _, p := range all {
		if p.Module != nil && !p.Module.Main {
			moduleOf[p.ImportPath] = p.Module.Path
		}
	}
	for _, p := range all {
		if p.Module == nil || !p.Module.Main {
			continue
		}
		for _, i := range p.Imports {
			if m := moduleOf[i]; m != "" {
				out[m] = append(out[m], p.ImportPath)
			}
		}
	}
	return out
}

// TestDependenciesOfTheGateway are few.
func TestDependenciesOfTheGateway(t *testing.T) {
	modules := slices.Sorted(maps.Keys(direct(builtFor(t, "./cmd/gateway"))))
	if len(modules) > mostShipped {
		t.Errorf("the gateway depends on %d modules, at most %d:\n%s", len(modules), mostShipped, strings.Join(modules, "\n"))
	}
	if least := mostShipped / 2; len(modules) < least {
		t.Errorf("only %d modules found, want at least %d", len(modules), least)
	}
}

// TestModulesOfTheDemo: what only tests need, such as clients and a Docker client, is not
// downloaded for it.
func TestModulesOfTheDemo(t *testing.T) {
	all := map[string]bool{}
	for _, p := range builtFor(t, "./examples/failover") {
		if p.Module != nil && !p.Module.Main {
			all[p.Module.Path] = true
		}
	}
	if modules := slices.Sorted(maps.Keys(all)); len(modules) > mostDemo {
		t.Errorf("the demo needs %d modules, at most %d:\n%s", len(modules), mostDemo, strings.Join(modules, "\n"))
	}
	if least := mostDemo / 2; len(all) < least {
		t.Errorf("only %d modules found, want at least %d", len(all), least)
	}
}

// TestProgramNamesItsModules: stripped as it is released, it still says what it was made from,
// which is what `make sbom` reads.
func TestProgramNamesItsModules(t *testing.T) {
	program := filepath.Join(t.TempDir(), "gateway")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmd/gateway")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, m := range info.Deps {
		sums[m.Path] = m.Sum
	}
	for _, name := range []string{"github.com/tetratelabs/wazero", "github.com/twmb/franz-go", "github.com/twmb/franz-go/pkg/kmsg", "github.com/knadh/koanf/v2"} {
		if sums[name] == "" {
			t.Errorf("%s is not named with its checksum", name)
		}
	}
}

// TestDependenciesHaveReasons compares every go.mod with the table in RATIONALE.md, both ways.
func TestDependenciesHaveReasons(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "RATIONALE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(b), "| module | why |")
	if !found {
		t.Fatal("RATIONALE.md has no table of modules")
	}
	reasons := map[string]bool{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, name := range strings.Split(cells[1], ", ") {
			reasons[strings.TrimSpace(name)] = true
		}
	}
	required := map[string]bool{}
	for _, dir := range []string{".", "testing/kafkatest/containers"} {
		for _, m := range requires(t, dir) {
			required[m] = true
			if !reasons[m] {
				t.Errorf("RATIONALE.md does not say why %s is there", m)
			}
		}
	}
	for name := range reasons {
		if strings.Contains(name, "/") && !required[name] {
			t.Errorf("RATIONALE.md says why %s is there, which it is not", name)
		}
	}
}

// requires are the direct requirements of a module of ours.
func requires(t *testing.T, dir string) (out []string) {
	t.Helper()
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = filepath.Join(root, dir)
	b, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(b, &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if !r.Indirect && r.Path+"/" != module {
			out = append(out, r.Path)
		}
	}
	return out
}
