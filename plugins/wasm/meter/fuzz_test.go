package meter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

// FuzzRewrite wants an error or a module that compiles if and only if the original does.
func FuzzRewrite(f *testing.F) {
	files := spec(f, "v2", "testdata", "*.wasm")
	for i := 0; i < len(files); i += 40 {
		b, err := os.ReadFile(files[i])
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 16<<10 {
			f.Add(b)
		}
	}
	for _, p := range endless() {
		f.Add(p.bytes())
	}
	for _, b := range everything() {
		f.Add(b)
	}
	r := engine(f, api.CoreFeaturesV2, func() {})
	f.Fuzz(func(t *testing.T, module []byte) {
		if len(module) > 64<<10 {
			return
		}
		before := slices.Clone(module)
		out, err := Rewrite(module)
		if !bytes.Equal(module, before) {
			t.Error("the argument was changed")
		}
		if err != nil {
			return
		}
		if len(out) > 16*len(module)+1000 {
			t.Errorf("%d bytes became %d", len(module), len(out))
		}
		if _, err := Rewrite(out); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
		if err := sameVerdict(r, module); err != nil {
			t.Error(err)
		}
	})
}

// FuzzRun runs random programs in both forms. Their choices come from a generator of numbers:
// programs that differ in one choice only teach little.
func FuzzRun(f *testing.F) {
	for i := range uint64(100) {
		f.Add(i, uint16(100+10*i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size uint16) {
		choices := make([]byte, size%2000)
		for i, r := 0, rand.New(rand.NewPCG(seed, 0)); i < len(choices); i++ {
			choices[i] = byte(r.Uint32())
		}
		module := randomProgram(choices).bytes()
		want := trace(t, module)
		if got := trace(t, rewrite(t, module)); !slices.Equal(got, want) {
			t.Errorf("rewritten:\n%q\nas it is:\n%q\n%x", got, want, module)
		}
	})
}

// trace calls every function of a random program and returns what can be seen from outside.
func trace(t *testing.T, module []byte) (seen []string) {
	t.Helper()
	ctx := context.Background()
	r := engine(t, api.CoreFeaturesV2, func() {})
	m, err := r.Instantiate(ctx, module)
	if err != nil {
		t.Fatalf("%v\n%x", err, module)
	}
	for i := range randomFunctions {
		for _, c := range []struct{ fuel, first, second uint64 }{{2 * Every, 0, 0}, {300, 3, 1 << 40}, {300, 0xffffffff, 5}} {
			m.ExportedGlobal("g0").(api.MutableGlobal).Set(c.fuel)
			out, err := m.ExportedFunction(fmt.Sprint("f", i)).Call(ctx, c.first, c.second)
			seen = append(seen, fmt.Sprint(out, message(err)))
		}
	}
	for i := range 3 {
		seen = append(seen, fmt.Sprint(m.ExportedGlobal(fmt.Sprint("g", i)).Get()))
	}
	seen = append(seen, string(contents(m)))
	return append(seen, fmt.Sprint(errors.Join(r.Close(ctx))))
}
