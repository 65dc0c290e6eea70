package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// newcomers are what somebody changes first in a new project, by language.
var newcomers = []struct {
	language, file, before, after string
	needs                         []string
}{
	{"go", "main.go", "rec.AddHeader(p.Header, []byte(p.Value))", `rec.AddHeader(p.Header, []byte(p.Value+", changed"))`, []string{"go"}},
	{"rust", "src/lib.rs", "Some(self.value.as_bytes())", `Some(format!("{}, changed", self.value).as_bytes())`, []string{"cargo"}},
	{"c", "plugin.c", "sluice_add_header(c, i, key, value)", `sluice_add_header(c, i, key, SLUICE_TEXT("sluice, changed"))`, []string{"clang", "wasm-ld"}},
}

// TestANewcomersPlugin goes the way of somebody who has the gateway's binary and a compiler: a new
// project in an empty folder, built, tested, measured, named in the file of a running gateway,
// changed and built again; Kafka's own console tools see what it does.
func TestANewcomersPlugin(t *testing.T) {
	p := newPair(t, kafkatest.Kafka4)
	dir := t.TempDir()
	gateway := filepath.Join(dir, "gateway")
	run := func(t *testing.T, in string, command ...string) string {
		t.Helper()
		cmd := exec.CommandContext(p.ctx, command[0], command[1:]...)
		cmd.Dir, cmd.Env = in, append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
		return string(out)
	}
	run(t, "../..", "go", "build", "-o", gateway, "./cmd/gateway")
	loaded := func() string {
		_, body := p.call("GET", "/plugins", "")
		_, digest, _ := strings.Cut(body, `"sha256": "`)
		digest, _, _ = strings.Cut(digest, `"`)
		return digest
	}
	swapped := func(before string) {
		p.wait("the plugin", func() bool { d := loaded(); return d != "" && d != before }, func() string { _, b := p.call("GET", "/config", ""); return b })
	}
	sent := 0
	send := func(t *testing.T, record string) {
		t.Helper()
		sent++
		cmd, err := kafkatest.Tool(p.ctx, kafkatest.Kafka4, "kafka-console-producer", "--bootstrap-server", p.gw.Bootstrap, "--topic", p.topic)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin = strings.NewReader(record + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	const chain = "      - routing:"
	section := ""
	for _, n := range newcomers {
		t.Run(n.language, func(t *testing.T) {
			kafkatest.Require(t, n.needs...)
			name := "hello-" + n.language
			run(t, dir, gateway, "plugin", "new", name, "--lang", n.language)
			project := filepath.Join(dir, name)
			run(t, project, gateway, "plugin", "build")
			if out := run(t, project, gateway, "plugin", "test"); !strings.Contains(out, "2 passed, 0 failed") {
				t.Errorf("cases: %s", out)
			}
			if out := run(t, project, gateway, "plugin", "bench", "--total", "10000"); !strings.Contains(out, "per record") {
				t.Errorf("bench: %s", out)
			}
			before := loaded()
			next := "      - wasm: {file: " + filepath.Join(project, name+".wasm") + ", limits: {timeout: 5m}, config: {header: via, value: sluice}}\n"
			if err := p.gw.Edit(section+chain, next+chain); err != nil {
				t.Fatal(err)
			}
			section = next
			swapped(before)
			send(t, n.language+" before")

			file := filepath.Join(project, n.file)
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(source), n.before) != 1 {
				t.Fatalf("%s has not %q once", n.file, n.before)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(string(source), n.before, n.after, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			before = loaded()
			run(t, project, gateway, "plugin", "build")
			swapped(before)
			send(t, n.language+" after")

			receive, err := kafkatest.Tool(p.ctx, kafkatest.Kafka4, "kafka-console-consumer", "--bootstrap-server", p.gw.Bootstrap, "--topic", p.topic, "--from-beginning",
				"--max-messages", strconv.Itoa(sent), "--timeout-ms", "300000", "--formatter-property", "print.headers=true")
			if err != nil {
				t.Fatal(err)
			}
			out, err := receive.Output()
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"via:sluice\t" + n.language + " before", "via:sluice, changed\t" + n.language + " after"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("the consumer saw %q, want %q", out, want)
				}
			}
		})
	}
}
