package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// known waits until the distances of all copies on dr are.
func (p *pair) known() {
	p.t.Helper()
	p.wait("distances", func() bool {
		topic := p.gw.Topic("passThroughTenant", p.topic)
		if topic == nil || len(topic.Partitions) < 3 {
			return false
		}
		for _, part := range topic.Partitions {
			if _, ok := part.Delta("dr"); !ok {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("%+v", p.gw.Topic("passThroughTenant", p.topic)) })
}

// dies kills all brokers of prod, with records that no replicator has copied, and gives it up. What
// is reported as lost is forgotten; it returns how many acknowledged records that were.
func (p *pair) dies(l *load) (lost int) {
	p.t.Helper()
	p.known()
	p.copier.Stop()
	l.more(100)
	for _, n := range p.prod.Nodes() {
		if err := p.prod.Kill(n); err != nil {
			p.t.Fatal(err)
		}
	}
	if code, body := p.call("POST", "/failover/run", fmt.Sprintf(`{"topics": [%q], "to": "dr", "unplanned": true}`, p.topic)); code != 202 {
		p.t.Fatalf("%d %s", code, body)
	}
	m := p.moved(1)
	for _, r := range m.PossibleLoss {
		lost += l.rec.Lose(r.Partition, r.From, r.To)
	}
	if m.Planned || lost == 0 {
		p.t.Fatalf("planned %t, %d acknowledged records are lost", m.Planned, lost)
	}
	return lost
}

// back starts the brokers of prod again.
func (p *pair) back() {
	p.t.Helper()
	nodes := p.prod.Nodes()
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = p.prod.Restart(p.ctx, n) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		p.t.Fatal(err)
	}
}

// TestAHomeThatComesBack: prod is killed with records that nobody has copied, and producers go on
// at dr. When prod is back, a replicator brings what came since, and some of what was there before.
// The fail back is a planned move that nobody notices, and nobody is shown what was lost.
func TestAHomeThatComesBack(t *testing.T) {
	p := newPair(t, kafkatest.Kafka4)
	const v = kafkatest.Kafka4
	l := p.load(map[string]clients.Client{
		"spread": spread("batching", beside()), "java": clients.JavaProducer(v), "franz": clients.FranzProducer, "librdkafka": rdkafka.Producer(true),
	}, map[string]clients.Client{"reader": clients.FranzReader})
	l.more(300)
	lost := p.dies(l)
	t.Logf("%d acknowledged records are lost", lost)
	l.more(200)
	p.back()
	p.copy(p.dr, p.prod, map[string]map[int32]int64{p.topic: p.cut(20)})
	l.more(200)
	if code, body := p.call("POST", "/failover/run", fmt.Sprintf(`{"topics": [%q], "to": "prod"}`, p.topic)); code != 202 {
		t.Fatalf("%d %s", code, body)
	}
	m := p.moved(2)
	if !m.Planned || !strings.Contains(strings.Join(m.Notes, "; "), "records that were lost when prod died are hidden there") {
		t.Errorf("planned %t, notes %q", m.Planned, m.Notes)
	}
	l.more(200)
	late, stop := context.WithCancel(p.ctx)
	var reader sync.WaitGroup
	reader.Go(func() {
		_ = clients.FranzReader(late, clients.Target{Bootstrap: p.gw.Bootstrap, Topic: p.topic}, "late", l.rec)
	})
	l.stopP()
	l.producers.Wait()
	p.wait("one that comes afterwards to have everything", func() bool { return l.rec.CompleteWith("late") }, func() string { return fmt.Sprint(l.rec.Report().Details) })
	stop()
	reader.Wait()
	r := l.finish()
	p.show(r, l)
	t.Logf("held for %d ms, %d attempts, %d records compared, %q", m.PauseMS, m.Attempts, m.Compared, m.Notes)
	if !r.Clean() || r.Acked < 800 {
		t.Errorf("a client noticed: %+v", r)
	}
}
