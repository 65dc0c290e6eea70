// Package house holds tests about the code itself: who imports whom, how large files may get, and
// that what the documents show is true.
package house

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/gateway"
	"github.com/sluice-gateway/sluice/plugins"
)

const (
	root   = "../.."
	module = "github.com/sluice-gateway/sluice/"
)

// may lists what a package of ours may import of ours; a trailing slash stands for a tree. A
// package that is not listed fails the test: say where it stands.
var may = map[string][]string{
	"core/guard":            {}, // which anyone may import
	"core/kafka":            {},
	"core/config":           {},
	"core/trust":            {},
	"core/door":             {"core/config", "core/kafka", "core/plugin", "core/trust"},
	"core/telemetry":        {"core/trust"},
	"core/catalog":          {},
	"core/align":            {},
	"core/telemetry/otlp":   {"core/telemetry"},
	"core/wire":             {"core/kafka"},
	"core/logging":          {"core/telemetry"},
	"core/audit":            {"core/chain", "core/kafka", "core/plugin"},
	"core/state":            {"core/catalog"},
	"core/internal/turn":    {},
	"core/gate":             {"core/telemetry"},
	"core/fork":             {"core/plugin", "core/kafka"},
	"core/chain":            {"core/gate", "core/internal/turn", "core/kafka", "core/plugin", "core/telemetry"},
	"core/groups":           {"core/catalog", "core/gate"},
	"core/mirror":           {"core/catalog", "core/groups", "core/plugin", "core/positions"},
	"core/plugin":           {"core/gate", "core/groups", "core/internal/turn", "core/kafka", "core/config", "core/catalog", "core/telemetry"},
	"core/server":           {"core/chain", "core/gate", "core/plugin", "core/kafka", "core/config", "core/wire", "core/telemetry"},
	"core/upstream":         {"core/chain", "core/fork", "core/gate", "core/internal/turn", "core/plugin", "core/kafka", "core/config", "core/catalog", "core/door", "core/wire", "core/telemetry"},
	"core/block":            {"core/plugin"},
	"core/joint":            {"core/plugin"},
	"core/positions":        {"core/kafka", "core/plugin"},
	"core/copies":           {"core/align", "core/block", "core/catalog", "core/config", "core/joint", "core/kafka", "core/plugin"},
	"core/standing":         {"core/block", "core/catalog", "core/config", "core/copies", "core/groups", "core/joint", "core/kafka", "core/plugin", "core/positions"},
	"core/fence":            {},
	"core/failover":         {"core/block", "core/catalog", "core/config", "core/copies", "core/fence", "core/gate", "core/groups", "core/joint", "core/kafka", "core/mirror", "core/plugin", "core/positions", "core/telemetry"},
	"core/plan":             {"core/block", "core/catalog", "core/copies", "core/failover", "core/plugin", "core/standing"},
	"core/admin":            {"core/audit", "core/config", "core/failover", "core/plan", "core/standing", "core/telemetry"},
	"core/console":          {"core/admin", "core/audit", "core/config", "core/failover", "core/plan", "core/telemetry"},
	"core/doctor":           {"core/chain", "core/config", "core/catalog", "core/copies", "core/kafka", "core/plugin", "core/upstream", "core/wire"},
	"core/gateway":          {"core/"},
	"plugins":               {"core/plugin", "plugins/"},
	"plugins/":              {"core/chain", "core/fork", "core/gate", "core/groups", "core/plugin", "core/kafka", "core/config", "core/catalog", "core/telemetry"},
	"plugins/wasm":          {"core/config", "core/fork", "core/kafka", "core/plugin", "core/telemetry", "sdk", "sdk/abi", "plugins/wasm/blocks", "plugins/wasm/breaker", "plugins/wasm/host", "plugins/wasm/kept", "plugins/wasm/manifest", "plugins/wasm/share", "plugins/wasm/source"},
	"plugins/wasm/blocks":   {"core/plugin", "core/kafka", "sdk/abi"},
	"plugins/wasm/manifest": {"core/kafka", "sdk/abi"},
	"plugins/wasm/breaker":  {},
	"plugins/wasm/kept":     {"core/plugin", "core/telemetry", "sdk/abi"},
	"plugins/wasm/cache":    {},
	"plugins/wasm/source":   {"plugins/wasm/cache", "plugins/wasm/meter"},
	"plugins/wasm/host":     {"core/kafka", "core/plugin", "core/telemetry", "sdk", "sdk/abi", "plugins/wasm/blocks", "plugins/wasm/breaker", "plugins/wasm/cache", "plugins/wasm/kept", "plugins/wasm/manifest", "plugins/wasm/meter"},
	"plugins/wasm/share":    {"core/plugin", "plugins/wasm/host", "plugins/wasm/kept", "plugins/wasm/manifest"},
	"plugins/wasm/meter":    {},
	"sdk":                   {"sdk/abi"},
	"sdk/abi":               {},
	"sdk/sdktest":           {"sdk", "sdk/abi"},
	"sdk/examples/":         {"sdk", "sdk/sdktest", "sdk/examples/internal/", "sdk/examples/mask/mask"},
	"cmd/gateway":           {"cmd/gateway/cli", "plugins"},
	"configs":               {},
	"cmd/gateway/cli":       {"configs", "core/", "cmd/gateway/workbench"},
	"cmd/gateway/workbench": {"core/chain", "plugins/wasm", "plugins/wasm/blocks", "plugins/wasm/host", "plugins/wasm/kept", "plugins/wasm/manifest", "core/admin", "core/kafka", "core/plugin", "sdk", "sdk/abi"},
	"testing/":              {"cmd/gateway/cli", "core/", "plugins", "plugins/", "testing/", "sdk", "sdk/"},
	"examples/":             {"core/", "testing/"},
}

// only lists modules that few packages may import.
var only = map[string][]string{
	"github.com/knadh/koanf":             {"core/config"},
	"gopkg.in/yaml.v3":                   {"core/config", "cmd/gateway/workbench"}, // files of configuration, and of cases
	"github.com/tetratelabs/wazero":      {"plugins/wasm/host"},
	"go.opentelemetry.io/otel/sdk":       {"core/telemetry", "core/telemetry/otlp"},
	"go.opentelemetry.io/otel/exporters": {"core/telemetry/otlp"},
	"github.com/twmb/franz-go/pkg/kfake": {"testing/", "examples/"},
	"github.com/twmb/franz-go/pkg/kadm":  {"testing/", "examples/"},
	"github.com/IBM/sarama":              {"testing/clients/sarama"},
	"github.com/chromedp":                {"testing/"},
	"github.com/confluentinc":            {"testing/clients/rdkafka"},
	"google.golang.org/grpc":             {"core/telemetry/otlp", "testing/"}, // receivers of tests
	"go.etcd.io/bbolt":                   {"core/state"},
	"github.com/fsnotify/fsnotify":       {"core/config"},
	"github.com/spf13/cobra":             {"cmd/gateway/cli"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func allows(list []string, name string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		return a == name || (strings.HasSuffix(a, "/") && strings.HasPrefix(name, a))
	})
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		list, ok := may[name]
		for dir := name; !ok && strings.Contains(dir, "/"); {
			dir = dir[:strings.LastIndex(dir, "/")]
			list, ok = may[dir+"/"]
		}
		if !ok {
			t.Errorf("%s has no rule here: which of our packages may it import?", name)
			continue
		}
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, module); ok && own != "core/guard" && !allows(list, own) {
				t.Errorf("%s imports %s", name, own)
			}
			for prefix, who := range only {
				if strings.HasPrefix(i, prefix) && !allows(who, name) {
					t.Errorf("%s imports %s, which belongs to %v", name, i, who)
				}
			}
		}
	}
}

// TestDemoNeedsGoAlone builds the demo without a C compiler.
func TestDemoNeedsGoAlone(t *testing.T) {
	cmd := exec.Command("go", "build", "-o", filepath.Join(t.TempDir(), "demo"), "./examples/failover")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestBudgets keeps files small.
func TestBudgets(t *testing.T) {
	var sizes []int
	each(t, ".go", func(path string, b []byte) {
		n := strings.Count(string(b), "\n")
		limit := 500
		if path == "cmd/gateway/main.go" {
			limit = 60
		}
		if n > limit {
			t.Errorf("%s has %d lines, at most %d", path, n, limit)
		}
		sizes = append(sizes, n)
	})
	slices.Sort(sizes)
	if m := sizes[len(sizes)/2]; m > 130 {
		t.Errorf("the median file has %d lines, at most 130", m)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if n := strings.Count(string(readme), "\n"); err != nil || n > 150 {
		t.Errorf("README.md has %d lines, at most 150: what is not for the first ten minutes belongs beside its subject (%v)", n, err)
	}
}

// unguarded starts a goroutine of which a panic ends the process, or can.
var unguarded = regexp.MustCompile(`(?m)^\s*go (func\b|[\w.]+\()|sync\.WaitGroup|time\.AfterFunc`)

// TestGoroutinesAreGuarded: what strangers send must not end the process, whichever goroutine looks
// at it.
func TestGoroutinesAreGuarded(t *testing.T) {
	n := 0
	each(t, ".go", func(path string, b []byte) {
		ours := strings.HasPrefix(path, "core/") || strings.HasPrefix(path, "plugins/") || strings.HasPrefix(path, "cmd/")
		test := strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/testdata/")
		if !ours || test || strings.HasPrefix(path, "core/guard/") {
			return
		}
		n++
		if found := unguarded.Find(b); found != nil {
			t.Errorf("%s has %q: let core/guard start goroutines", path, strings.TrimSpace(string(found)))
		}
	})
	if n < 100 {
		t.Errorf("only %d files found", n)
	}
}

var reads = regexp.MustCompile(`\.(Unsafe)?ReadFrom\b`)

// TestOnePlaceDecodes: kmsg believes the counts in a message, so that nothing may hand it bytes but
// core/kafka, which walks them first.
func TestOnePlaceDecodes(t *testing.T) {
	found := false
	each(t, ".go", func(path string, b []byte) {
		if strings.HasSuffix(path, "_test.go") || !reads.Match(b) {
			return
		}
		switch {
		case path == "core/kafka/body.go":
			found = true
		case strings.HasPrefix(path, "core/"), strings.HasPrefix(path, "plugins/"), strings.HasPrefix(path, "cmd/"):
			t.Errorf("%s decodes a message: let a body of core/kafka do it", path)
		}
	})
	if !found {
		t.Error("core/kafka/body.go decodes nothing")
	}
}

var block = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestYAMLInDocuments loads every YAML block of every document, and the files of configs: what a
// reader copies must work. Blocks that are parts of a file begin with "# part".
func TestYAMLInDocuments(t *testing.T) {
	n := 0
	load := func(where string, text []byte) {
		n++
		file := filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		snap, err := config.Load(file)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			return
		}
		if _, err := gateway.Check(t.Context(), snap.Path, plugins.Builtin()); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	each(t, ".md", func(path string, b []byte) {
		for _, m := range block.FindAllSubmatch(b, -1) {
			if !strings.HasPrefix(string(m[1]), "# part") {
				load(path, m[1])
			}
		}
	})
	files, err := filepath.Glob(filepath.Join(root, "configs", "*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("configs: %v %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		load(f, b)
	}
	if n < 5 {
		t.Errorf("only %d files and blocks found", n)
	}
}

// TestReferenceIsComplete fails when a field of the configuration is missing in reference.yaml.
func TestReferenceIsComplete(t *testing.T) {
	ref, err := os.ReadFile(filepath.Join(root, "configs/reference.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tag := regexp.MustCompile("`koanf:\"([a-z_]+)\"")
	fields := 0
	each(t, ".go", func(path string, b []byte) {
		if !strings.HasPrefix(path, "core/config/") && !strings.HasPrefix(path, "plugins/") {
			return
		}
		for _, m := range tag.FindAllSubmatch(b, -1) {
			fields++
			if !regexp.MustCompile(`(?m)[\s{]` + string(m[1]) + `:`).Match(ref) {
				t.Errorf("%s has the field %s, which configs/reference.yaml does not show", path, m[1])
			}
		}
	})
	if fields < 40 {
		t.Errorf("only %d fields found", fields)
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// TestLinksInDocuments fails on links to files that don't exist.
func TestLinksInDocuments(t *testing.T) {
	each(t, ".md", func(path string, b []byte) {
		for _, m := range link.FindAllSubmatch(b, -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(path), string(m[1]))); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			}
		}
	})
}

// TestPluginsHaveOneShape looks for the files that every plugin has.
func TestPluginsHaveOneShape(t *testing.T) {
	dirs, err := os.ReadDir(filepath.Join(root, "plugins"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		for _, f := range []string{"README.md", d.Name() + ".go", d.Name() + "_test.go"} {
			if _, err := os.Stat(filepath.Join(root, "plugins", d.Name(), f)); err != nil {
				t.Errorf("plugins/%s has no %s", d.Name(), f)
			}
		}
	}
}

// each calls f for every file of ours with an extension.
func each(t *testing.T, ext string, f func(path string, b []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name != ".." && strings.HasPrefix(name, ".") || name == "node_modules" || name == "target" {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ext {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		f(filepath.ToSlash(rel), b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
