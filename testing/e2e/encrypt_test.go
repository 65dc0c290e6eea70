package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestGuestsUnderEveryClient: values are encrypted on their way to the clusters and decrypted on
// their way back, and a header is added, under clients of three kinds and through a move. They see
// what they sent, in order and once; the clusters never do.
func TestGuestsUnderEveryClient(t *testing.T) {
	p := newPair(t, kafkatest.Kafka4)
	for _, name := range []string{"encrypt", "header"} {
		cmd := exec.CommandContext(p.ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", filepath.Join(p.gw.Dir, name+".wasm"), "../../sdk/examples/"+name)
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if err := p.gw.Edit("      - routing:", "      - wasm: {file: encrypt.wasm, limits: {timeout: 5m}, config: {active: k1, keys: {k1: \""+strings.Repeat("0badc0de", 8)+"\"}}}\n"+
		"      - wasm: {file: header.wasm, limits: {timeout: 5m}, config: {key: via, value: sluice}}\n      - routing:"); err != nil {
		t.Fatal(err)
	}
	p.wait("both guests", func() bool { _, b := p.call("GET", "/plugins", ""); return strings.Count(b, "sha256") == 2 }, func() string { _, b := p.call("GET", "/config", ""); return b })
	const v = kafkatest.Kafka4
	neighbours := beside()
	l := p.load(map[string]clients.Client{"spread": spread("batching", neighbours), "spread_raw": spread("raw", neighbours), "java": clients.JavaProducer(v), "librdkafka": rdkafka.Producer(true), "franz": clients.FranzProducer},
		map[string]clients.Client{"java_classic": clients.JavaConsumer(v, "classic"), "java_848": clients.JavaConsumer(v, "consumer"), "librdkafka_c": rdkafka.Consumer, "franz_c": clients.FranzConsumer})
	l.more(300)
	if err := p.gw.Edit(p.topic+": {cluster: prod}", p.topic+": {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	p.moved(1)
	l.more(300)
	r := l.finish()
	p.show(r, l)
	if !r.Clean() {
		t.Errorf("a client noticed: %+v", r)
	}
	p.checkBeside(neighbours)
	for _, c := range []kafkatest.Cluster{p.prod, p.dr} {
		p.encrypted(c)
	}
}

// encrypted checks that a cluster holds no value in the clear.
func (p *pair) encrypted(c kafkatest.Cluster) {
	p.t.Helper()
	direct, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...), kgo.ConsumeTopics(p.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		p.t.Fatal(err)
	}
	defer direct.Close()
	for n := 0; n < 100; {
		f := direct.PollFetches(p.ctx)
		if p.ctx.Err() != nil {
			p.t.Fatal("no records")
		}
		f.EachRecord(func(r *kgo.Record) {
			n++
			var names []string
			for _, h := range r.Headers {
				names = append(names, h.Key)
			}
			s := string(r.Value)
			about := fact.Of(p.t, "%s holds %q with headers %v", c.Name(), r.Value, names)
			fact.HasNo(about, s, "java")
			fact.HasNo(about, s, "franz")
			fact.HasNo(about, s, "librdkafka")
			fact.Equal(about, `strings.Join(names, " ")`, strings.Join(names, " "), "sluice-enc via")
		})
	}
}
