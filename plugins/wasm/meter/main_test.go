package meter

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine makes a runtime with the hook.
func engine(t testing.TB, features api.CoreFeatures, hook func()) wazero.Runtime {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features))
	t.Cleanup(func() { _ = r.Close(ctx) })
	if _, err := r.NewHostModuleBuilder(Module).NewFunctionBuilder().WithFunc(hook).Export(Yield).Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs a module, rewritten or as it is, in a runtime of its own.
func start(t testing.TB, module []byte, hook func()) api.Module {
	t.Helper()
	m, err := engine(t, api.CoreFeaturesV2, hook).Instantiate(context.Background(), module)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func rewrite(t testing.TB, module []byte) []byte {
	t.Helper()
	out, err := Rewrite(module)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// specDir is the folder with the specification's own tests, which the runtime's module carries.
var specDir = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	return filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest"), err
})

// spec lists the files of the specification's tests.
func spec(t testing.TB, pattern ...string) []string {
	t.Helper()
	dir, err := specDir()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(append([]string{dir}, pattern...)...))
	if err != nil || len(files) == 0 {
		t.Fatalf("no test of the specification in %s: %v %v", dir, pattern, err)
	}
	return files
}
