package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/cmd/gateway/workbench"
	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// exampleChain has every example, each on topics of its own; REGISTRY is the address of a schema
// registry.
const exampleChain = `
      - wasm: {file: policy.wasm, limits: {timeout: 5m}, config: {partitions: {max: 3}, owners: [{clients: "*", prefixes: [""]}]}}
      - wasm: {file: audit.wasm, limits: {timeout: 5m}, topics: ["read-*"], grant: [kv, send_request], config: {topic: audit.reads, interval: 1h}}
      - wasm: {file: chaos.wasm, limits: {timeout: 5m}, topics: ["chaos-*"], config: {faults: [{percent: 50, error: 7, apis: [Produce]}]}}
      - wasm: {file: ratelimit.wasm, limits: {timeout: 5m}, topics: ["limited-*"], grant: [kv], config: {limits: [{records: 5}]}}
      - wasm: {file: schemaid.wasm, limits: {timeout: 5m}, topics: ["schemas-*"], grant: [kv, http], http_hosts: [REGISTRY], config: {rules: [{registry: true}], registry: {url: "http://REGISTRY"}}}
      - wasm:
          file: quality.wasm
          limits: {timeout: 5m}
          topics: ["judged-*"]
          grant: [send_request]
          produce_drop: tombstone
          config:
            rules:
              - {name: positive, expr: "value.n > 0", action: dead_letter, dead_letter_topic: dead.letters}
              - {name: small, expr: "value.n < 100", action: reject}
              - {name: even, expr: "int(value.n) % 2 == 0", action: header}
      - wasm: {file: mask.wasm, limits: {timeout: 5m}, topics: ["masked-*"], config: {fields: [card], mode: last4}}
      - wasm: {file: rust-mask.wasm, limits: {timeout: 5m}, topics: ["digits-*"]}
      - wasm: {file: header.wasm, limits: {timeout: 5m}, topics: ["stamped-*"], config: {key: via, value: sluice}}
      - wasm: {name: header-in-rust, file: rust-header.wasm, limits: {timeout: 5m}, topics: ["stamped-*"], config: {key: rust, value: sluice}}
      - wasm: {name: header-in-c, file: c-header.wasm, limits: {timeout: 5m}, topics: ["stamped-*"], config: {key: c, value: sluice}}
      - wasm: {file: encrypt.wasm, limits: {timeout: 5m}, topics: ["secret-*"], config: {active: k1, keys: {k1: "KEY"}}}
`

// buildExamples builds all examples into a folder, as their documents say.
func buildExamples(ctx context.Context, t *testing.T, dir string) {
	t.Helper()
	kafkatest.Require(t, "clang", "wasm-ld")
	const examples = "../../sdk/examples"
	run := func(env []string, args ...string) error {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", args, err, out)
		}
		return nil
	}
	for _, name := range []string{"policy", "audit", "chaos", "ratelimit", "schemaid", "quality", "mask", "header", "encrypt"} {
		if err := run([]string{"GOOS=wasip1", "GOARCH=wasm"}, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", filepath.Join(dir, name+".wasm"), examples+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"rust-header", "rust-mask"} {
		file, err := workbench.Build(ctx, filepath.Join(examples, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file, filepath.Join(dir, name+".wasm")); err != nil {
			b, err := os.ReadFile(file) // on another file system
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name+".wasm"), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	object := filepath.Join(dir, "header.o")
	if err := run(nil, "clang", "--target=wasm32", "-O2", "-mbulk-memory", "-I", "../../sdk/c", "-c", examples+"/c-header/header.c", "-o", object); err != nil {
		t.Fatal(err)
	}
	if err := run(nil, "wasm-ld", "--no-entry", "-o", filepath.Join(dir, "c-header.wasm"), object); err != nil {
		t.Fatal(err)
	}
}

// TestEveryExampleUnderEveryClient runs all examples in one chain in front of a real cluster:
// Java's producer, classic consumer and admin client, librdkafka and franz-go see what each of them
// is for.
func TestEveryExampleUnderEveryClient(t *testing.T) {
	kafkatest.Require(t, "java", "mvn", "javac")
	ctx := eventually.Context(t)
	dir := t.TempDir()
	var cluster *kafkatest.RealCluster
	var failed error
	var starting sync.WaitGroup
	starting.Go(func() { cluster, failed = kafkatest.Real(ctx, "prod", kafkatest.Kafka4, dir, 1) })
	guests := t.TempDir()
	buildExamples(ctx, t, guests)
	if starting.Wait(); failed != nil {
		t.Fatal(failed)
	}
	defer func() { _ = cluster.Close() }()
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/schemas/ids/7" {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprint(w, `{"schema": "\"string\""}`)
	}))
	defer registry.Close()
	gw, err := gatewaytest.Start(ctx, guests, nil, logger(), cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gw.Stop() }()
	p := &pair{t: t, ctx: ctx, prod: cluster, gw: gw}
	chain := strings.NewReplacer("REGISTRY", strings.TrimPrefix(registry.URL, "http://"), "KEY", strings.Repeat("0badc0de", 8)).Replace(exampleChain)
	if err := gw.Edit("    chain:\n", "    chain:"+chain); err != nil {
		t.Fatal(err)
	}
	p.wait("the guests", func() bool { _, b := p.call("GET", "/plugins", ""); return strings.Count(b, "sha256") == 12 }, func() string { _, b := p.call("GET", "/config", ""); return b })
	for _, topic := range []string{"audit.reads", "dead.letters"} {
		if err := kafkatest.Create(ctx, cluster, topic, 1); err != nil {
			t.Fatal(err)
		}
	}
	for name, open := range map[string]func() (clients.Shell, error){
		"java":       func() (clients.Shell, error) { return clients.JavaShell(ctx, kafkatest.Kafka4, gw.Bootstrap, "java") },
		"librdkafka": func() (clients.Shell, error) { return rdkafka.Shell(gw.Bootstrap, "librdkafka") },
		"franz":      func() (clients.Shell, error) { return clients.FranzShell(gw.Bootstrap, "franz") },
	} {
		t.Run(name, func(t *testing.T) {
			c, err := open()
			if err != nil {
				t.Fatal(err)
			}
			e := &examples{t: t, pair: p, client: c, name: name}
			e.all()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	p.audited()
}

// examples is what one client does with them.
type examples struct {
	*pair
	t      *testing.T
	client clients.Shell
	name   string
}

// topic creates a topic of this client's own, through the policy.
func (e *examples) topic(kind string) string {
	e.t.Helper()
	topic := kind + "-" + e.name
	if err := e.client.CreateTopic(e.ctx, topic, 1); err != nil {
		e.t.Fatalf("create %s: %v", topic, err)
	}
	return topic
}

func (e *examples) produce(topic string, values ...string) {
	e.t.Helper()
	for _, v := range values {
		if err := e.client.Produce(e.ctx, topic, []byte(v)); err != nil {
			e.t.Errorf("%s: %q: %v", topic, v, err)
		}
	}
}

// refused sends a value that must not be taken.
func (e *examples) refused(topic, value string) {
	e.t.Helper()
	if err := e.client.Produce(e.ctx, topic, []byte(value)); err == nil || e.ctx.Err() != nil {
		e.t.Errorf("%s: %q was not refused: %v", topic, value, err)
	} else {
		e.t.Logf("%s: %v", topic, err)
	}
}

// read checks the values of a topic and returns its records.
func (e *examples) read(topic string, want ...string) []clients.Seen {
	e.t.Helper()
	list, err := e.client.Read(e.ctx, topic, len(want))
	if err != nil {
		e.t.Fatalf("%s: %v", topic, err)
	}
	for i, w := range want {
		if string(list[i].Value) != w {
			e.t.Errorf("%s: record %d is %q, want %q", topic, i, list[i].Value, w)
		}
	}
	return list
}

func (e *examples) all() {
	// policy
	if err := e.client.CreateTopic(e.ctx, "wide-"+e.name, 9); err == nil {
		e.t.Error("the policy did not refuse a topic with nine partitions")
	} else {
		e.t.Logf("create: %v", err)
	}

	t := e.topic("stamped")
	e.produce(t, "a")
	if h := e.read(t, "a")[0].Headers; h["via"] != "sluice" || h["rust"] != "sluice" || h["c"] != "sluice" {
		e.t.Errorf("headers %v", h)
	}

	t = e.topic("masked")
	e.produce(t, `{"card":"4111111111111234","n":1}`, `{"n":2}`)
	e.read(t, `{"card":"************1234","n":1}`, `{"n":2}`)

	t = e.topic("digits")
	e.produce(t, "card 4711", "none")
	e.read(t, "card ****", "none")

	t = e.topic("secret")
	e.produce(t, "for "+e.name+" alone")
	e.read(t, "for "+e.name+" alone")
	if r := e.direct(t, 1)[0]; strings.Contains(string(r.Value), "alone") || len(r.Value) == 0 {
		e.t.Errorf("the cluster holds %q", r.Value)
	}

	t = e.topic("schemas")
	e.produce(t, "\x00\x00\x00\x00\x07known")
	e.refused(t, "\x00\x00\x00\x00\x08unknown")
	e.read(t, "\x00\x00\x00\x00\x07known")

	t = e.topic("judged")
	e.produce(t, `{"n":2}`, `{"n":0}`, `{"n":3}`)
	e.refused(t, `{"n":100}`)
	list := e.read(t, `{"n":2}`, "", `{"n":3}`)
	if list[1].Value != nil || len(list[0].Headers) != 0 || list[2].Headers["sluice-rule"] != "even" {
		e.t.Errorf("judged: %+v", list)
	}
	found := false
	for _, r := range e.direct("dead.letters", 1) {
		h := headers(r)
		found = found || string(r.Value) == `{"n":0}` && h["sluice-topic"] == t && h["sluice-rule"] == "positive"
	}
	if !found {
		e.t.Errorf("no dead letter of %s", t)
	}

	e.triesAgain("chaos", "chaos_total", 30)
	e.triesAgain("limited", "ratelimit_refused_total", 12)

	t = e.topic("read")
	e.produce(t, "x")
	e.read(t, "x")
}

// triesAgain sends n records, of which some are refused with a code that clients try again after:
// they arrive all the same, once and in order.
func (e *examples) triesAgain(kind, metric string, n int) {
	e.t.Helper()
	before := e.metric(metric)
	topic := e.topic(kind)
	var values []string
	for i := range n {
		values = append(values, fmt.Sprint(i))
	}
	e.produce(topic, values...)
	e.read(topic, values...)
	if e.metric(metric) <= before {
		e.t.Errorf("%s: nobody had to try again", kind)
	}
}

// metric is the sum of the series of a name.
func (p *pair) metric(name string) (sum float64) {
	p.t.Helper()
	_, b := p.call("GET", "/plugins", "")
	var doc any
	if err := json.Unmarshal([]byte(b), &doc); err != nil {
		p.t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if n, ok := v["value"].(float64); ok && v["name"] == name {
				sum += n
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	return sum
}

// direct reads the records that a topic has on the cluster, at least n.
func (p *pair) direct(topic string, n int) (out []*kgo.Record) {
	p.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(p.prod.Bootstrap()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	for len(out) < n {
		f := c.PollFetches(p.ctx)
		if err := f.Err(); err != nil {
			p.t.Fatalf("%s: %v", topic, err)
		}
		out = append(out, f.Records()...)
	}
	return out
}

func headers(r *kgo.Record) map[string]string {
	out := map[string]string{}
	for _, h := range r.Headers {
		out[h.Key] = string(h.Value)
	}
	return out
}

// audited checks that the audit topic names every client that has read.
func (p *pair) audited() {
	p.t.Helper()
	seen := map[string]bool{}
	for _, r := range p.direct("audit.reads", 3) {
		var entry struct{ Client, Topic string }
		if err := json.Unmarshal(r.Value, &entry); err != nil {
			p.t.Errorf("audit record %q: %v", r.Value, err)
		}
		seen[entry.Client+" "+entry.Topic] = true
	}
	for _, c := range []string{"java", "librdkafka", "franz"} {
		if !seen[c+" read-"+c] {
			p.t.Errorf("no audit record of %s: %v", c, seen)
		}
	}
}
