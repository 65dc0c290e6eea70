package meter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// script is one of the specification's tests: modules, and what their functions return.
type script struct {
	Commands []command `json:"commands"`
}

type command struct {
	Type       string `json:"type"`
	Line       int    `json:"line"`
	Name       string `json:"name"`
	As         string `json:"as"`
	Filename   string `json:"filename"`
	ModuleType string `json:"module_type"`
	Action     struct {
		Type   string  `json:"type"`
		Module string  `json:"module"`
		Field  string  `json:"field"`
		Args   []value `json:"args"`
	} `json:"action"`
}

type value struct {
	Type  string          `json:"type"`
	Lane  string          `json:"lane_type"`
	Value json.RawMessage `json:"value"`
}

// What takes seconds under the race detector is run once.
var (
	// slow scripts of the first version are in the second one too.
	slow = map[string]bool{"v1/br_table": true, "v1/memory_grow": true}
	// exhausting are the scripts of which one function may use up the stack.
	exhausting = map[string]bool{"v2/fac": true, "v2/skip-stack-guard-page": true}
)

// TestSpecification runs every module of the specification's tests rewritten and as it is, and
// compares every result, trap and memory.
func TestSpecification(t *testing.T) {
	var commands atomic.Int64
	t.Run("all", func(t *testing.T) {
		for dir, features := range map[string]api.CoreFeatures{
			"v1":             api.CoreFeaturesV1,
			"v2":             api.CoreFeaturesV2,
			"extended-const": api.CoreFeaturesV2 | experimental.CoreFeaturesExtendedConst,
		} {
			for _, file := range spec(t, dir, "testdata", "*.json") {
				name := dir + "/" + strings.TrimSuffix(filepath.Base(file), ".json")
				if slow[name] {
					continue
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					commands.Add(int64(runScript(t, name, file, features)))
				})
			}
		}
	})
	t.Logf("%d commands", commands.Load())
	if commands.Load() < 40_000 {
		t.Errorf("only %d commands ran", commands.Load())
	}
}

func readScript(t testing.TB, file string) script {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s script
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func runScript(t *testing.T, name, file string, features api.CoreFeatures) (ran int) {
	s := readScript(t, file)
	plain, metered := newWorld(t, features, file, false), newWorld(t, features, file, true)
	exhausted := false
	for i, c := range s.Commands {
		if c.Type == "module" && i+1 < len(s.Commands) && s.Commands[i+1].Type == "register" {
			c.As = s.Commands[i+1].As
		}
		switch c.Type {
		case "module", "action", "assert_return", "assert_trap", "assert_unlinkable", "assert_uninstantiable":
		case "assert_exhaustion":
			if exhausted || !exhausting[name] {
				continue
			}
			exhausted = true
		default: // TestInvalidStaysInvalid
			continue
		}
		ran++
		want, wantErr := plain.run(c)
		got, err := metered.run(c)
		if good := c.Type == "module" || c.Type == "action" || c.Type == "assert_return"; good && wantErr != nil {
			t.Fatalf("line %d: %v", c.Line, wantErr)
		}
		if !slices.Equal(got, want) || message(err) != message(wantErr) {
			t.Errorf("line %d, %s %s: %x %v, not rewritten %x %v", c.Line, c.Type, c.Action.Field, got, err, want, wantErr)
		}
	}
	if len(metered.all) != len(plain.all) {
		t.Fatalf("%d modules run, not rewritten %d", len(metered.all), len(plain.all))
	}
	for i, m := range plain.all {
		if a, b := contents(m), contents(metered.all[i]); !slices.Equal(a, b) {
			t.Errorf("module %d: its memory differs", i)
		}
	}
	return ran
}

var moved = regexp.MustCompile(`function\[\d+\]`)

// message is an error without the stack trace and the indices of functions.
func message(err error) string {
	if err == nil {
		return ""
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	first, _, _ = strings.Cut(first, "maximum size mismatch") // a table has a bound that it did not have
	return moved.ReplaceAllString(first, "function")
}

func contents(m api.Module) []byte {
	if reflect.ValueOf(m.Memory()).IsNil() { // a nil pointer in an interface
		return nil
	}
	b, _ := m.Memory().Read(0, m.Memory().Size())
	return b
}

// world is one of the two runtimes that are compared.
type world struct {
	runtime wazero.Runtime
	dir     string
	metered bool
	all     []api.Module
	named   map[string]api.Module
}

func newWorld(t *testing.T, features api.CoreFeatures, file string, metered bool) *world {
	t.Helper()
	w := &world{runtime: engine(t, features, func() {}), dir: filepath.Dir(file), metered: metered, named: map[string]api.Module{}}
	host, err := os.ReadFile(spec(t, "testdata", "spectest.wasm")[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.runtime.Instantiate(context.Background(), host); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) run(c command) ([]uint64, error) {
	if c.Action.Type == "" {
		return nil, w.load(c)
	}
	m := w.all[len(w.all)-1]
	if c.Action.Module != "" {
		m = w.named[c.Action.Module]
	}
	if c.Action.Type == "get" {
		return []uint64{m.ExportedGlobal(c.Action.Field).Get()}, nil
	}
	f := m.ExportedFunction(c.Action.Field)
	var args []uint64
	for _, a := range c.Action.Args {
		bits, err := a.bits()
		if err != nil {
			return nil, err
		}
		args = append(args, bits...)
	}
	results, err := f.Call(context.Background(), args...)
	return hidePointers(f.Definition().ResultTypes(), results), err
}

// load runs a module. It keeps those that the script expects to run.
func (w *world) load(c command) error {
	module, err := os.ReadFile(filepath.Join(w.dir, c.Filename))
	if err != nil {
		return err
	}
	if w.metered {
		if module, err = Rewrite(module); err != nil {
			return fmt.Errorf("refused: %w", err)
		}
	}
	m, err := w.runtime.InstantiateWithConfig(context.Background(), module, wazero.NewModuleConfig().WithName(c.As))
	if err != nil || c.Type != "module" {
		return err
	}
	w.all = append(w.all, m)
	if c.Name != "" {
		w.named[c.Name] = m
	}
	return nil
}

// hidePointers leaves of references to functions whether they are null: they are addresses.
func hidePointers(types []api.ValueType, values []uint64) []uint64 {
	i := 0
	for _, t := range types {
		const funcref, v128 = 0x70, 0x7b
		switch {
		case i >= len(values):
			return values
		case t == funcref && values[i] != 0:
			values[i] = 1
		case t == v128:
			i++
		}
		i++
	}
	return values
}

// bits are the one or two words of a value.
func (v value) bits() ([]uint64, error) {
	if v.Type == "v128" {
		var lanes []string
		if err := json.Unmarshal(v.Value, &lanes); err != nil {
			return nil, err
		}
		out := make([]uint64, 2)
		width := 128 / len(lanes)
		for i, l := range lanes {
			n, err := parse(l)
			if err != nil {
				return nil, err
			}
			out[i*width/64] |= n & (1<<width - 1) << (i * width % 64)
		}
		return out, nil
	}
	var text string
	if err := json.Unmarshal(v.Value, &text); err != nil {
		return nil, err
	}
	if text == "null" {
		return []uint64{0}, nil
	}
	n, err := parse(text)
	switch v.Type {
	case "i32", "f32":
		n = uint64(uint32(n))
	case "externref":
		n++ // for the runtime, 0 is null
	}
	return []uint64{n}, err
}

func parse(s string) (uint64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return uint64(n), nil
	}
	return strconv.ParseUint(s, 10, 64)
}

// TestInvalidStaysInvalid offers the modules that the specification calls broken: a rewrite must
// not mend them, such as by a counter at the index that a module uses without having it.
func TestInvalidStaysInvalid(t *testing.T) {
	r := engine(t, api.CoreFeaturesV2, func() {})
	seen, refused := 0, 0
	for _, file := range spec(t, "v2", "testdata", "*.json") {
		for _, c := range readScript(t, file).Commands {
			if c.Type != "assert_invalid" && c.Type != "assert_malformed" || c.ModuleType != "binary" {
				continue
			}
			module, err := os.ReadFile(filepath.Join(filepath.Dir(file), c.Filename))
			if err != nil {
				t.Fatal(err)
			}
			seen++
			if err := sameVerdict(r, module); errors.Is(err, errRefused) {
				refused++
			} else if err != nil {
				t.Errorf("%s: %v", c.Filename, err)
			}
		}
	}
	t.Logf("%d modules, %d refused before the runtime saw them", seen, refused)
	if seen < 1000 || refused < 100 {
		t.Errorf("%d modules seen, %d refused", seen, refused)
	}
}

var (
	errRefused  = errors.New("refused")
	errCompiles = errors.New("compiles")
)

// sameVerdict returns an error if the rewritten module compiles and the original does not, or the
// other way round.
func sameVerdict(r wazero.Runtime, module []byte) error {
	out, err := Rewrite(module)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	compile := func(b []byte) error {
		m, err := r.CompileModule(context.Background(), b)
		if err != nil {
			return err
		}
		return m.Close(context.Background())
	}
	a, b := compile(module), compile(out)
	if a != nil && strings.Contains(a.Error(), "failed to read custom section") {
		return nil // the runtime cannot read an empty one at the end of a module
	}
	if (a == nil) != (b == nil) {
		return fmt.Errorf("as it is: %w, rewritten: %w", cmp.Or(a, errCompiles), cmp.Or(b, errCompiles))
	}
	return nil
}
