package protocol

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// screen is what a program has printed so far.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestAnAuthorsDay: gateway dev serves a plugin, shows what it does to each record, and builds it
// again when it changes; records of a cluster are captured and shown to two versions of it.
func TestAnAuthorsDay(t *testing.T) {
	c := fake(t, "main", map[string]int32{"orders": 1})
	dir := t.TempDir()
	gateway := filepath.Join(dir, "gateway")
	command := func(in string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir, cmd.Env = in, append(os.Environ(), "GOFLAGS=-mod=mod")
		return cmd
	}
	run := func(want int, in string, args ...string) string {
		t.Helper()
		cmd := command(in, args...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Fatalf("%s: exit code %d, want %d\n%s", strings.Join(args, " "), got, want, out)
		}
		return string(out)
	}
	run(0, "../..", "go", "build", "-o", gateway, "./cmd/gateway")
	run(0, dir, gateway, "plugin", "new", "hello")
	project := filepath.Join(dir, "hello")
	port, err := kafkatest.FreePorts(12)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(file string, pairs ...string) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(project, file))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(pairs); i += 2 {
			if !bytes.Contains(b, []byte(pairs[i])) {
				t.Fatalf("%s has no %q", file, pairs[i])
			}
		}
		if err := os.WriteFile(filepath.Join(project, file), []byte(strings.NewReplacer(pairs...).Replace(string(b))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	edit("sluice.yaml", "127.0.0.1:8888", fmt.Sprintf("127.0.0.1:%d", port), "127.0.0.1:9092", c.Bootstrap()[0],
		"127.0.0.1:6969", fmt.Sprintf("127.0.0.1:%d", port+1), "6970-6989}", fmt.Sprintf("%d-%d}", port+2, port+11), "main: {", "main: {nodes: 0-9, ", "config: {header", "limits: {timeout: 5m}, config: {header")

	var out screen
	dev := command(project, gateway, "dev", "-c", "sluice.yaml", "--watch", ".")
	dev.Stdout, dev.Stderr = &out, &out
	dev.Cancel = func() error { return dev.Process.Signal(os.Interrupt) }
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	shows := func(text string) {
		t.Helper()
		if !eventually.True(func() bool { return strings.Contains(out.String(), text) }) {
			t.Fatalf("it does not show %q:\n%s", text, out.String())
		}
	}
	shows("built ")
	p, err := kgo.NewClient(kgo.SeedBrokers(fmt.Sprintf("127.0.0.1:%d", port+1)), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	produce := func(v string) {
		t.Helper()
		if err := p.ProduceSync(t.Context(), kgo.StringRecord(v)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce("one")
	shows(`hello produce orders/0: record 0 headers {} -> {via: "sluice"}`)
	run(0, project, "cp", "hello.wasm", "before.wasm")
	edit("main.go", "rec.AddHeader(p.Header, []byte(p.Value))", `rec.AddHeader(p.Header, []byte("changed"))`)
	shows("a file has changed")
	for !strings.Contains(out.String(), `{via: "changed"}`) {
		produce("two") // the version before may still serve
	}
	edit("main.go", `[]byte("changed")`, "nothing")
	shows("not built, the version before stays")
	produce("three")

	if got := run(0, project, gateway, "capture", "-c", "sluice.yaml", "--topic", "orders", "--records", "2"); !strings.Contains(got, "2 records of orders on main") {
		t.Error(got)
	}
	if got := run(0, project, gateway, "plugin", "replay", "capture.yaml", "before.wasm", "before.wasm"); !strings.Contains(got, "1 cases, 0 different") {
		t.Error(got)
	}
	if got := run(1, project, gateway, "plugin", "replay", "capture.yaml", "before.wasm", "hello.wasm", "--config", `{"header": "other", "value": "v"}`); !strings.Contains(got, `other: "changed"`) {
		t.Error(got)
	}
	run(2, project, gateway, "plugin", "replay", "capture.yaml")
	if got := run(1, project, gateway, "plugin", "bench", "before.wasm", "--total", "1000", "--budget", "1ns"); !strings.Contains(got, "over the budget") {
		t.Error(got)
	}
	if err := dev.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := dev.Wait(); err != nil {
		t.Errorf("dev: %v\n%s", err, out.String())
	}
}
