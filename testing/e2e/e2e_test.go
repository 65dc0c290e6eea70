// Package e2e tests the gateway with real Apache Kafka and real clients of several languages.
package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/core/telemetry/otlp"
	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/clients/sarama"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/gatewaytest"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// pair is two real clusters of two brokers with the same node ids, and a gateway in front.
type pair struct {
	t        *testing.T
	ctx      context.Context
	prod, dr *kafkatest.RealCluster
	gw       *gatewaytest.Gateway
	topic    string
	copier   *kafkatest.Copier
}

// neighbours are topics, with their partitions, that stay at home while the topic of a test moves:
// requests name both.
var neighbours = map[string]int32{"neighbour": 2, "another": 1}

func logger() *slog.Logger {
	level := slog.LevelWarn
	if os.Getenv("DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// newPair starts everything; the topic lives on prod and is copied to dr.
func newPair(t *testing.T, version string) *pair {
	t.Helper()
	p := newClusters(t, version, version)
	p.copy(p.prod, p.dr, nil)
	t.Cleanup(func() { p.copier.Stop() })
	return p
}

// pairOf starts prod and dr, which have the topic, side by side; there is no gateway.
func pairOf(ctx context.Context, t *testing.T, start func(name, dir string) (*kafkatest.RealCluster, error)) *pair {
	t.Helper()
	p := &pair{t: t, ctx: ctx, topic: "resilient_topic"}
	dir := t.TempDir()
	var wg sync.WaitGroup
	var errs [2]error
	wg.Go(func() { p.prod, errs[0] = start("prod", dir) })
	wg.Go(func() { p.dr, errs[1] = start("dr", dir) })
	wg.Wait()
	for i, c := range []*kafkatest.RealCluster{p.prod, p.dr} {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		t.Cleanup(func() { _ = c.Close() })
		if err := kafkatest.Create(ctx, c, p.topic, 3); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// newClusters starts two clusters that have the topic, and the gateway; there is no replicator.
func newClusters(t *testing.T, version, drVersion string) *pair {
	t.Helper()
	kafkatest.Require(t, "java", "mvn", "javac")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	t.Cleanup(cancel)
	versions := map[string]string{"prod": version, "dr": drVersion}
	p := pairOf(ctx, t, func(name, dir string) (*kafkatest.RealCluster, error) {
		return kafkatest.Real(ctx, name, versions[name], dir, 2)
	})
	for _, c := range []*kafkatest.RealCluster{p.prod, p.dr} {
		for name, n := range neighbours {
			if err := kafkatest.Create(ctx, c, name, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	var err error
	if p.gw, err = gatewaytest.StartWith(ctx, otlp.Exporters{}, t.TempDir(), map[string]string{p.topic: "prod"}, logger(), p.prod, p.dr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.gw.Stop() })
	return p
}

func (p *pair) copy(from, to kafkatest.Cluster, start map[string]map[int32]int64) {
	p.t.Helper()
	c, err := kafkatest.StartCopier(p.ctx, kafkatest.CopierConfig{From: from.Bootstrap(), To: to.Bootstrap(), Topics: []string{p.topic}, Start: start})
	if err != nil {
		p.t.Fatal(err)
	}
	p.copier = c
}

// turn turns the replicator round after a move, from the cut on, as an operator would.
func (p *pair) turn(from, to kafkatest.Cluster) {
	cut := p.copier.Position()
	p.copier.Stop()
	p.copy(from, to, cut)
}

// cut are the offsets at the topic's home where that began to be it, and some records before.
func (p *pair) cut(before int64) map[int32]int64 {
	out := map[int32]int64{}
	for i, part := range p.gw.Topic("passThroughTenant", p.topic).Partitions {
		out[int32(i)] = max(part.Current().PhysicalStart-before, 0)
	}
	return out
}

// moved waits until n moves of the topic are done.
func (p *pair) moved(n int) failover.Report {
	p.t.Helper()
	var last failover.Report
	p.wait(fmt.Sprintf("%d moves", n), func() bool {
		done := 0
		for _, m := range p.gw.Moves() {
			if m.Phase == failover.Done && m.What() == (failover.Movable{Kind: failover.Topic, Name: p.topic}) {
				done++
				last = m
			}
		}
		return done >= n
	}, func() string { return fmt.Sprintf("%+v", p.gw.Moves()) })
	return last
}

func (p *pair) wait(what string, cond func() bool, state func() string) {
	p.t.Helper()
	if !eventually.True(func() bool { return p.ctx.Err() != nil || cond() }) || p.ctx.Err() != nil {
		p.t.Fatalf("waited in vain for %s: %s", what, state())
	}
}

// call asks the admin API as curl does in the demo: any content type.
func (p *pair) call(method, path, body string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.ctx, method, p.gw.Admin+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.SetBasicAuth("none", "none")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// spread is a producer that fills all partitions of the topic and of its neighbours, several of
// them in one request. It is one more client of the topic; what becomes of the neighbours' records
// is noted in beside.
func spread(kind string, beside map[string]*clients.Recorder) clients.Client {
	return func(ctx context.Context, t clients.Target, name string, r *clients.Recorder) error {
		s := clients.Spread{Bootstrap: t.Bootstrap, Rate: t.Rate, Topics: []string{t.Topic}, Partitions: map[string][]int32{t.Topic: {0, 1, 2}}, Of: map[string]*clients.Recorder{t.Topic: r}}
		for name, n := range neighbours {
			s.Topics, s.Of[name] = append(s.Topics, name), beside[name]
			for p := range n {
				s.Partitions[name] = append(s.Partitions[name], p)
			}
		}
		slices.Sort(s.Topics)
		return s.Produce(ctx, kind, name)
	}
}

// beside makes a recorder for each neighbour.
func beside() map[string]*clients.Recorder {
	out := map[string]*clients.Recorder{}
	for name := range neighbours {
		out[name] = clients.NewRecorder()
	}
	return out
}

// checkBeside reads the neighbours through the gateway: everything is there, once and in order, and
// no client was shown an error.
func (p *pair) checkBeside(of map[string]*clients.Recorder) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.ctx)
	var reader sync.WaitGroup
	for name := range neighbours {
		reader.Go(func() {
			_ = clients.FranzReader(ctx, clients.Target{Bootstrap: p.gw.Bootstrap, Topic: name}, "beside", of[name])
		})
	}
	for name, r := range of {
		p.wait("what was written to "+name, func() bool { return r.CompleteWith("beside") }, func() string { return fmt.Sprint(r.Report()) })
	}
	cancel()
	reader.Wait()
	for name, r := range of {
		if got := r.Report(); !got.Clean() || got.Acked == 0 {
			p.t.Errorf("%s, which stayed at home: %+v %v", name, got, got.Details)
		}
	}
}

// load are clients. They run until finish is called, which waits until every consumer has
// everything and returns the report.
type load struct {
	p         *pair
	rec       *clients.Recorder
	pctx      context.Context
	cctx      context.Context
	stopP     context.CancelFunc
	stopC     context.CancelFunc
	producers sync.WaitGroup
	consumers sync.WaitGroup
	n         int // of both
}

// unloaded is a load without clients.
func (p *pair) unloaded() *load {
	l := &load{p: p, rec: clients.NewRecorder()}
	l.pctx, l.stopP = context.WithCancel(p.ctx)
	l.cctx, l.stopC = context.WithCancel(p.ctx)
	return l
}

// load runs clients and returns when all of them work.
func (p *pair) load(producers, consumers map[string]clients.Client) *load {
	p.t.Helper()
	l := p.unloaded()
	l.consume(consumers)
	l.produce(producers)
	l.work()
	return l
}

func (l *load) consume(all map[string]clients.Client) { l.start(l.cctx, &l.consumers, all) }

func (l *load) produce(all map[string]clients.Client) { l.start(l.pctx, &l.producers, all) }

func (l *load) start(ctx context.Context, wg *sync.WaitGroup, all map[string]clients.Client) {
	target := clients.Target{Bootstrap: l.p.gw.Bootstrap, Topic: l.p.topic, Rate: 20 * time.Millisecond}
	l.n += len(all)
	for name, c := range all {
		wg.Go(func() {
			if err := c(ctx, target, name, l.rec); err != nil {
				l.rec.Error(name, "%v", err)
			}
		})
	}
}

// work waits until all clients work.
func (l *load) work() {
	l.p.t.Helper()
	l.p.wait(fmt.Sprintf("%d clients", l.n), func() bool { return l.rec.Working() == l.n }, func() string { return fmt.Sprint(l.rec.Pauses(), l.rec.Report().Details) })
}

// more waits until so many more records are acknowledged.
func (l *load) more(n int) {
	l.p.t.Helper()
	want := l.rec.AckedCount() + n
	l.p.wait(fmt.Sprintf("%d acknowledgements", want), func() bool { return l.rec.AckedCount() >= want }, func() string { return fmt.Sprint(l.rec.AckedCount(), " ", l.rec.Report().Details) })
}

func (l *load) finish() clients.Report {
	l.stopP()
	l.producers.Wait()
	eventually.True(l.rec.Complete) // or the report says what is missing
	l.stopC()
	l.consumers.Wait()
	return l.rec.Report()
}

func tool(version, name string) func(ctx context.Context, args ...string) (*exec.Cmd, error) {
	return func(ctx context.Context, args ...string) (*exec.Cmd, error) {
		return kafkatest.Tool(ctx, version, name, args...)
	}
}

func (p *pair) show(r clients.Report, l *load) {
	b, _ := json.Marshal(r)
	p.t.Logf("%s", b)
	p.t.Logf("longest pauses: %s", l.rec.Pauses())
	for _, d := range r.Details {
		p.t.Log(d)
	}
}

// TestPlannedMovesNobodyNotices moves a topic to dr and back, by each way that there is, under the
// load of every client: nothing is lost, delivered twice, reordered, or shown as an error.
func TestPlannedMovesNobodyNotices(t *testing.T) {
	kafkatest.Require(t, "python3")
	p := newPair(t, kafkatest.Kafka4)
	const v = kafkatest.Kafka4
	neighbours := beside()
	l := p.load(map[string]clients.Client{
		"spread": spread("batching", neighbours), "spread_plain": spread("plain", neighbours), "spread_raw": spread("raw", neighbours),
		"java": clients.JavaProducer(v), "console": clients.ConsoleProducer(tool(v, "kafka-console-producer")),
		"franz": clients.FranzProducer, "sarama": sarama.Producer, "python": clients.PythonProducer,
		"librdkafka": rdkafka.Producer(false), "librdkafka_idempotent": rdkafka.Producer(true),
	}, map[string]clients.Client{
		"java_classic": clients.JavaConsumer(v, "classic"), "java_848": clients.JavaConsumer(v, "consumer"),
		"console_c": clients.ConsoleConsumer(tool(v, "kafka-console-consumer")), "franz_c": clients.FranzConsumer,
		"sarama_c": sarama.Consumer, "librdkafka_c": rdkafka.Consumer, "python_c": clients.PythonConsumer,
	})
	l.more(500)
	t.Log("edit: to dr")
	if err := p.gw.Edit(p.topic+": {cluster: prod}", p.topic+": {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	p.moved(1)
	p.turn(p.dr, p.prod)
	l.more(800)
	t.Log("DELETE and POST: back to prod")
	if code, body := p.call("DELETE", "/topicMappings/passThroughTenant/"+p.topic, ""); code != 202 {
		t.Fatalf("DELETE: %d %s", code, body)
	}
	l.more(200)
	if code, body := p.call("POST", "/topicMappings/passThroughTenant/"+p.topic, `{"clusterId":"prod","topicName":"resilient_topic","isVirtual":"true","isConcentrated":"false","isCompacted":"false"}`); code != 200 {
		t.Fatalf("POST: %d %s", code, body)
	}
	p.moved(2)
	p.turn(p.prod, p.dr)
	l.more(800)
	t.Log("PUT: to main, which is dr")
	if code, body := p.call("PUT", "/topicMappings/passThroughTenant/"+p.topic, `{"clusterId":"main","topicName":"resilient_topic"}`); code != 200 {
		t.Fatalf("PUT: %d %s", code, body)
	}
	p.moved(3)
	l.more(500)
	r := l.finish()
	p.show(r, l)
	for _, m := range p.gw.Moves() {
		t.Logf("%s %s > %s: pause %d ms, %v", m.Topic, m.From, m.To, m.PauseMS, phases(m))
	}
	if !r.Clean() || r.Acked < 3000 {
		t.Errorf("a client noticed: %+v", r)
	}
	p.checkBeside(neighbours)
}

// phases shows how long each phase of a move took.
func phases(m failover.Report) (out []string) {
	for i, s := range m.Steps[1:] {
		out = append(out, fmt.Sprintf("%s %d ms", m.Steps[i].Phase, s.At.Sub(m.Steps[i].At).Milliseconds()))
	}
	return out
}
