package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
	"github.com/sluice-gateway/sluice/testing/spans"
)

// collector is an OpenTelemetry Collector on configs/telemetry/collector.yaml, which writes what it
// gets to a file.
type collector struct {
	t          *testing.T
	cmd        *exec.Cmd
	grpc, http string
	file       string // of spans
	metrics    string // the file of metrics
}

// buildCollector builds the Collector, which is a module of its own.
func buildCollector(ctx context.Context, bin string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s", "-o", bin, ".")
	cmd.Dir = "../telemetry/collector"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// startCollector starts it with ports of its own, and files in place of where the kept
// configuration sends.
func startCollector(t *testing.T, bin string) *collector {
	t.Helper()
	port, err := kafkatest.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := &collector{t: t, grpc: fmt.Sprintf("127.0.0.1:%d", port), http: fmt.Sprintf("127.0.0.1:%d", port+1), file: filepath.Join(dir, "spans.json"), metrics: filepath.Join(dir, "metrics.json")}
	if keep := os.Getenv("SLUICE_TEST_SPANS"); keep != "" {
		c.file = keep
	}
	changes := filepath.Join(dir, "changes.yaml")
	err = os.WriteFile(changes, fmt.Appendf(nil, `receivers: {otlp: {protocols: {grpc: {endpoint: %q}, http: {endpoint: %q}}}}
exporters: {file/traces: {path: %q}, file/metrics: {path: %q}} # of one file, the pipeline that ends first would close it for both
service:
  pipelines: {traces: {exporters: [file/traces]}, metrics: {exporters: [file/metrics]}}
  telemetry: {metrics: {level: none}, logs: {level: warn}}
`, c.grpc, c.http, c.file, c.metrics), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	c.cmd = exec.Command(bin, "--config", "../../configs/telemetry/collector.yaml", "--config", changes)
	c.cmd.Env = append(os.Environ(), "TRACES_BACKEND=http://localhost", "METRICS_BACKEND=http://localhost")
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = kafkatest.EndsWithParent()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

// stop ends the Collector, which writes what it still has, and returns all spans.
func (c *collector) stop() []spans.Span {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("the collector: %v", err)
	}
	f, err := os.Open(c.file)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	list, err := spans.Read(f)
	if err != nil {
		c.t.Fatal(err)
	}
	return list
}

// checkMetrics finds in what the Collector wrote that requests were counted, and how long they
// took.
func (c *collector) checkMetrics() {
	c.t.Helper()
	b, err := os.ReadFile(c.metrics)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, want := range []string{`"name":"sluice.requests"`, `"exponentialHistogram"`, `{"key":"api","value":{"stringValue":"Produce"}}`, `"stringValue":"passThroughTenant"`} {
		if !strings.Contains(string(b), want) {
			c.t.Errorf("the metrics do not have %s", want)
		}
	}
}

// shape is a span and those below it: name(child child).
func shape(below map[string][]spans.Span, s spans.Span) string {
	name := map[int]string{spans.Server: "SERVER ", spans.Client: "CLIENT "}[s.Kind] + s.Name
	var inner []string
	for _, c := range below[s.ID] {
		inner = append(inner, shape(below, c))
	}
	if len(inner) == 0 {
		return name
	}
	return name + "(" + strings.Join(inner, " ") + ")"
}

func names(list []spans.Event) (out []string) {
	for _, e := range list {
		out = append(out, e.Name)
	}
	return out
}

// TestTracesInACollector sends the metrics of a gateway, and the traces of a Java and a franz-go
// client through a guest and the built-in interceptors to a real Collector, over gRPC and then over
// HTTP, while their topic moves, and reads what the Collector writes.
func TestTracesInACollector(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "collector")
	var building sync.WaitGroup
	var failed [2]error
	building.Go(func() { failed[0] = buildCollector(t.Context(), bin) })
	guest := filepath.Join(dir, "header.wasm")
	building.Go(func() {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", guest, "../../sdk/examples/header")
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if out, err := cmd.CombinedOutput(); err != nil {
			failed[1] = fmt.Errorf("%w\n%s", err, out)
		}
	})
	p := newPair(t, kafkatest.Kafka4)
	building.Wait()
	for _, err := range failed {
		if err != nil {
			t.Fatal(err)
		}
	}
	col := startCollector(t, bin)
	const state = "state: {dir: ./state}"
	over := func(endpoint, protocol string) string {
		to := fmt.Sprintf("{endpoint: %q, protocol: %s, insecure: true", endpoint, protocol)
		return "telemetry: {traces: " + to + ", spans: all}, metrics: " + to + ", interval: 1s}}"
	}
	config := func() string { _, b := p.call("GET", "/config", ""); return b }
	edit := func(from, to string) {
		t.Helper()
		if err := p.gw.Edit(from, to); err != nil {
			t.Fatal(err)
		}
		p.wait("the edit", func() bool { return strings.Contains(string(p.gw.Snapshot().Source), to) }, config)
	}
	edit(state, state+"\n"+over(col.grpc, "grpc"))
	edit("      - routing:", "      - wasm: {file: "+guest+", limits: {timeout: 5m}, config: {key: via, value: sluice}}\n      - traces: {inject: missing}\n      - routing:")

	java, err := clients.JavaShell(p.ctx, kafkatest.Kafka4, p.gw.Bootstrap, "java")
	if err != nil {
		t.Fatal(err)
	}
	franz, err := clients.FranzShell(p.gw.Bootstrap, "franz")
	if err != nil {
		t.Fatal(err)
	}
	shells := map[string]clients.Shell{"java": java, "franz": franz}
	digit := map[string]string{"java": "a", "franz": "b"}
	// The trace of a client's own; the last digit tells its requests apart.
	trace := func(name string, n int) string { return strings.Repeat(digit[name], 31) + fmt.Sprint(n) }
	produce := func(name string, n int) {
		t.Helper()
		var headers []clients.Header
		if n > 0 {
			headers = append(headers, clients.Header{Key: "traceparent", Value: "00-" + trace(name, n) + "-00f067aa0ba902b7-01"})
		}
		if err := shells[name].Produce(p.ctx, p.topic, []byte("an order"), headers...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	const overGRPC, overHTTP = 1, 2
	for name := range shells {
		produce(name, 0)
		produce(name, overGRPC)
	}
	for name, s := range shells {
		list, err := s.Read(p.ctx, p.topic, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Headers["via"] != "sluice" || r.Headers["traceparent"] == "" {
				t.Errorf("%s reads the headers %v", name, r.Headers)
			}
		}
	}
	var moving sync.WaitGroup
	moved := make(chan struct{})
	for name := range shells {
		moving.Go(func() { // all the time, so that each of them is held
			for {
				select {
				case <-moved:
					return
				default:
					produce(name, 0)
				}
			}
		})
	}
	if err := p.gw.Edit(p.topic+": {cluster: prod}", p.topic+": {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	p.moved(1)
	close(moved)
	moving.Wait()
	edit(over(col.grpc, "grpc"), over(col.http, "http"))
	for name := range shells {
		produce(name, overHTTP)
	}
	for _, s := range shells {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := p.gw.Stop(); err != nil { // sends what is left
		t.Error(err)
	}
	all := col.stop()
	col.checkMetrics()
	if err := p.gw.Restart(p.ctx); err != nil { // for the cleanup
		t.Error(err)
	}
	checkTraces(t, p.topic, all, trace, overGRPC, overHTTP)
}

// checkTraces proves what the Collector wrote.
func checkTraces(t *testing.T, topic string, all []spans.Span, trace func(string, int) string, overGRPC, overHTTP int) {
	t.Helper()
	below := spans.Children(all)
	byID := map[string]spans.Span{}
	for _, s := range all {
		byID[s.ID] = s
		if s.Resource["service.name"] != "sluice" {
			t.Errorf("%s is of the service %q", s.Name, s.Resource["service.name"])
		}
	}
	var moves []spans.Span
	produces, fetches, held := map[string]int{}, map[string]int{}, map[string]int{}
	followed := map[string]bool{} // traces of producers that fetches of a client are linked to
	for _, s := range below[""] {
		client := s.Attributes["messaging.client.id"]
		switch {
		case s.Name == "move" && s.Attributes["messaging.destination.name"] != "": // not of a group
			moves = append(moves, s)
		case s.Name == "poll "+topic && s.Attributes["messaging.operation.type"] == "receive" && s.Attributes["messaging.destination.name"] == topic:
			fetches[client]++
			for _, l := range s.Links {
				followed[client+" "+l.Trace] = true
			}
		case s.Name == "send "+topic:
			produces[client]++
			if slices.Contains(names(s.Events), "held") {
				held[client]++
			}
		}
	}
	if len(moves) != 1 {
		t.Fatalf("%d moves", len(moves))
	}
	for _, client := range []string{"java", "franz"} {
		for _, producer := range []string{"java", "franz"} {
			if !followed[client+" "+trace(producer, overGRPC)] {
				t.Errorf("no fetch of %s is linked to the record of %s", client, producer)
			}
		}
		if produces[client] < 5 || fetches[client] == 0 || held[client] == 0 {
			t.Errorf("%s: %d produces, %d of them held, %d fetches", client, produces[client], held[client], fetches[client])
		}
		for n, cluster := range map[int]string{overGRPC: "prod", overHTTP: "dr"} {
			i := slices.IndexFunc(all, func(s spans.Span) bool {
				return s.Name == "send "+topic && len(s.Links) == 1 && s.Links[0].Trace == trace(client, n)
			})
			if i < 0 {
				t.Errorf("%s: no produce is linked to %s", client, trace(client, n))
				continue
			}
			checkProduce(t, topic, client, cluster, all[i], below)
		}
	}
	checkMove(t, topic, moves[0], below)
	for _, s := range below[""] {
		if s.Name != "send "+topic || !slices.Contains(names(s.Events), "held") {
			continue
		}
		if !slices.ContainsFunc(s.Links, func(l spans.Place) bool { return l == moves[0].Place }) {
			t.Errorf("a held produce has the links %v, the move is %v", s.Links, moves[0].Place)
		}
		for _, e := range s.Events {
			if e.Name == "held" && (e.Attributes["sluice.reason"] == "" || e.Attributes["sluice.duration_ms"] == "") {
				t.Errorf("held: %v", e.Attributes)
			}
		}
	}
}

// checkProduce looks at one produce through the whole chain.
func checkProduce(t *testing.T, topic, client, cluster string, s spans.Span, below map[string][]spans.Span) {
	t.Helper()
	want := fmt.Sprintf("SERVER send %s(wasm header(sluice_on_records traces(routing(topics(offsets(CLIENT send %s))))))", topic, topic)
	if got := shape(below, s); got != want {
		t.Errorf("%s: %s, want %s", client, got, want)
		return
	}
	for k, want := range map[string]string{
		"messaging.system": "kafka", "messaging.operation.name": "send", "messaging.batch.message_count": "1", "messaging.operation.type": "send", "messaging.destination.name": topic,
		"messaging.client.id": client, "network.transport": "tcp", "network.peer.address": "127.0.0.1", "sluice.virtual_cluster": "passThroughTenant",
		"sluice.api.key": "0", "sluice.error_code": "0", "sluice.topics": topic,
	} {
		if s.Attributes[k] != want {
			t.Errorf("%s: %s is %q, want %q", client, k, s.Attributes[k], want)
		}
	}
	for _, k := range []string{"messaging.destination.partition.id", "messaging.kafka.offset", "server.address", "sluice.interceptor.duration_ms.wasm.header", "network.peer.port", "sluice.api.version", "sluice.request.size", "sluice.response.size", "sluice.client.software"} {
		if s.Attributes[k] == "" {
			t.Errorf("%s: no %s", client, k)
		}
	}
	at := s
	for len(below[at.ID]) > 0 {
		next := below[at.ID]
		for _, c := range next {
			if c.Trace != s.Trace || c.Start.Before(at.Start.Time) || c.End.After(at.End.Time) {
				t.Errorf("%s: %s from %v to %v is not within %s from %v to %v", client, c.Name, c.Start, c.End, at.Name, at.Start, at.End)
			}
		}
		at = next[len(next)-1]
	}
	{
		got := names(at.Events)
		about := fact.Of(t, "%s: the way to the broker has the events %q and %v, want %s", client, got, at.Attributes, cluster)
		fact.List(about, "got", got, []string{"queued", "sent", "first byte"})
		fact.Equal(about, `at.Attributes["sluice.cluster"]`, at.Attributes["sluice.cluster"], cluster)
		fact.Other(about, `at.Attributes["sluice.cluster.id"]`, at.Attributes["sluice.cluster.id"], "")
		fact.Equal(about, `at.Attributes["messaging.destination.name"]`, at.Attributes["messaging.destination.name"], topic)
		fact.Other(about, `at.Attributes["network.peer.port"]`, at.Attributes["network.peer.port"], "")
	}
	for i := 1; i < len(at.Events); i++ {
		if at.Events[i].At.Before(at.Events[i-1].At.Time) {
			t.Errorf("%s: events %v", client, at.Events)
		}
	}
}

// checkMove looks at the move's trace: one span over all phases, one after the other.
func checkMove(t *testing.T, topic string, move spans.Span, below map[string][]spans.Span) {
	t.Helper()
	for k, want := range map[string]string{"messaging.destination.name": topic, "sluice.move.from": "prod", "sluice.move.to": "dr", "sluice.move.planned": "true"} {
		if move.Attributes[k] != want {
			t.Errorf("move: %s is %q, want %q", k, move.Attributes[k], want)
		}
	}
	var phases []string
	for i, s := range below[move.ID] {
		phases = append(phases, s.Name)
		if s.Start.Before(move.Start.Time) || s.End.After(move.End.Time) || i > 0 && s.Start.Before(below[move.ID][i-1].End.Time) {
			t.Errorf("move: %s lies outside, or overlaps", s.Name)
		}
	}
	for _, want := range []string{"asked", "pending", "pre-check", "hold", "prepare", "commit", "drain", "publish"} {
		if !slices.Contains(phases, want) {
			t.Errorf("the move's phases are %q, without %s", phases, want)
		}
	}
}
