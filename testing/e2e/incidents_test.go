package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/handmade"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// incidents types the commands of a document.
type incidents struct {
	*pair
	texts  *strings.Replacer
	blocks map[string][]string // of commands, by heading
	played map[string]map[int]bool
	path   string
	mirror *kafkatest.MirrorMaker
}

// part is what stands between two headings.
var part = regexp.MustCompile(`(?ms)^## (.*?)\n(.*?)(\n## |\z)`)

// blocksOf are the fenced blocks of a kind in a text.
func blocksOf(text, kind string) (out []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+kind+"\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// play types the commands of a block and returns what they print, and how they end.
func (i *incidents) play(heading string, n int) (out string, code int) {
	i.t.Helper()
	out, code = i.quietly(heading, n)
	i.t.Logf("%s%s(%d)", i.blocks[heading][n], out, code)
	return out, code
}

// quietly is play without a word.
func (i *incidents) quietly(heading string, n int) (out string, code int) {
	i.t.Helper()
	if n >= len(i.blocks[heading]) {
		i.t.Fatalf("%q has no block %d", heading, n)
	}
	if i.played[heading] == nil {
		i.played[heading] = map[int]bool{}
	}
	i.played[heading][n] = true
	return i.typed(i.blocks[heading][n])
}

func (i *incidents) typed(commands string) (out string, code int) {
	i.t.Helper()
	cmd := exec.CommandContext(i.ctx, "sh", "-e", "-c", i.texts.Replace(commands))
	cmd.Dir, cmd.Env = filepath.Dir(i.gw.File), append(os.Environ(), "PATH="+i.path+":"+os.Getenv("PATH"))
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		i.t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// until plays a block until it prints a text.
func (i *incidents) until(text, heading string, n int) {
	i.t.Helper()
	var last string
	i.wait(text, func() bool {
		last, _ = i.quietly(heading, n)
		return strings.Contains(last, text)
	}, func() string { return last + i.mirror.Log() })
}

// tool makes a command of this name.
func (i *incidents) tool(name string, args []string) {
	i.t.Helper()
	var quoted []string
	for _, a := range args {
		quoted = append(quoted, "'"+a+"'")
	}
	if err := os.WriteFile(filepath.Join(i.path, name), []byte("#!/bin/sh\nexec "+strings.Join(quoted, " ")+` "$@"`+"\n"), 0o700); err != nil {
		i.t.Fatal(err)
	}
}

// mirrors starts MirrorMaker 2 in place of the one that runs.
func (i *incidents) mirrors(from, to kafkatest.Cluster) (settings string) {
	i.t.Helper()
	if i.mirror != nil {
		i.mirror.Stop()
	}
	dir := i.t.TempDir()
	var err error
	if i.mirror, err = kafkatest.StartMirrorMaker(i.ctx, kafkatest.Kafka4, dir, from, to); err != nil {
		i.t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "mm2.properties"))
	if err != nil {
		i.t.Fatal(err)
	}
	return string(b)
}

// newIncidents starts two clusters, of which one has the topic orders, a gateway, and commands as
// the document names them.
func newIncidents(t *testing.T, document string) *incidents {
	t.Helper()
	kafkatest.Require(t, "java", "mvn", "curl")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	i := &incidents{pair: &pair{t: t, ctx: ctx, topic: "orders"}, blocks: map[string][]string{}, played: map[string]map[int]bool{}, path: t.TempDir()}
	for rest := document; ; {
		at := part.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		heading, text := rest[at[2]:at[3]], rest[at[4]:at[5]]
		i.blocks[heading] = blocksOf(text, "sh")
		rest = rest[at[5]:]
	}
	dir := t.TempDir()
	var wg sync.WaitGroup
	var errs [2]error
	wg.Go(func() { i.prod, errs[0] = kafkatest.Real(ctx, "prod", kafkatest.Kafka4, dir, 1) })
	wg.Go(func() { i.dr, errs[1] = kafkatest.Real(ctx, "dr", kafkatest.Kafka4, dir, 1) })
	wg.Wait()
	for n, c := range []*kafkatest.RealCluster{i.prod, i.dr} {
		if errs[n] != nil {
			t.Fatal(errs[n])
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	if err := kafkatest.Create(ctx, i.prod, i.topic, 2); err != nil {
		t.Fatal(err)
	}
	var err error
	if i.gw, err = gatewaytest.Start(ctx, t.TempDir(), map[string]string{i.topic: "prod"}, logger(), i.prod, i.dr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.gw.Stop() })
	bin := filepath.Join(t.TempDir(), "gateway")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, gatewaytest.Command).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	i.tool("gateway", []string{bin})
	for _, name := range []string{"kafka-get-offsets", "kafka-consumer-groups", "kafka-topics"} {
		cmd, err := kafkatest.Tool(ctx, kafkatest.Kafka4, name)
		if err != nil {
			t.Fatal(err)
		}
		i.tool(name, cmd.Args)
	}
	i.texts = strings.NewReplacer("prod:9092", i.prod.Bootstrap()[0], "dr:9092", i.dr.Bootstrap()[0], "gateway:6969", i.gw.Bootstrap,
		"http://127.0.0.1:8888", i.gw.Admin, "USER:PASSWORD", "none:none", "2026-01-31T03:00:00.000", time.Now().Add(-time.Hour).UTC().Format("2006-01-02T15:04:05.000"))
	return i
}

// client is one of the gateway.
func (i *incidents) client(opts ...kgo.Opt) *kgo.Client {
	i.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(i.gw.Bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(c.Close)
	return c
}

// write writes the numbers from one to another, in turns to both partitions.
func (i *incidents) write(c *kgo.Client, from, to int) {
	i.t.Helper()
	for n := from; n < to; n++ {
		if err := c.ProduceSync(i.ctx, &kgo.Record{Topic: i.topic, Partition: int32(n % 2), Value: []byte(strconv.Itoa(n))}).FirstErr(); err != nil {
			i.t.Fatalf("%d: %v", n, err)
		}
	}
}

// numbers are those below last that a client reads, an even number, of each partition in order.
func (i *incidents) numbers(last int, opts ...kgo.Opt) (all []int) {
	i.t.Helper()
	c := i.client(append([]kgo.Opt{kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}, opts...)...)
	defer c.Close()
	newest := map[int32]int{0: -1, 1: -1}
	for newest[0]+newest[1] < 2*last-3 {
		fs := c.PollFetches(i.ctx)
		if i.ctx.Err() != nil {
			i.t.Fatalf("read %v", all)
		}
		fs.EachRecord(func(r *kgo.Record) {
			n, _ := strconv.Atoi(string(r.Value))
			if n <= newest[r.Partition] {
				i.t.Errorf("partition %d: %d after %d", r.Partition, n, newest[r.Partition])
			}
			newest[r.Partition] = n
			all = append(all, n)
		})
	}
	_ = c.CommitUncommittedOffsets(i.ctx) // of a client in a group
	slices.Sort(all)
	return all
}

// to are the numbers of ranges.
func to(ranges ...int) (out []int) {
	for k := 0; k < len(ranges); k += 2 {
		for n := ranges[k]; n < ranges[k+1]; n++ {
			out = append(out, n)
		}
	}
	return out
}

// says fails the test unless commands print what they should, and end as they should.
func (i *incidents) says(out string, code, want int, texts ...string) {
	i.t.Helper()
	if code != want {
		i.t.Errorf("it ends with %d, not %d:\n%s", code, want, out)
	}
	for _, x := range texts {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), x) {
			i.t.Errorf("it does not say %q:\n%s", x, out)
		}
	}
}

// TestIncidents plays the document of incidents, in the order in which they would follow from each
// other, with real Kafka and MirrorMaker 2.
func TestIncidents(t *testing.T) {
	b, err := os.ReadFile("../../configs/telemetry/INCIDENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	document := string(b)
	i := newIncidents(t, document)
	t.Cleanup(func() { i.mirror.Stop() })
	p := i.client()

	const lags, refused, down, complain, back, misbehaves, overloaded = "The replicator lags", "A move is refused", "A cluster is down",
		"After a failover, consumers complain", "Fail back, and rebuild a copy", "A plugin misbehaves", "The gateway is overloaded"
	i.mirrors(i.prod, i.dr)
	i.write(p, 0, 40)
	i.until("1 ready", lags, 0)
	i.mirror.Stop()
	i.write(p, 40, 60)
	out, code := i.play(lags, 0)
	i.says(out, code, 1, "0 ready, 1 blocked", "lag: ")
	out, code = i.play(lags, 1)
	i.says(out, code, 0, "orders:0:30 orders:1:30 orders:0:20 orders:1:20")

	out, code = i.typed("gateway failover run -c sluice.yaml --to dr --settle 1ms orders\n")
	i.says(out, code, 3, "pending: 1 topic")
	out, code = i.play(refused, 0)
	i.says(out, code, 0, `"blocked_by": "lag"`)
	out, code = i.play(refused, 1)
	i.says(out, code, 0, "orders")
	if kinds := regexp.MustCompile(`(?m)^\| ([a-z]+) \|`).FindAllStringSubmatch(document[strings.Index(document, "| blocked_by |"):], -1); len(kinds) != len(block.Kinds) {
		t.Errorf("the table has %v, moves are blocked by %v", kinds, block.Kinds)
	} else {
		for k := range kinds {
			if !slices.Contains(block.Kinds, block.Kind(kinds[k][1])) {
				t.Errorf("nothing is blocked by %q", kinds[k][1])
			}
		}
	}

	if got := i.numbers(60, kgo.ConsumerGroup("billing"), kgo.ConsumeTopics(i.topic)); !slices.Equal(got, to(0, 60)) {
		t.Errorf("read %v", got)
	}
	i.mirrors(i.prod, i.dr)
	i.until("1 ready", lags, 0)
	i.mirror.Stop()
	i.write(p, 60, 66) // nobody copies them
	if err := kafkatest.KillAll(i.prod); err != nil {
		t.Fatal(err)
	}
	i.wait("the death to be noticed", func() bool {
		_, body := i.call("GET", "/readyz", "")
		return strings.Contains(body, `"reachable": false`)
	}, func() string { return "" })
	out, code = i.play(down, 0)
	i.says(out, code, 0, "1 unplanned, 6 records would be lost")
	out, code = i.play(down, 1)
	i.says(out, code, 0, "done: 1 topic moved")
	out, code = i.play(down, 2)
	i.says(out, code, 0, "orders dr dr 2")
	out, code = i.play(down, 3)
	i.says(out, code, 0, "acknowledged: up to 6 lost records of 1 move")
	i.write(p, 66, 80)

	i.wait("groups to live on dr", func() bool {
		at := kadm.NewClient(p).FindGroupCoordinators(i.ctx, "billing")["billing"]
		return at.Err == nil && at.NodeID >= 2<<20 // of the second cluster
	}, func() string { return "" })
	out, code = i.play(complain, 0)
	i.says(out, code, 0, "billing orders 0 2097152 2097159 7 ", "billing orders 1 2097152 2097159 7 ") // where it stood, behind what is lost
	out, code = i.play(complain, 1)
	i.says(out, code, 0, "billing orders 0 0", "billing orders 1 0")
	if got := i.numbers(80, kgo.ConsumerGroup("billing"), kgo.ConsumeTopics(i.topic)); !slices.Equal(got, to(0, 60, 66, 80)) {
		t.Errorf("after the reset it reads %v", got)
	}

	for _, n := range i.prod.Nodes() {
		if err := i.prod.Restart(i.ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	settings := i.mirrors(i.dr, i.prod)
	for line := range strings.Lines(i.texts.Replace(blocksOf(document, "properties")[0])) {
		if !strings.Contains(settings, line) {
			t.Errorf("MirrorMaker is not run with %s", line)
		}
	}
	i.until("1 ready", back, 0)
	out, code = i.quietly(back, 0)
	i.says(out, code, 0, "records that were lost when prod died, and stay hidden there: 6")
	out, code = i.play(back, 1)
	i.says(out, code, 0, "done: 1 topic moved")
	i.write(p, 80, 90)
	if got := i.numbers(90, kgo.ConsumeTopics(i.topic)); !slices.Equal(got, to(0, 60, 66, 90)) {
		t.Errorf("after the way back clients read %v", got)
	}
	i.mirrors(i.prod, i.dr) // goes on where it had stopped
	i.until("1 ready", lags, 0)
	i.mirror.Stop()
	out, code = i.play(back, 2)
	i.says(out, code, 1, "0 ready, 1 blocked", "copy: ")
	i.mirrors(i.prod, i.dr)
	i.until("1 ready", lags, 0)

	i.plugin(p, misbehaves)
	out, code = i.play(overloaded, 0)
	i.says(out, code, 0, "Produce", "sluice_held_requests", "sluice_sessions", "sluice_request_memory_bytes")

	for _, heading := range slices.Sorted(maps.Keys(i.blocks)) {
		for n := range i.blocks[heading] {
			if !i.played[heading][n] {
				t.Errorf("nobody has typed block %d of %q", n, heading)
			}
		}
	}
}

// plugin puts a guest into the chain that fails, and then one that does not.
func (i *incidents) plugin(p *kgo.Client, heading string) {
	i.t.Helper()
	module := filepath.Join(filepath.Dir(i.gw.File), "guest.wasm")
	put := func(g handmade.Guest) {
		i.t.Helper()
		if err := os.WriteFile(module, g.Module(), 0o600); err != nil {
			i.t.Fatal(err)
		}
	}
	put(handmade.Guest{Name: "guest", Version: "2", OnRecords: []byte{0}}) // unreachable
	if err := i.gw.Edit("      - offsets: {}\n", "      - wasm: {file: guest.wasm}\n      - offsets: {}\n"); err != nil {
		i.t.Fatal(err)
	}
	i.wait("a produce that is refused", func() bool {
		err := p.ProduceSync(i.ctx, &kgo.Record{Topic: i.topic, Value: []byte("90")}).FirstErr()
		var code *kerr.Error
		return errors.As(err, &code)
	}, func() string { return "" })
	out, code := i.play(heading, 0)
	i.says(out, code, 0, `"version": "2"`, `"failures": `)
	put(handmade.Guest{Name: "guest", Version: "1"})
	out, code = i.play(heading, 1)
	i.says(out, code, 0, "sluice.yaml: ok")
	i.wait("a produce that passes", func() bool {
		return p.ProduceSync(i.ctx, &kgo.Record{Topic: i.topic, Value: []byte("91")}).FirstErr() == nil
	}, func() string { return fmt.Sprint(i.gw.Moves()) })
}
