package protocol

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
)

// TestAGatewayOfYourOwn is the one of sdk/README.md: a plugin is compiled in, and chains name it.
func TestAGatewayOfYourOwn(t *testing.T) {
	text, err := os.ReadFile("../../sdk/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "## Compiled into a gateway")
	block := func(kind string) string {
		_, after, found := strings.Cut(section, "```"+kind+"\n")
		b, _, ends := strings.Cut(after, "```")
		ok = ok && found && ends
		return b
	}
	main, chain := block("go"), block("yaml")
	if !ok {
		t.Fatal("sdk/README.md does not show it")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	if err := os.WriteFile(file, []byte(main), 0o644); err != nil {
		t.Fatal(err)
	}
	c := fake(t, "prod", map[string]int32{"orders.eu": 1, "logs": 1})
	p, err := gatewaytest.StartProcess(t.Context(), file, dir, nil, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	_, item, _ := strings.Cut(strings.TrimSpace(chain), "\n")
	if err := p.Edit("      - routing:", "      "+item+"\n      - routing:"); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.Bootstrap), kgo.ConsumeTopics("orders.eu", "logs"), kgo.FetchMaxWait(100e6))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := eventually.Context(t)
	const card = `{"card":"4111","n":1}`
	want := map[string]string{"orders.eu": `{"card":"****","n":1}`, "logs": card}
	got := map[string]string{}
	for got["orders.eu"] != want["orders.eu"] || got["logs"] == "" { // the edit takes a moment
		for topic := range want {
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(card)}).FirstErr(); err != nil {
				t.Fatal(err, p.Log())
			}
		}
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got[r.Topic] = string(r.Value) })
		if ctx.Err() != nil {
			t.Fatal(got, p.Log())
		}
	}
	if got["logs"] != card {
		t.Errorf("consumers see %v, want %v", got, want)
	}
}
