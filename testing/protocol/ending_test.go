package protocol

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestASignalIsLogged: when the end begins, for how long it may take, and when it is over, with who
// was cut. A folder for the state that can't be used is told with its place in the file, and what
// to do.
func TestASignalIsLogged(t *testing.T) {
	bin, dir := program(t), t.TempDir()
	prod := fake(t, "prod", map[string]int32{"orders": 1})
	port, err := kafkatest.FreePorts(12)
	if err != nil {
		t.Fatal(err)
	}
	file, err := gatewaytest.Config(dir, port, map[string]string{"orders": "prod"}, "", map[string][]string{"prod": prod.Bootstrap()}, "prod")
	if err != nil {
		t.Fatal(err)
	}
	var log pages
	first := exec.CommandContext(t.Context(), bin, "run", file)
	first.Stdout, first.Stderr = &log, &log
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, ctx: t.Context()}
	h.wait("the gateway to listen", func() bool {
		return strings.Contains(log.String(), "listening") || strings.Contains(log.String(), "serving")
	})

	out, err := exec.CommandContext(t.Context(), bin, "run", "-c", file).CombinedOutput()
	if want := regexp.MustCompile(regexp.QuoteMeta(file) + `:2:\d+: state.dir: the store is in use by another gateway.*; end that one, or give this one a folder of its own`); err == nil || !want.Match(out) {
		t.Errorf("a second gateway: %v %s", err, out)
	}

	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	if want := regexp.MustCompile(`(?s)ending: requests in flight are answered first.*drain.*ended.*took.*sessions_cut\W+0`); !want.MatchString(log.String()) {
		t.Errorf("it says\n%s", &log)
	}

	if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = exec.CommandContext(t.Context(), bin, "run", file).CombinedOutput()
	if want := regexp.MustCompile(regexp.QuoteMeta(file) + `:2:\d+: state.dir: .*not a directory`); err == nil || !want.Match(out) {
		t.Errorf("a folder that is a file: %v %s", err, out)
	}
}
