package wasm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

const rustTarget = "wasm32-unknown-unknown"

// rustTools is the environment of the first cargo whose rustc has the library of the target: many
// have several.
var rustTools = sync.OnceValue(func() []string {
	path := os.Getenv("PATH")
	for _, dir := range append(filepath.SplitList(path), "/usr/bin") {
		if _, err := os.Stat(filepath.Join(dir, "cargo")); err != nil {
			continue
		}
		lib, err := exec.Command(filepath.Join(dir, "rustc"), "--print", "target-libdir", "--target", rustTarget).Output()
		if err != nil {
			continue
		}
		if found, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(lib)), "libcore-*")); len(found) > 0 {
			return append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+path, "CARGO_TARGET_DIR="+filepath.Join(built.dir, "cargo"))
		}
	}
	return nil
})

// cargo runs cargo in a folder.
func cargo(t testing.TB, dir string, args ...string) string {
	t.Helper()
	env := rustTools()
	if env == nil {
		kafkatest.Require(t, "cargo with a rustc for "+rustTarget)
	}
	cmd := exec.Command("env", append([]string{"cargo", args[0], "--offline", "--quiet"}, args[1:]...)...) // env looks in the new PATH
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cargo %v in %s: %v\n%s", args, dir, err, out)
	}
	return string(out)
}

// once builds a guest that has not been built yet.
func once(dir string, build func(out string)) string {
	built.Lock()
	defer built.Unlock()
	if built.files[dir] == "" {
		out := filepath.Join(built.dir, fmt.Sprintf("%d.wasm", len(built.files)))
		build(out)
		built.files[dir] = out
	}
	return built.files[dir]
}

// rustGuest builds a crate as authors do.
func rustGuest(t testing.TB, dir string) string {
	t.Helper()
	return once(dir, func(out string) {
		cargo(t, dir, "build", "--release", "--target", rustTarget)
		name := strings.ReplaceAll(filepath.Base(dir), "-", "_") + ".wasm"
		if err := os.Rename(filepath.Join(built.dir, "cargo", rustTarget, "release", name), out); err != nil {
			t.Fatal(err)
		}
	})
}

// cGuest builds a file as authors do, with a libc or without one.
func cGuest(t testing.TB, file string, libc bool) string {
	t.Helper()
	kafkatest.Require(t, "clang", "wasm-ld")
	return once(file, func(out string) {
		object := out + ".o"
		compile := []string{"clang", "--target=wasm32", "-O2", "-mbulk-memory", "-msimd128", "-Wall", "-Wextra", "-Werror", "-I", "../../sdk/c", "-c", file, "-o", object}
		link := []string{"wasm-ld", "--no-entry", "-o", out, object}
		if libc {
			compile[1] = "--target=wasm32-wasi"
			compile = append(compile, "--sysroot=/usr")
			link = []string{"clang", "--target=wasm32-wasi", "--sysroot=/usr", "-mexec-model=reactor", "-o", out, object}
		}
		for _, args := range [][]string{compile, link} {
			if b, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, b)
			}
		}
	})
}
