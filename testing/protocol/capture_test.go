package protocol

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/cmd/gateway/workbench"
	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// TestCapture: what clients send and get is captured while they do, written as cases, and shown to
// a plugin.
func TestCapture(t *testing.T) {
	h := build(t, "orders")
	h.reader()
	for _, c := range []struct {
		body string
		code int
		want string
	}{
		{`{"exchanges": 0, "seconds": 1}`, 400, "exchanges is from 1"},
		{`{"exchanges": 1, "seconds": 61}`, 400, "seconds from 1 to 60"},
		{`{"exchanges": 1, "seconds": 1, "apis": ["Prduce"]}`, 400, "no Kafka API Prduce"},
		{`{"exchanges": 1, "seconds": 1, "api": "x"}`, 400, "unknown field"},
	} {
		var p struct{ Detail string }
		if code, _ := h.v1("POST", "/captures/"+tenant, c.body, &p); code != c.code || !strings.Contains(p.Detail, c.want) {
			t.Errorf("%s: %d %s", c.body, code, p.Detail)
		}
	}
	if code, _ := h.call("POST", "/api/v1/captures/"+tenant, `{"exchanges": 1, "seconds": 1}`, "eve", "eve"); code != 403 {
		t.Errorf("a reader captures: %d", code)
	}
	var none []admin.Exchange
	if code, _ := h.v1("POST", "/captures/"+tenant, `{"exchanges": 1, "seconds": 1, "apis": ["DeleteTopics"]}`, &none); code != 200 || none == nil || len(none) > 0 {
		t.Errorf("nothing happens: %d %v", code, none)
	}

	dir := t.TempDir()
	bin := program(t)
	file := filepath.Join(dir, "capture.yaml")
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), bin, "capture", "-c", h.gw.File, "--live", tenant, "--api", "CreateTopics", "--api", "Produce", "--api", "Fetch",
		"--count", "30", "--for", "60s", "-o", file)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx := eventually.Context(t)
	client := h.client(h.gw.Bootstrap, kgo.ClientID("app"), kgo.ConsumeTopics("orders"))
	adm := kadm.NewClient(client)
	for running := true; running; {
		_, _ = adm.CreateTopics(ctx, 1, 1, nil, "captured")
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{0xff}}}}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		client.PollFetches(ctx)
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			running = false
		default:
		}
	}
	cases, err := workbench.LoadCases(file)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, c := range cases.Cases {
		seen[c.Kind]++
		if c.Client.ID != "app" {
			t.Errorf("%s of %q", c.Kind, c.Client.ID)
		}
		switch c.Kind {
		case "produce", "fetch":
			r := c.Records[0]
			about := fact.Of(t, "%s of %+v", c.Kind, r)
			fact.Equal(about, "r.Topic", r.Topic, "orders")
			fact.Equal(about, "string(r.Key.Bytes)", string(r.Key.Bytes), "k")
			fact.Equal(about, "string(r.Value.Bytes)", string(r.Value.Bytes), "v")
			if fact.Equal(about, "len(r.Headers)", len(r.Headers), 1) {
				fact.Equal(about, "string(r.Headers[0].Value.Bytes)", string(r.Headers[0].Value.Bytes), "\xff")
			}
		case "request":
			if c.API != "CreateTopics" || !bytes.Contains(c.Body.Bytes, []byte("captured")) {
				t.Errorf("%+v", c)
			}
		}
	}
	for _, kind := range []string{"produce", "fetch", "request", "response"} {
		if seen[kind] == 0 {
			t.Errorf("no %s among %v", kind, seen)
		}
	}
	wasm := filepath.Join(dir, "policy.wasm")
	guest := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-o", wasm, "../../sdk/examples/policy")
	guest.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := guest.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	replay := exec.CommandContext(t.Context(), bin, "plugin", "replay", file, wasm, wasm, "--config", `{"partitions": {"max": 3}}`, "--output", "json")
	var differences []workbench.Difference
	if b, err := replay.Output(); err != nil || json.Unmarshal(b, &differences) != nil || len(differences) > 0 {
		t.Errorf("%v %s", err, b)
	}
}

// TestCaptureSaysWhatIsWrong: which flags go together, and that there was nothing to capture; no
// file is left then.
func TestCaptureSaysWhatIsWrong(t *testing.T) {
	h := build(t, "orders")
	gateway := commandLine(t)
	file := filepath.Join(t.TempDir(), "capture.yaml")
	const either = "gateway: give either --topic TOPIC, "
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"":                                       {2, either},
		"--topic orders --live " + tenant:        {2, either},
		"--count 3":                              {2, either},
		"--live " + tenant + " --records 3":      {2, "--records does not go with --live; see gateway capture --help"},
		"--live " + tenant + " --cluster dr":     {2, "--cluster does not go with --live"},
		"--topic orders --api Produce":           {2, "--api does not go with --topic"},
		"--topic orders --for 3s":                {2, "--for does not go with --topic"},
		"--topic=":                               {2, "--topic is empty"},
		"--live=":                                {2, "--live is empty"},
		"--topic orders --records 0":             {2, "--records must be above 0"},
		"--topic orders --cluster nowhere":       {2, `no cluster "nowhere"`},
		"--topic orders":                         {1, "orders on prod has no records, so there is nothing to capture"},
		"--topic nobodys":                        {1, "topic nobodys: UNKNOWN_TOPIC_OR_PARTITION"},
		"--live " + tenant + " --api Frobnicate": {1, "no Kafka API Frobnicate"},
	} {
		if out, code := gateway(append([]string{"capture", "-c", h.gw.File, "-o", file}, strings.Fields(args)...)...); code != want.code || !strings.Contains(out, want.says) {
			t.Errorf("%s: %d, want %d and %q:\n%s", args, code, want.code, want.says, out)
		}
	}
	_ = h.dr.Close()
	if out, code := gateway("capture", "-c", h.gw.File, "-o", file, "--topic", "orders", "--cluster", "dr"); code != 1 || !strings.Contains(out, "the cluster does not answer") {
		t.Errorf("a cluster that is down: %d\n%s", code, out)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a file is there: %v", err)
	}
}
