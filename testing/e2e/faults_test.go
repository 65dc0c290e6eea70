package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// steady is the load of the fault tests: idempotent producers with acks=all, and consumers.
func (p *pair) steady() *load {
	const v = kafkatest.Kafka4
	return p.load(map[string]clients.Client{
		"spread": spread("batching", beside()), "java": clients.JavaProducer(v), "franz": clients.FranzProducer, "librdkafka": rdkafka.Producer(true),
	}, map[string]clients.Client{
		"java_c": clients.JavaConsumer(v, "classic"), "franz_c": clients.FranzReader, "librdkafka_c": rdkafka.Consumer,
	})
}

// alive checks what may be asserted under faults: nothing acknowledged is lost, nothing of an
// idempotent producer stands in the log twice, no client ends.
func (p *pair) alive(l *load) {
	p.t.Helper()
	r := l.finish()
	p.show(r, l)
	if r.Lost != 0 || r.LogDuplicates != 0 || r.Acked < 500 {
		p.t.Errorf("%+v", r)
	}
	for _, d := range r.Details {
		if strings.Contains(d, "ended by itself") {
			p.t.Error(d)
		}
	}
}

func TestBrokerKilledFrozenAndBrokenFile(t *testing.T) {
	p := newPair(t, kafkatest.Kafka4)
	l := p.steady()
	l.more(600)
	t.Log("a broker is killed")
	if err := p.prod.Kill(2); err != nil {
		t.Fatal(err)
	}
	l.more(600)
	if err := p.prod.Restart(p.ctx, 2); err != nil {
		t.Fatal(err)
	}
	l.more(300)
	t.Log("a broker is frozen")
	if err := p.prod.Freeze(1); err != nil {
		t.Fatal(err)
	}
	l.more(600)
	if err := p.prod.Thaw(1); err != nil {
		t.Fatal(err)
	}
	l.more(300)
	t.Log("the file is broken, then mended with a move in it")
	good, err := os.ReadFile(p.gw.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.gw.File, append([]byte("clusters: [\n"), good...), 0o644); err != nil {
		t.Fatal(err)
	}
	p.wait("the error in /readyz", func() bool {
		_, body := p.call("GET", "/readyz", "")
		return strings.Contains(body, "sluice.yaml:")
	}, func() string { _, b := p.call("GET", "/readyz", ""); return b })
	l.more(200)
	moved := strings.Replace(string(good), p.topic+": {cluster: prod}", p.topic+": {cluster: dr}", 1)
	if err := os.WriteFile(p.gw.File, []byte(moved), 0o644); err != nil {
		t.Fatal(err)
	}
	p.moved(1)
	l.more(300)
	p.alive(l)
}

// TestGatewayKilledInTheMiddleOfAMove kills the gateway while it moves, at several points, and
// starts it again: clients go on with the same ids, offsets and epochs.
func TestGatewayKilledInTheMiddleOfAMove(t *testing.T) {
	p := newPair(t, kafkatest.Kafka4)
	if err := p.gw.Stop(); err != nil {
		t.Fatal(err)
	}
	proc, err := gatewaytest.StartProcess(p.ctx, gatewaytest.Command, t.TempDir(), map[string]string{p.topic: "prod"}, p.prod, p.dr)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Kill()
	p.gw.Bootstrap = proc.Bootstrap
	t.Cleanup(func() { _ = p.gw.Restart(p.ctx) }) // newPair's clean-up stops it
	l := p.steady()
	l.more(500)
	homes := []kafkatest.Cluster{p.prod, p.dr}
	for i, after := range []time.Duration{30 * time.Millisecond, 160 * time.Millisecond, 250 * time.Millisecond} {
		from, to := homes[i%2], homes[(i+1)%2]
		if err := proc.Edit(p.topic+": {cluster: "+from.Name()+"}", p.topic+": {cluster: "+to.Name()+"}"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after) // the kill is to hit any phase
		proc.Kill()
		if err := proc.Run(p.ctx); err != nil {
			t.Fatal(err)
		}
		p.wait("the move", func() bool {
			ms := proc.Moves()
			for _, m := range ms {
				if m.Ended.IsZero() {
					return false
				}
			}
			return len(ms) > i && ms[len(ms)-1].To == to.Name()
		}, func() string { return proc.Log() })
		p.turn(to, from)
		l.more(400)
	}
	p.alive(l)
	if t.Failed() {
		t.Log(proc.Log())
	}
}

// TestDeleteWithoutPost lets the grace end: clients get an unknown topic, none dies, and a later
// POST brings the topic back.
func TestDeleteWithoutPost(t *testing.T) {
	p := newPair(t, kafkatest.Kafka4)
	if err := p.gw.Edit("delete_grace: 30s", "delete_grace: 1s"); err != nil {
		t.Fatal(err)
	}
	l := p.load(map[string]clients.Client{"java": clients.JavaProducer(kafkatest.Kafka4), "librdkafka": rdkafka.Producer(true)},
		map[string]clients.Client{"java_c": clients.JavaConsumer(kafkatest.Kafka4, "classic"), "franz_c": clients.FranzReader})
	l.more(400)
	p.wait("the shorter grace", func() bool { _, b := p.call("GET", "/config", ""); return strings.Contains(b, `"delete_grace": "1s"`) }, func() string { return "" })
	if code, body := p.call("DELETE", "/topicMappings/passThroughTenant/"+p.topic, ""); code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	p.wait("cluster: none in the file", func() bool {
		b, _ := os.ReadFile(p.gw.File)
		return strings.Contains(string(b), p.topic+": {cluster: none}")
	}, func() string { b, _ := os.ReadFile(p.gw.File); return string(b) })
	time.Sleep(3 * time.Second) // clients see the unknown topic
	if code, body := p.call("POST", "/topicMappings/passThroughTenant/"+p.topic, `{"clusterId":"main","topicName":"resilient_topic","isVirtual":true}`); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	p.moved(1)
	l.more(300)
	p.alive(l)
}
