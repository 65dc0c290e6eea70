package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/clients"
	"github.com/sluice-gateway/sluice/testing/clients/rdkafka"
	"github.com/sluice-gateway/sluice/testing/clients/sarama"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// groupsDocument has the table of what clients see of the moves of their groups.
const groupsDocument = "../../core/failover/README.md"

// families are the consumers of the table, each in a group of its own.
var families = map[string]struct {
	says   string
	client clients.Client
}{
	"java_classic": {"Java consumer, classic", clients.JavaConsumer(kafkatest.Kafka4, "classic")},
	"java_848":     {"Java consumer, KIP-848", clients.JavaConsumer(kafkatest.Kafka4, "consumer")},
	"console_c":    {"kafka-console-consumer", clients.ConsoleConsumer(tool(kafkatest.Kafka4, "kafka-console-consumer"))},
	"librdkafka_c": {"librdkafka", rdkafka.Consumer},
	"franz_c":      {"franz-go", clients.FranzConsumer},
	"sarama_c":     {"sarama", sarama.Consumer},
	"python_c":     {"kafka-python", clients.PythonConsumer},
}

// groupsAt waits until all groups live on a cluster and have moved so often.
func (p *pair) groupsAt(cluster string, generation int32) {
	p.t.Helper()
	state := func() (out []string) {
		for name := range families {
			if g := p.gw.Group("passThroughTenant", name); g == nil || g.Home != cluster || g.Generation != generation {
				out = append(out, fmt.Sprintf("%s: %+v", name, g))
			}
		}
		return out
	}
	p.wait("groups on "+cluster, func() bool { return len(state()) == 0 }, func() string { return fmt.Sprint(state(), p.gw.Moves()) })
}

// TestGroupsOutliveTheirHome: groups of every client go with their topic to dr and back, then all
// brokers of prod are killed, and they go again; so do a consumer that was restarted meanwhile, and
// one without a group. Nothing is delivered twice, skipped, or shown as an error, but for what the
// copy had not got, and no idempotent producer has written anything twice.
func TestGroupsOutliveTheirHome(t *testing.T) {
	kafkatest.Require(t, "python3")
	p := newPair(t, kafkatest.Kafka4)
	consumers := map[string]clients.Client{}
	restart := make(chan struct{}) // of one of them
	for name, f := range families {
		if consumers[name] = f.client; !strings.HasPrefix(f.says, "Java") && !strings.HasPrefix(f.says, "kafka-console") {
			consumers[name] = twice(f.client)
		}
	}
	consumers["franz_c"] = func(ctx context.Context, to clients.Target, name string, r *clients.Recorder) error {
		first, stop := context.WithCancel(ctx)
		defer stop()
		go func() {
			select {
			case <-restart:
			case <-ctx.Done():
			}
			stop()
		}()
		if err := clients.FranzConsumer(first, to, name, r); err != nil || ctx.Err() != nil {
			return err
		}
		return clients.FranzConsumer(ctx, to, name, r)
	}
	consumers["franz_c"] = twice(consumers["franz_c"])
	consumers["reader"] = clients.FranzReader
	l := p.load(map[string]clients.Client{"java": clients.JavaProducer(kafkatest.Kafka4), "franz": clients.FranzProducer, "librdkafka": rdkafka.Producer(true)}, consumers)
	l.more(500)
	// pauses waits until everybody has got more, and returns the longest pause of each consumer.
	pauses := func() map[string]time.Duration {
		t.Helper()
		l.more(300)
		p.wait("everybody", l.rec.CaughtUp, func() string { return fmt.Sprint(l.rec.Pauses(), p.gw.Moves()) })
		return l.rec.Longest()
	}
	_ = pauses()
	if err := p.gw.Edit(p.topic+": {cluster: prod}", p.topic+": {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	p.moved(1)
	p.groupsAt("dr", 1)
	planned := pauses()
	p.turn(p.dr, p.prod)
	if err := p.gw.Edit(p.topic+": {cluster: dr}", p.topic+": {cluster: prod}"); err != nil {
		t.Fatal(err)
	}
	p.moved(2)
	p.groupsAt("prod", 2)
	_ = pauses()
	p.turn(p.prod, p.dr)
	if r := l.rec.Report(); r.Duplicated+r.Reordered+r.ClientErrors > 0 {
		p.show(r, l)
		t.Error("somebody has noticed the planned moves")
	}
	l.more(300)

	if err := kafkatest.KillAll(p.prod); err != nil {
		t.Fatal(err)
	}
	_ = l.rec.Longest()
	if err := p.gw.Edit(p.topic+": {cluster: prod}", p.topic+": {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	close(restart)
	move := p.moved(3)
	if move.Planned {
		t.Errorf("the move was a planned one: %+v", move)
	}
	for _, x := range move.PossibleLoss { // a record that its producer had no answer for may have been delivered, and is written again
		l.rec.Lose(x.Partition, x.From, x.To)
	}
	p.groupsAt("dr", 3)
	killed := pauses()
	r := l.finish()
	p.show(r, l)
	for _, m := range p.gw.Moves() {
		t.Logf("%s %s > %s: planned %t, held for %d ms, %d positions, %d ms behind, %v", m.What(), m.From, m.To, m.Planned, m.PauseMS, m.Positions, m.Behind, phases(m))
		if m.Kind == failover.Group && m.Positions == 0 {
			t.Errorf("%s has taken no position along", m.What())
		}
	}
	if !r.Clean() || r.LogDuplicates > 0 {
		t.Errorf("somebody has noticed more than the %d records that the copy had not got: %+v", move.Lost(), r)
	}
	p.table(planned, killed)
}

// twice are two members of one group, which have nothing to be told apart by: not their client ids
// either.
func twice(c clients.Client) clients.Client {
	return func(ctx context.Context, to clients.Target, name string, r *clients.Recorder) error {
		var errs [2]error
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = c(ctx, to, name, r) })
		}
		wg.Wait()
		return errors.Join(errs[:]...)
	}
}

// table compares the clients of the table in the document with those of the test, or writes it.
func (p *pair) table(planned, killed map[string]time.Duration) {
	p.t.Helper()
	b, err := os.ReadFile(groupsDocument)
	if err != nil {
		p.t.Fatal(err)
	}
	var rows []string
	for name, f := range families {
		rows = append(rows, fmt.Sprintf("| %s | %.1f s | %.1f s | 0 / 0 / 0 |", f.says, planned["c:"+name].Seconds(), killed["c:"+name].Seconds()))
	}
	slices.Sort(rows)
	p.t.Logf("pauses:\n%s", strings.Join(rows, "\n"))
	table := regexp.MustCompile(`(?s)(\| consumer \|.*?\n\|---.*?\n)((?:\|.*?\n)+)`)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(groupsDocument, table.ReplaceAll(b, []byte("${1}"+strings.Join(rows, "\n")+"\n")), 0o644); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	has := table.FindStringSubmatch(string(b))
	for _, f := range families {
		if has == nil || !strings.Contains(has[2], "| "+f.says+" |") {
			p.t.Errorf("%s has no row for %s", groupsDocument, f.says)
		}
	}
}
