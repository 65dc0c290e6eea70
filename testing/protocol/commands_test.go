package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// program builds the gateway's binary.
func program(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "gateway")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, gatewaytest.Command).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// TestEveryCommand has help, a manual page and its place in the completion, and those that end
// write JSON and nothing else when they are asked to.
func TestEveryCommand(t *testing.T) {
	bin, dir := program(t), t.TempDir()
	run := func(args ...string) (stdout, stderr string, code int) {
		t.Helper()
		var out, complaints bytes.Buffer
		cmd := exec.CommandContext(t.Context(), bin, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod")
		cmd.Stdout, cmd.Stderr = &out, &complaints
		_ = cmd.Run()
		return out.String(), complaints.String(), cmd.ProcessState.ExitCode()
	}
	if _, complaints, code := run("man", "man"); code != 0 {
		t.Fatal(complaints)
	}
	var leaves []string
	pages := 0
	var walk func(path ...string)
	walk = func(path ...string) {
		help, _, code := run(append(slices.Clone(path), "--help")...)
		if code != 0 || !strings.Contains(help, "Usage:\n  "+strings.Join(append([]string{"gateway"}, path...), " ")) || len(strings.TrimSpace(strings.SplitN(help, "Usage:", 2)[0])) < 20 {
			t.Errorf("%v --help: %d\n%s", path, code, help)
		}
		page, err := os.ReadFile(filepath.Join(dir, "man", strings.Join(append([]string{"gateway"}, path...), "-")+".1"))
		if err != nil || !bytes.Contains(page, []byte(".SH SYNOPSIS")) {
			t.Errorf("%v: %v\n%s", path, err, page)
		}
		pages++
		offered, _, _ := run(append(append([]string{"__complete"}, path...), "")...)
		_, list, _ := strings.Cut(help, "Available Commands:\n")
		list, _, below := strings.Cut(list, "\n\n")
		for line := range strings.Lines(list + "\n") {
			name, short, _ := strings.Cut(strings.TrimSpace(line), " ")
			if name == "" || name == "help" {
				continue
			}
			if !strings.Contains(offered, name+"\t"+strings.TrimSpace(short)) {
				t.Errorf("%v %s is not completed:\n%s", path, name, offered)
			}
			walk(append(slices.Clone(path), name)...)
		}
		if !below {
			leaves = append(leaves, strings.Join(path, " "))
		}
	}
	walk()
	if files, err := os.ReadDir(filepath.Join(dir, "man")); err != nil || len(files) != pages {
		t.Errorf("%d manual pages for %d commands: %v", len(files), pages, err)
	}

	h := build(t, "orders", "other")
	h.copier(kafkatest.Faults{}, "orders", "other")
	p := h.client(h.gw.Bootstrap, kgo.ClientID("till"))
	h.produce(p, "orders", "x", 20)
	c := h.gw.File
	busy := make(chan struct{})
	go func() { // for the capture
		defer close(busy)
		for i := 0; h.ctx.Err() == nil && t.Context().Err() == nil; i++ {
			_ = p.ProduceSync(t.Context(), &kgo.Record{Topic: "other", Value: fmt.Append(nil, i)}).FirstErr()
		}
	}()
	t.Cleanup(func() { <-busy })
	type command struct {
		args []string
		code int
		keys string // of the object, or of the first one of the list
	}
	commands := map[string]command{
		"validate":             {[]string{c}, 0, ""},
		"chain":                {[]string{"-c", c}, 0, "api interceptors key row virtual_cluster"},
		"doctor":               {[]string{"-c", c}, 0, "check level message subject"},
		"routes":               {[]string{c}, 0, "copies generation home id name names partition_count partitions reachable records virtual_cluster wanted"},
		"top":                  {[]string{c, "--once", "--interval", "100ms"}, 0, "apis clients seconds topics"},
		"log":                  {[]string{"-c", c, "upstream=error"}, 0, "components from level levels"},
		"failover plan":        {[]string{"-c", c, "--to", "dr", "orders"}, 0, "blocked carried groups lost ready shares summary topics unplanned"},
		"failover run":         {[]string{"-c", c, "--to", "dr", "orders"}, 0, "attempts by ended from id kind pause_ms phase phases planned possible_loss records_compared since to topic virtual_cluster"},
		"failover abort":       {[]string{"-c", c, "--all"}, 0, ""},
		"failover acknowledge": {[]string{"-c", c, "--all"}, 0, ""},
		"capture":              {[]string{"-c", c, "--topic", "orders", "--records", "5", "-o", "records.yaml"}, 0, "cluster file records topic"},
		"plugin new":           {[]string{"hello"}, 0, "folder"},
		"plugin build":         {[]string{"hello"}, 0, "file"},
		"plugin test":          {[]string{"hello/hello.wasm", "hello/cases.yaml"}, 0, "diff name"},
		"plugin inspect":       {[]string{"hello/hello.wasm"}, 0, "bytes compile_ms exports imports instance_bytes instance_start_us manifest sha256"},
		"plugin bench":         {[]string{"hello/hello.wasm", "--total", "1000"}, 0, "failures guest_ns_per_record instance_bytes ns_per_record p50_ns_per_call p99_ns_per_call records"},
		"plugin replay":        {[]string{"records.yaml", "hello/hello.wasm", "hello/hello.wasm"}, 0, ""},
		"schema":               {nil, 0, "$schema additionalProperties properties required title type"},
		"man":                  {[]string{"pages"}, 0, "folder"},
		"version":              {nil, 0, "go platform version"},
		"plugin upgrade":       {[]string{"hello"}, 0, "folder"},
	}
	check := func(name string, k command) {
		t.Helper()
		out, complaints, code := run(append(append(strings.Fields(name), k.args...), "--output", "json")...)
		var v any
		d := json.NewDecoder(strings.NewReader(out))
		if err := d.Decode(&v); err != nil || code != k.code || d.More() {
			t.Errorf("%s: %d, %v\n%s%s", name, code, err, out, complaints)
			return
		}
		if list, ok := v.([]any); ok && len(list) > 0 {
			v = list[0]
		}
		object, _ := v.(map[string]any)
		if keys := strings.Join(slices.Sorted(maps.Keys(object)), " "); keys != k.keys {
			t.Errorf("%s has the fields %q, want %q", name, keys, k.keys)
		}
	}
	// In this order: a project is built before it is tested, a topic is looked at before it moves.
	order := []string{"plugin new", "plugin build", "capture", "failover plan"}
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	for _, name := range order {
		check(name, commands[name])
	}
	check("capture", command{[]string{"-c", c, "--live", tenant, "--api", "Produce", "--count", "3", "--for", "30s", "-o", "live.yaml"}, 0, "cases file requests virtual_cluster"})
	check("failover plan", command{[]string{"-c", c, "--to", "dr", "orders"}, 1, "blocked carried groups lost ready shares summary topics unplanned"})

	for _, name := range leaves {
		if _, ok := commands[name]; !ok && name != "run" && name != "dev" && !strings.HasPrefix(name, "completion ") {
			t.Errorf("%s is not tested here", name)
		}
	}
	for name := range commands {
		if !slices.Contains(leaves, name) {
			t.Errorf("there is no %s any more", name)
		}
	}
	// Nothing moves, so nobody waits.
	for topic, says := range map[string]string{"orders": "it lives there already", "nobodys": "no such topic is known"} {
		if out, complaints, code := run("failover", "run", "-c", c, "--to", "dr", topic); code != 0 || !strings.Contains(out, says) {
			t.Errorf("failover run of %s: %d\n%s%s", topic, code, out, complaints)
		}
	}
	for _, wrong := range []string{"frobnicate", "plugin frobnicate", "failover plan -c x", "top --frob", "capture", "plugin build a b", "validate a b", "run a -c b", "chain -c a b", "doctor a b", "routes a b", "top -c a b"} {
		if _, complaints, code := run(strings.Fields(wrong)...); code != 2 || !strings.HasPrefix(complaints, "gateway: ") {
			t.Errorf("%s: %d %s", wrong, code, complaints)
		}
	}
	for _, name := range []string{"plugin inspect", "plugin bench", "man"} { // as text they are for people
		if out, _, code := run(append(strings.Fields(name), commands[name].args...)...); code != 0 || strings.HasPrefix(out, "{") || out == "" {
			t.Errorf("%s: %d\n%s", name, code, out)
		}
	}
}

// TestRatesOfAKnownLoad: what top and the console say is what was sent, and how long it took.
func TestRatesOfAKnownLoad(t *testing.T) {
	h := build(t, "orders")
	const delay = 25 * time.Millisecond
	h.prod.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		time.Sleep(delay) // the cluster takes its time
		return nil, nil, false
	})
	p := h.client(h.gw.Bootstrap, kgo.ClientID("till"))
	h.produce(p, "orders", "before", 1) // connections are there
	type look struct {
		Seconds float64
		APIs    []struct {
			API      string
			Requests float64       `json:"requests_per_second"`
			In       float64       `json:"bytes_in_per_second"`
			P50      time.Duration `json:"p50_ns"`
			P99      time.Duration `json:"p99_ns"`
		}
		Topics []struct {
			Topic   string
			Records float64 `json:"records_per_second"`
		}
		Clients []struct {
			ClientID string  `json:"client_id"`
			Requests float64 `json:"requests_per_second"`
		}
	}
	cmd := exec.CommandContext(t.Context(), program(t), "top", "-c", h.gw.File, "--interval", "100ms", "--output", "json")
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	looks := json.NewDecoder(out)
	if err := looks.Decode(new(look)); err != nil {
		t.Fatal(err)
	}

	// One record after the other: each is a request.
	const requests = 30
	var sent atomic.Int64
	var slowest time.Duration
	sending := make(chan struct{})
	go func() {
		defer close(sending)
		for i := range requests {
			began := time.Now()
			if err := p.ProduceSync(h.ctx, &kgo.Record{Topic: "orders", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
				t.Errorf("produce: %v", err)
			}
			slowest = max(slowest, time.Since(began))
		}
		sent.Store(1)
	}()
	sum := map[string]float64{}
	for quiet := false; !quiet; {
		quiet = sent.Load() == 1 // when this look ends, it is the last that has something
		var l look
		if err := looks.Decode(&l); err != nil {
			t.Fatal(err)
		}
		some := false
		for _, a := range l.APIs {
			if a.API != "Produce" {
				continue
			}
			some = a.Requests > 0
			sum["requests"] += a.Requests * l.Seconds
			if a.Requests > 0 && (a.P50 < delay || a.P99 < a.P50 || a.In <= 0) {
				t.Errorf("the cluster takes %s: %+v", delay, a)
			}
			sum["slowest"] = max(sum["slowest"], float64(a.P50))
		}
		for _, c := range l.Clients {
			if c.ClientID == "till" {
				sum["client"] += c.Requests * l.Seconds
			}
		}
		for _, topic := range l.Topics {
			sum["records"] += topic.Records * l.Seconds
		}
		quiet = quiet && !some
	}
	<-sending
	// Top looks at one thing after the other, so the time between two looks at the same one is only
	// about its seconds.
	for what, want := range map[string]float64{"requests": requests, "client": requests, "records": requests} {
		if math.Abs(sum[what]-want) > want/10 {
			t.Errorf("%s: top says %.1f, sent were %.0f", what, sum[what], want)
		}
	}
	if worst := float64(slowest) * 1.25; sum["slowest"] > worst { // a bucket of the histogram is at most that wide
		t.Errorf("half of some second's requests took %s, the slowest took its client %s", time.Duration(sum["slowest"]), slowest)
	}
	h.wait("the console to have counted", func() bool {
		_, page := h.call("GET", "/console/", "")
		return strings.Contains(page, fmt.Sprintf(`data-label="Since start">%d<`, requests+1))
	})
	if _, page := h.call("GET", "/console/clients", ""); !strings.Contains(page, "till") {
		t.Errorf("clients:\n%s", page)
	}
}
