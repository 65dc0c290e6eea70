package protocol

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestAFreshProjectInEveryLanguage is built, tested, measured, and gets another SDK, with what
// `gateway plugin new` has written and nothing else: no network, no edit.
func TestAFreshProjectInEveryLanguage(t *testing.T) {
	dir := t.TempDir()
	gateway := filepath.Join(dir, "gateway")
	if out, err := exec.Command("go", "build", "-o", gateway, "../../cmd/gateway").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for language, needs := range map[string][]string{"go": {"go"}, "rust": {"cargo"}, "c": {"clang", "wasm-ld"}} {
		t.Run(language, func(t *testing.T) {
			kafkatest.Require(t, needs...)
			run := func(in string, args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), gateway, args...)
				cmd.Dir, cmd.Env = in, append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod")
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("gateway %s: %v\n%s", strings.Join(args, " "), err, out)
				}
				return string(out)
			}
			project := filepath.Join(dir, "in-"+language)
			run(dir, "plugin", "new", project, "--lang", language)
			run(project, "plugin", "build")
			for _, step := range []struct {
				want string
				args []string
			}{
				{"2 passed, 0 failed", []string{"plugin", "test"}},
				{"failures", []string{"plugin", "bench", "--total", "1000"}},
				{"is that of this gateway", []string{"plugin", "upgrade"}},
				{"2 passed, 0 failed", []string{"plugin", "test"}},
			} {
				if out := run(project, step.args...); !strings.Contains(out, step.want) {
					t.Errorf("%v: %s", step.args, out)
				}
			}
		})
	}
}
