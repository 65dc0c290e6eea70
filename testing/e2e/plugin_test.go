package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestANewcomersPlugin goes the way of somebody who has the gateway's binary and Go: a new project in an empty folder, built,
// tested, named in the file of a running gateway, changed and built again; Kafka's own console tools see what it does.
func TestANewcomersPlugin(t *testing.T) {
	p := newPair(t, kafkatest.Kafka4)
	dir := t.TempDir()
	gateway := filepath.Join(dir, "gateway")
	run := func(in string, command ...string) string {
		t.Helper()
		cmd := exec.CommandContext(p.ctx, command[0], command[1:]...)
		cmd.Dir, cmd.Env = in, append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
		return string(out)
	}
	run("../..", "go", "build", "-o", gateway, "./cmd/gateway")
	run(dir, gateway, "plugin", "new", "hello")
	project := filepath.Join(dir, "hello")
	run(project, gateway, "plugin", "build")
	if out := run(project, gateway, "plugin", "test"); !strings.Contains(out, "2 passed, 0 failed") {
		t.Errorf("cases: %s", out)
	}
	loaded := func() string {
		_, body := p.call("GET", "/plugins", "")
		_, digest, _ := strings.Cut(body, `"sha256": "`)
		digest, _, _ = strings.Cut(digest, `"`)
		return digest
	}
	seen := 0
	sees := func(want string) {
		t.Helper()
		seen++
		send, err := kafkatest.Tool(p.ctx, kafkatest.Kafka4, "kafka-console-producer", "--bootstrap-server", p.gw.Bootstrap, "--topic", p.topic)
		if err != nil {
			t.Fatal(err)
		}
		send.Stdin = strings.NewReader("record\n")
		if out, err := send.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		receive, err := kafkatest.Tool(p.ctx, kafkatest.Kafka4, "kafka-console-consumer", "--bootstrap-server", p.gw.Bootstrap, "--topic", p.topic, "--from-beginning",
			"--max-messages", string(rune('0'+seen)), "--timeout-ms", "300000", "--formatter-property", "print.headers=true")
		if err != nil {
			t.Fatal(err)
		}
		out, err := receive.Output()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: the consumer saw %q, want %q", err, out, want)
		}
	}
	if err := p.gw.Edit("      - routing:", "      - wasm: {file: "+project+"/hello.wasm, limits: {timeout: 5m}, config: {header: via, value: sluice}}\n      - routing:"); err != nil {
		t.Fatal(err)
	}
	p.wait("the plugin", func() bool { return loaded() != "" }, func() string { _, b := p.call("GET", "/config", ""); return b })
	sees("via:sluice\trecord")

	before := loaded()
	file := filepath.Join(project, "main.go")
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(source), "rec.AddHeader(p.Header, []byte(p.Value))", `rec.AddHeader(p.Header, []byte(p.Value+", changed"))`, 1)
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	run(project, gateway, "plugin", "build")
	p.wait("the next version", func() bool { return loaded() != before }, func() string { _, b := p.call("GET", "/config", ""); return b })
	sees("via:sluice, changed\trecord")
}
