package protocol

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestARunEndsWhenNothingChangesAnyMore: what can move has moved, what waits is told by what it
// waits for, and can be given up as it says.
func TestARunEndsWhenNothingChangesAnyMore(t *testing.T) {
	h := build(t, "copied", "empty", "stuck", "stays")
	gateway := commandLine(t)
	h.copier(kafkatest.Faults{}, "copied", "empty")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "copied", "x", 5)
	h.produce(p, "stuck", "x", 3) // nobody copies them

	out, code := gateway("failover", "plan", "-c", h.gw.File, "--to", "dr", "--from", "prod")
	if want := "3 ready, 1 blocked, 0 unplanned, 0 records would be lost\n"; code != 1 || !strings.HasPrefix(out, want) {
		t.Errorf("the plan: %d, it does not begin with %s\n%s", code, want, out)
	}
	if !regexp.MustCompile(`(?m)^TOPIC .*\nstuck +blocked +prod +dr .* lag: .*3 records on prod and none on dr`).MatchString(out) {
		t.Errorf("what is blocked is not the first:\n%s", out)
	}

	out, code = gateway("failover", "run", "-c", h.gw.File, "--to", "dr", "--settle", "1ms", "copied", "empty", "stuck", "nobodys")
	if code != 3 {
		t.Errorf("a run that leaves something to wait exits with %d", code)
	}
	for _, want := range []string{
		"not to move: 1 topic: no such topic is known", "pending: 1 topic\n", "  lag: 1 topic, such as stuck: ",
		"gateway failover abort -c " + h.gw.File + " --virtual-cluster " + tenant + " --to dr stuck\n", "done: 2 topics moved, ", "not moved yet: 1 topic",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the run does not say %q:\n%s", want, out)
		}
	}
	if len(h.gw.Moves()) != 3 || !slices.ContainsFunc(h.gw.Moves(), func(m failover.Report) bool { return m.Topic == "stuck" && m.Ended.IsZero() }) {
		t.Errorf("what waits does not wait on: %+v", h.gw.Moves())
	}

	// What it says gives the move up.
	line := regexp.MustCompile(`(?m)^  gateway (failover abort .*)$`).FindStringSubmatch(out)
	if out, code = gateway(strings.Fields(line[1])...); code != 0 || out != "stuck: stays on prod\ngiven up: 1 move\n" {
		t.Errorf("giving it up: %d\n%s", code, out)
	}
	if m := h.gw.Moves(); slices.ContainsFunc(m, func(m failover.Report) bool { return m.Ended.IsZero() }) {
		t.Errorf("something still waits: %+v", m)
	}
	if !strings.Contains(h.file(), "stuck: {cluster: prod}") {
		t.Errorf("the file says otherwise:\n%s", h.file())
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"stuck", 1, "no move of stuck waits"},
		{"--all", 0, "given up: 0 moves"},
		{"", 2, "--all"},
		{"stuck --all", 2, "--all"},
	} {
		if out, code := gateway(append([]string{"failover", "abort", "-c", h.gw.File}, strings.Fields(c.args)...)...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("abort %s: %d\n%s", c.args, code, out)
		}
	}
	help, _ := gateway("failover", "run", "--help")
	for _, where := range []string{help, string(must(os.ReadFile("../../cmd/gateway/README.md")))} {
		if !strings.Contains(where, "3 some still wait, 4 some were given up") {
			t.Error("what the exit codes mean is not said")
		}
	}
	if out, code := gateway("failover", "run", "-c", h.gw.File, "--to", "dr", "copied"); code != 0 || !strings.Contains(out, "it lives there already") {
		t.Errorf("a run of nothing: %d\n%s", code, out)
	}
}

// TestARunThatWasTakenBack says so.
func TestARunThatWasTakenBack(t *testing.T) {
	h := build(t, "stuck")
	h.produce(h.client(h.gw.Bootstrap), "stuck", "x", 3)
	cmd := exec.CommandContext(t.Context(), program(t), "failover", "run", "-c", h.gw.File, "--to", "dr", "--settle", "10m", "stuck")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.wait("the refusal", func() bool { m := h.gw.Moves(); return len(m) == 1 && m[0].Error != "" })
	if code, _ := h.v1("DELETE", "/moves/"+h.gw.Moves()[0].ID, "", nil, "If-Match", "*"); code != 200 {
		t.Fatal(code)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 4 || !strings.Contains(out.String(), "given up: 1 topic, such as stuck: a newer edit") {
		t.Errorf("%d\n%s", code, out.String())
	}
}

// TestARunOfManyTellsTheirNumbers, not each of them.
func TestARunOfManyTellsTheirNumbers(t *testing.T) {
	var topics []string
	for i := range 30 {
		topics = append(topics, "topic-"+string(rune('a'+i/26))+string(rune('a'+i%26)))
	}
	h := build(t, topics...)
	h.produce(h.client(h.gw.Bootstrap), topics[4], "x", 3)
	out, code := commandLine(t)("failover", "run", "-c", h.gw.File, "--to", "dr", "--from", "prod", "--settle", "1ms")
	if code != 3 || !strings.Contains(out, "1 pending, 29 done\n") || !strings.Contains(out, "done: 29 topics moved") {
		t.Errorf("%d\n%s", code, out)
	}
	if strings.Contains(out, topics[7]) {
		t.Errorf("it tells of each topic:\n%s", out)
	}
}
