package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/doctor"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/plan"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// commandLine builds the gateway's binary and returns a function that runs it.
func commandLine(t *testing.T) func(args ...string) (out string, code int) {
	t.Helper()
	bin := program(t)
	return func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), bin, args...)
		var complaints strings.Builder
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out) + complaints.String(), cmd.ProcessState.ExitCode()
	}
}

func decoded[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return v
}

// TestCommandsForPeople: top, routes and failover of a running gateway, as tables and as JSON.
func TestCommandsForPeople(t *testing.T) {
	h := build(t, "orders", "other")
	gateway := commandLine(t)
	h.copier(kafkatest.Faults{}, "orders", "other")
	p := h.client(h.gw.Bootstrap, kgo.ClientID("till"))
	h.produce(p, "orders", "x", 20)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := p.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
				t.Errorf("produce: %v", err)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()

	out, code := gateway("top", "-c", h.gw.File, "--once", "--interval", "300ms")
	for _, want := range []string{"Produce", "orders", "till", "prod up, dr up"} {
		if code != 0 || !strings.Contains(out, want) || strings.Contains(out, "\x1b") {
			t.Errorf("top: %d, no %q:\n%s", code, want, out)
		}
	}
	out, _ = gateway("top", "-c", h.gw.File, "--once", "--interval", "300ms", "--output", "json")
	top := decoded[struct {
		APIs []struct {
			API  string
			Rate float64 `json:"requests_per_second"`
			P99  int64   `json:"p99_ns"`
		}
		Topics []struct {
			Topic string
			Rate  float64 `json:"records_per_second"`
		}
		Clients []struct {
			ClientID string  `json:"client_id"`
			Rate     float64 `json:"requests_per_second"`
		}
	}](t, out)
	if a := top.APIs[0]; a.API != "Produce" || a.Rate <= 0 || a.P99 <= 0 {
		t.Errorf("%+v", top)
	}
	about := fact.Of(t, "%+v", top)
	fact.Equal(about, "top.Topics[0].Topic", top.Topics[0].Topic, "orders")
	fact.Above(about, "top.Topics[0].Rate", top.Topics[0].Rate, 0)
	fact.Equal(about, "top.Clients[0].ClientID", top.Clients[0].ClientID, "till")
	fact.Above(about, "top.Clients[0].Rate", top.Clients[0].Rate, 0)

	if out, code := gateway("routes", "-c", h.gw.File); code != 0 || !strings.Contains(out, "orders") || !strings.Contains(out, "dr: ") {
		t.Errorf("routes: %d\n%s", code, out)
	}
	out, _ = gateway("routes", "-c", h.gw.File, "--output", "json")
	if topics := decoded[[]admin.Topic](t, out); len(topics) != 2 || topics[0].Home != "prod" {
		t.Errorf("%+v", topics)
	}

	out, code = gateway("failover", "plan", "-c", h.gw.File, "--to", "dr", "other", "--output", "json")
	{
		plans := decoded[plan.Plans](t, out)
		about := fact.Of(t, "plan: %d %s", code, out)
		fact.Equal(about, "code", code, 0)
		fact.Equal(about, "plans.Ready", plans.Ready, 1)
		if fact.Equal(about, "len(plans.Topics)", len(plans.Topics), 1) {
			fact.Equal(about, "len(plans.Topics[0].Partitions)", len(plans.Topics[0].Partitions), 3)
		}
	}
	if out, code := gateway("failover", "plan", "-c", h.gw.File, "--to", "prod", "other"); code != 1 || !strings.Contains(out, "lives there already") {
		t.Errorf("a blocked plan: %d\n%s", code, out)
	}
	if out, code := gateway("failover", "plan", "-c", h.gw.File, "--from", "dr", "--to", "prod"); code != 0 || out != "no topic that is known lives on dr\n" {
		t.Errorf("a plan of nothing: %d\n%s", code, out)
	}
	out, code = gateway("failover", "run", "-c", h.gw.File, "--to", "main", "other", "orders", "--output", "json")
	{
		moves := decoded[[]failover.Report](t, out)
		about := fact.Of(t, "run: %d %s", code, out)
		fact.Equal(about, "code", code, 0)
		if fact.Equal(about, "len(moves)", len(moves), 2) {
			fact.Equal(about, "moves[0].Phase", moves[0].Phase, failover.Done)
			fact.Equal(about, "moves[1].Phase", moves[1].Phase, failover.Done)
		}
	}
}

// TestARunEndsWithWhatItHasCost: held, compared, lost.
func TestARunEndsWithWhatItHasCost(t *testing.T) {
	h := build(t, "orders", "other")
	h.crowd("orders", "other")
	h.copier(kafkatest.Faults{}, "orders", "other")
	out, code := commandLine(t)("failover", "run", "-c", h.gw.File, "--to", "dr", "other", "orders")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if last := lines[len(lines)-1]; code != 0 || !regexp.MustCompile(`^done: 2 topics moved, 1 group carried, held for \d+ ms at most, \d+ records? compared, nothing lost$`).MatchString(last) {
		t.Errorf("%d, it ends with %q", code, last)
	}
}

// TestWhichBuild: a bug report says which one.
func TestWhichBuild(t *testing.T) {
	gateway := commandLine(t)
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if out, code := gateway(args...); code != 0 || !regexp.MustCompile(`^sluice \S+.*, go\S+, \w+/\w+\n$`).MatchString(out) {
			t.Errorf("%v: %d %q", args, code, out)
		}
	}
}

// TestCommandsWithoutAGateway: output as JSON, completion, manual, and what a wrong command line
// says.
func TestCommandsWithoutAGateway(t *testing.T) {
	gateway := commandLine(t)
	file := "../../configs/failover.yaml"
	out, code := gateway("chain", file, "--output", "json")
	rows := decoded[[]struct {
		API          string
		Interceptors []string
	}](t, out)
	if code != 0 || len(rows) < 50 || len(rows[0].Interceptors) < 3 {
		t.Errorf("chain: %d %s", code, out)
	}
	if out, code := gateway("validate", file, "--output", "json"); code != 0 || len(decoded[[]any](t, out)) != 0 {
		t.Errorf("validate: %d %s", code, out)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("clusters:\n  prod: {bootstrap: [nowhere]}\nvirtual_clusters: {}\nadmin: {users: [{name: a, password: b, role: king}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code = gateway("validate", bad, "--output", "json")
	if errs := decoded[[]struct{ Line, Column int }](t, out); code != 1 || len(errs) == 0 || errs[0].Line != 2 && errs[0].Line != 3 {
		t.Errorf("validate: %d %s", code, out)
	}
	if out, code := gateway("validate", bad, "--output", "xml"); code != 2 || !strings.Contains(out, "text, json") {
		t.Errorf("an unknown output: %d %s", code, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, code := gateway("completion", shell); code != 0 || !strings.Contains(out, "gateway") {
			t.Errorf("completion for %s: %d", shell, code)
		}
	}
	if out, _ := gateway("__complete", "routes", "--output", ""); !strings.Contains(out, "json\n") {
		t.Errorf("what --output may be is not completed: %s", out)
	}
	for args, says := range map[string]string{
		"run": "-c FILE", "top": "-c FILE", "failover plan --to dr orders": "-c FILE", "capture --topic orders": "-c FILE",
		"failover plan": "--from CLUSTER", "failover run --to dr": "--from CLUSTER", "failover plan orders": "--to CLUSTER", "failover run --from prod": "--to CLUSTER",
	} {
		want := 2
		if says == "-c FILE" {
			want = 1
		}
		if out, code := gateway(strings.Fields(args)...); code != want || !strings.Contains(out, says) {
			t.Errorf("%s: %d, it does not say %s:\n%s", args, code, says, out)
		}
	}
	man := filepath.Join(t.TempDir(), "man")
	if out, code := gateway("man", man); code != 0 {
		t.Fatalf("man: %d %s", code, out)
	}
	for _, page := range []string{"gateway.1", "gateway-top.1", "gateway-doctor.1", "gateway-failover-run.1", "gateway-plugin-bench.1"} {
		if b, err := os.ReadFile(filepath.Join(man, page)); err != nil || !strings.Contains(string(b), ".TH") {
			t.Errorf("%s: %v", page, err)
		}
	}
}

// TestTheDoctorFindsWhatIsWrong and says what to fix; with nothing wrong its exit code is 0.
func TestTheDoctorFindsWhatIsWrong(t *testing.T) {
	h := build(t, "orders", "alone")
	gateway := commandLine(t)
	copier := h.copier(kafkatest.Faults{}, "orders", "alone")
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 5)
	if err := copier.CaughtUp(h.ctx); err != nil {
		t.Fatal(err)
	}
	examine := func(file string, want int) map[string]doctor.Finding {
		t.Helper()
		out, code := gateway("doctor", file, "--output", "json")
		if code != want {
			t.Errorf("exit code %d, want %d:\n%s", code, want, out)
		}
		found := map[string]doctor.Finding{}
		for _, f := range decoded[[]doctor.Finding](t, out) {
			if f.Level != doctor.OK && f.Fix == "" {
				t.Errorf("it does not say what to fix: %+v", f)
			}
			if old, ok := found[f.Subject+", "+f.Check]; !ok || old.Level == doctor.OK {
				found[f.Subject+", "+f.Check] = f
			}
		}
		return found
	}
	expect := func(found map[string]doctor.Finding, what string, level doctor.Level, says string) {
		t.Helper()
		if f := found[what]; f.Level != level || !strings.Contains(f.Message+f.Fix, says) {
			t.Errorf("%s: %+v, want %s with %q", what, f, level, says)
		}
	}
	found := examine(h.gw.File, 0)
	for _, what := range []string{"cluster prod, bootstrap", "cluster dr, reachable", "cluster prod, versions", "cluster prod, rights", "cluster prod, clock", "cluster dr, advertised address of node 1", "clusters, common APIs"} {
		expect(found, what, doctor.OK, "")
	}
	expect(found, "virtual cluster "+tenant+", copies", doctor.OK, "2 match")
	expect(found, "virtual cluster "+tenant+", ports", doctor.OK, "somebody listens")
	expect(found, "virtual cluster "+tenant+", advertised name", doctor.Warn, "127.0.0.1")

	// Records that nobody copies, a topic under another name, a topic with other partitions, and
	// addresses that lead nowhere.
	copier.Stop()
	h.produce(h.client(h.dr.Bootstrap()[0]), "orders", "stranger", 3)
	for topic, n := range map[string][2]int32{"renamed": {2, 0}, "prod.renamed": {0, 2}, "narrow": {3, 1}} {
		for i, c := range []*kafkatest.FakeCluster{h.prod, h.dr} {
			if n[i] > 0 {
				if _, err := h.admin(c).CreateTopic(h.ctx, n[i], 1, nil, topic); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	ports, err := kafkatest.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(h.file(), "bootstrap: ["+h.prod.Bootstrap()[0], fmt.Sprintf("bootstrap: [127.0.0.1:%d, no-such-host.invalid:9092, %s", ports, h.prod.Bootstrap()[0]), 1)
	text = strings.Replace(text, "nodes: 0-9}", "nodes: 0-0}", 1)
	text = strings.Replace(text, "host: 127.0.0.1,", "host: no-such-host.invalid, bind: 127.0.0.1,", 1)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	found = examine(file, 1)
	expect(found, "cluster prod, bootstrap", doctor.Fail, "can't be connected to")
	expect(found, "cluster prod, nodes", doctor.Fail, "node 1 is outside")
	expect(found, "virtual cluster "+tenant+", advertised name", doctor.Fail, "does not resolve")
	expect(found, "virtual cluster "+tenant+", copy of orders on dr", doctor.Fail, "no exact copy")
	expect(found, "virtual cluster "+tenant+", copy of renamed on dr", doctor.Fail, "IdentityReplicationPolicy")
	expect(found, "virtual cluster "+tenant+", copy of narrow on dr", doctor.Fail, "3 partitions on prod, but 1")
	if err := kafkatest.KillAll(h.dr); err != nil {
		t.Fatal(err)
	}
	found = examine(h.gw.File, 1)
	expect(found, "cluster dr, reachable", doctor.Fail, "no broker answers")
	if says := found["cluster dr, reachable"].Message; strings.Contains(says, "sent=") {
		t.Errorf("it speaks of the gateway's inside: %s", says)
	}
	text = h.file()
	for _, addr := range h.dr.Bootstrap() {
		text = strings.ReplaceAll(text, addr, "127.0.0.1:1")
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(examine(file, 1), "cluster dr, reachable", doctor.Fail, "none of its bootstrap addresses can be connected to")
	if out, code := gateway("doctor", h.gw.File); code != 1 || !strings.Contains(out, "fix: ") || !strings.Contains(out, "to fix\n") {
		t.Errorf("as text: %d\n%s", code, out)
	}
}
