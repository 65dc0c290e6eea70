package workbench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/wasm"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// project makes and builds a project.
func project(t *testing.T, language string) (dir, file string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "my-plugin")
	if err := New(dir, language, "my-plugin"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "off") // an author may have no network
	file, err := Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// TestFromNothingToAPlugin: a new project builds without a network, passes its own tests and cases,
// says what it is, and stays within a budget.
func TestFromNothingToAPlugin(t *testing.T) {
	dir, file := project(t, "go")
	cmd := exec.Command("go", "test", "./...")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go test: %v\n%s", err, out)
	}
	cases, err := LoadCases(filepath.Join(dir, "cases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	outcomes, err := Test(t.Context(), file, cases, false, nil)
	if err != nil || len(outcomes) != 2 {
		t.Fatalf("%v, %d cases", err, len(outcomes))
	}
	for _, o := range outcomes {
		if o.Diff != "" {
			t.Errorf("%s: %s", o.Case.Name, o.Diff)
		}
	}
	i, err := Inspect(t.Context(), file)
	about := fact.Of(t, "%v, %+v", err, i)
	if fact.NoError(about, err) {
		fact.Equal(about, "i.Manifest.Name", i.Manifest.Name, "my-plugin")
		fact.True(about, `i.Manifest.Has("produce")`, i.Manifest.Has("produce"))
		fact.Other(about, "i.Instance", i.Instance, 0)
		fact.Other(about, "i.Bytes", i.Bytes, 0)
	}
	b, err := Open(t.Context(), file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.Measure(t.Context(), Load{Topic: "t", Records: 100, Size: 200, Total: 10_000})
	about = fact.Of(t, "%v, %+v", err, m)
	if fact.NoError(about, err) {
		fact.Equal(about, "m.Records", m.Records, 10_000)
		fact.Above(about, "m.PerRecord", m.PerRecord, 0)
		fact.Above(about, "m.Guest", m.Guest, 0)
		fact.AtMost(about, "m.Guest", m.Guest, m.PerRecord)
		fact.AtLeast(about, "m.P99", m.P99, m.P50)
		fact.AtMost(about, "m.Memory", m.Memory, 16<<20)
		fact.Equal(about, "m.Failures", m.Failures, 0)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestOtherLanguages: a new project in Rust or C builds, passes its cases and says what it is.
func TestOtherLanguages(t *testing.T) {
	for language, needs := range map[string][]string{"rust": {"cargo"}, "c": {"clang", "wasm-ld"}} {
		t.Run(language, func(t *testing.T) {
			kafkatest.Require(t, needs...)
			dir, file := project(t, language)
			cases, err := LoadCases(filepath.Join(dir, "cases.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			outcomes, err := Test(t.Context(), file, cases, false, nil)
			if err != nil || len(outcomes) != 2 {
				t.Fatalf("%v, %d cases", err, len(outcomes))
			}
			for _, o := range outcomes {
				if o.Diff != "" {
					t.Errorf("%s: %s", o.Case.Name, o.Diff)
				}
			}
			i, err := Inspect(t.Context(), file)
			if err != nil || i.Manifest.Name != "my-plugin" || i.Bytes > 200_000 {
				t.Errorf("%v, %+v", err, i)
			}
		})
	}
}

// TestRustMayUseSIMD: the compiler does not by itself.
func TestRustMayUseSIMD(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fast")
	if err := New(dir, "rust", "fast"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, ".cargo", "config.toml"))
	if want := "target-feature=+simd128"; err != nil || !strings.Contains(string(b), want) {
		t.Errorf("%v: %q, want %s in it", err, b, want)
	}
}

// TestCasesThatFail say what is different, and -update makes them pass.
func TestCasesThatFail(t *testing.T) {
	_, file := project(t, "go")
	path := filepath.Join(t.TempDir(), "cases.yaml")
	if err := os.WriteFile(path, []byte(`
config: {header: via, value: sluice}
cases:
  - name: wrong value
    kind: produce
    records: [{topic: t, key: k, value: v}]
    expect: {records: [{key: k, value: w, headers: {via: sluice}}]}
  - name: wrong header
    kind: produce
    records: [{topic: t, value: {hex: "00ff"}}, {topic: t, partition: 1, value: null, headers: {a: null, a: x}}]
    expect: {records: [{value: {base64: "AP8="}, headers: {via: other}}, {}]}
  - name: refused
    kind: fetch
    records: [{topic: t, value: v}]
    expect: {refused: {code: 29}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cases, err := LoadCases(path)
	if err != nil {
		t.Fatal(err)
	}
	outcomes, err := Test(t.Context(), file, cases, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{`value: got "v", want "w"`, `headers: got {via: "sluice"}, want {via: "other"}`, `refused: got nothing, want 29`} {
		if !strings.Contains(outcomes[i].Diff, want) {
			t.Errorf("%s: %q, want %q", outcomes[i].Case.Name, outcomes[i].Diff, want)
		}
	}
	if _, err := Test(t.Context(), file, cases, true, nil); err != nil {
		t.Fatal(err)
	}
	if err := cases.Save(path); err != nil {
		t.Fatal(err)
	}
	if cases, err = LoadCases(path); err != nil {
		t.Fatal(err)
	}
	outcomes, err = Test(t.Context(), file, cases, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if o.Diff != "" {
			t.Errorf("after the update: %s: %s", o.Case.Name, o.Diff)
		}
	}
}

// TestMistakes are said so that they can be mended.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a folder that is there": {New(dir, "go", "x"), "is there already"},
		"a bad name":             {New(filepath.Join(dir, "x"), "go", "X y"), "a name begins with"},
		"no such language":       {New(filepath.Join(dir, "x"), "cobol", "x"), "choose one of go"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	if _, err := Build(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "gateway plugin new") {
		t.Errorf("no project: %v", err)
	}
	broken, _ := project(t, "go")
	if err := os.WriteFile(filepath.Join(broken, "main.go"), []byte("package main\n\nfunc main() { nothing }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), broken); err == nil || !strings.Contains(err.Error(), "undefined: nothing") {
		t.Errorf("code that does not compile: %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(broken, "main.go"), nil, nil); err == nil || !strings.Contains(err.Error(), "not a WASM module") {
		t.Errorf("no module: %v", err)
	}
	for text, want := range map[string]string{
		"cases: [{name: a, kind: both, records: [{}]}]":                           "kind is produce, fetch, request or response",
		"cases: [{name: a, kind: fetch}]":                                         "has no records",
		"cases: [{name: a, kind: fetch, record: [{}]}]":                           "record not found",
		"cases: [{name: a, kind: fetch, records: [{value: {oct: 7}}]}]":           "a text is a string",
		"cases: [{name: a, kind: fetch, records: [{value: {hex: zz}}]}]":          "invalid byte",
		"cases: [{name: a, kind: fetch, records: [{value: x, headers: [a, b]}]}]": "headers are a map",
	} {
		path := filepath.Join(dir, "cases.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadCases(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestExamples runs the cases of every example against it, as a module in the production host, and
// sees it owe nothing that every interceptor owes.
func TestExamples(t *testing.T) {
	all, err := filepath.Glob("../../../sdk/examples/*/cases.yaml")
	if err != nil || len(all) < 9 {
		t.Fatalf("%d examples, %v", len(all), err)
	}
	for _, path := range all {
		dir := filepath.Dir(path)
		if _, err := os.Stat(filepath.Join(dir, "main.go")); err != nil {
			continue // in another language: see plugins/wasm
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "example.wasm")
			cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, ".")
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			cases, err := LoadCases(path)
			if err != nil {
				t.Fatal(err)
			}
			outcomes, err := Test(t.Context(), file, cases, false, nil)
			if err != nil || len(outcomes) == 0 {
				t.Fatalf("%v, %d cases", err, len(outcomes))
			}
			for _, o := range outcomes {
				if o.Diff != "" {
					t.Errorf("%s: %s", o.Case.Name, o.Diff)
				}
			}
			conforms(t, file, cases.Config)
		})
	}
}

// conforms puts a module into a chain, with a configuration.
func conforms(t *testing.T, file string, config any) {
	t.Helper()
	settings, err := json.Marshal(config) // which is YAML as well
	if err != nil {
		t.Fatal(err)
	}
	section := fmt.Sprintf("{file: %q, grant: [kv, http, send_request], produce_drop: tombstone, config: %s}", file, settings)
	i, err := wasm.Spec().New(t.Context(), plugintest.Env(t, plugintest.NewCluster("prod", 0, 1, "orders")), plugintest.Section(t, section))
	if err != nil {
		t.Fatal(err)
	}
	plugintest.Conform(t, i, "orders")
	if err := i.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}

// TestTemplatesRefuseUnknownSettings, in every language, and take those of their cases.
func TestTemplatesRefuseUnknownSettings(t *testing.T) {
	for _, language := range Languages {
		t.Run(language, func(t *testing.T) {
			kafkatest.Require(t, map[string][]string{"go": {"go"}, "rust": {"cargo"}, "c": {"clang", "wasm-ld"}}[language]...)
			dir, file := project(t, language)
			cases, err := LoadCases(filepath.Join(dir, "cases.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			good := cases.Config.(map[string]any)
			for key, refused := range map[string]bool{"header": false, "headre": true, "Headers": true} {
				settings := map[string]any{"value": "x", "header": good["header"]}
				settings[key] = "via"
				b, err := Open(t.Context(), file, settings, nil)
				if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "config") {
					t.Errorf("%s: %v", key, err)
				}
				if err == nil {
					if err := b.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}
