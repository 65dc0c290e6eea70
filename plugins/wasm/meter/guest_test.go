package meter

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

var buildGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", file, ".")
	cmd.Dir = filepath.Join("testdata", "guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(out)))
	}
	return os.ReadFile(file)
})

// guest builds the guest, which is made with Go's own compiler.
func guest(t testing.TB) []byte {
	t.Helper()
	b, err := buildGuest()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compileGuest returns a function that starts instances of a guest, rewritten or as it is, and what
// they print.
func compileGuest(t testing.TB, module []byte, hook func()) func() (api.Module, *bytes.Buffer) {
	t.Helper()
	ctx := experimental.WithCompilationWorkers(context.Background(), runtime.GOMAXPROCS(0))
	r := engine(t, api.CoreFeaturesV2, hook)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	compiled, err := r.CompileModule(ctx, module)
	if err != nil {
		t.Fatal(err)
	}
	return func() (api.Module, *bytes.Buffer) {
		var out bytes.Buffer
		m, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize").
			WithSysNanotime().WithSysWalltime().WithStdout(&out).WithStderr(&out))
		if err != nil {
			t.Fatal(err)
		}
		return m, &out
	}
}

// TestGoGuest runs a guest made with Go in both forms: what it returns and prints is the same, and
// so are the functions that it names when it crashes. The rewritten one stops in the middle of its
// work.
func TestGoGuest(t *testing.T) {
	run := func(start func() (api.Module, *bytes.Buffer)) (uint64, string, error) {
		m, out := start()
		n, err := m.ExportedFunction("run").Call(context.Background())
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		printed := out.String()
		_, err = m.ExportedFunction("crash").Call(context.Background())
		return n[0], printed, err
	}
	wantN, want, wantErr := run(compileGuest(t, guest(t), func() {}))
	turns, deadline := 0, time.Now().Add(time.Hour)
	metered := compileGuest(t, rewrite(t, guest(t)), func() {
		if turns++; time.Now().After(deadline) {
			panic(errStopped)
		}
	})
	n, printed, err := run(metered)
	if n != wantN || printed != want || len(printed) < 200 {
		t.Errorf("%d and\n%s\nwant %d and\n%s", n, printed, wantN, want)
	}
	if turns < 10 {
		t.Errorf("%d turns", turns)
	}
	if err == nil || !strings.Contains(err.Error(), "main.deepest") || err.Error() != wantErr.Error() {
		t.Errorf("%v\nwant\n%v", err, wantErr)
	}
	m, _ := metered()
	deadline = time.Now().Add(50 * time.Millisecond) // or it never returns
	_, err = m.ExportedFunction("endless").Call(context.Background())
	if !errors.Is(err, errStopped) {
		t.Errorf("%v", err)
	}
}
