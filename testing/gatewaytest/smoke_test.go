package gatewaytest

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

func TestProduceAndConsumeThroughAMove(t *testing.T) {
	ctx := eventually.Context(t)
	prod, err := kafkatest.Fake("prod", 2, map[string]int32{"orders": 3})
	if err != nil {
		t.Fatal(err)
	}
	defer prod.Close()
	dr, err := kafkatest.Fake("dr", 2, map[string]int32{"orders": 3})
	if err != nil {
		t.Fatal(err)
	}
	defer dr.Close()
	level := slog.LevelInfo
	if os.Getenv("DEBUG") != "" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	g, err := Start(ctx, t.TempDir(), map[string]string{"orders": "prod"}, log, prod, dr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Stop() }()
	copier, err := kafkatest.StartCopier(ctx, kafkatest.CopierConfig{From: prod.Bootstrap(), To: dr.Bootstrap(), Topics: []string{"orders"}})
	if err != nil {
		t.Fatal(err)
	}
	defer copier.Stop()

	p, err := kgo.NewClient(kgo.SeedBrokers(g.Bootstrap), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := kgo.NewClient(kgo.SeedBrokers(g.Bootstrap), kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 300
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			p.Produce(ctx, &kgo.Record{Value: fmt.Appendf(nil, "%d", i)}, func(r *kgo.Record, err error) {
				if err != nil {
					t.Errorf("produce: %v", err)
				}
			})
			time.Sleep(10 * time.Millisecond)
			if i == n/3 {
				if err := g.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
					t.Error(err)
				}
			}
		}
		if err := p.Flush(ctx); err != nil {
			t.Error(err)
		}
	})
	seen := map[string]int{}
	for len(seen) < n && ctx.Err() == nil {
		f := c.PollFetches(ctx)
		f.EachError(func(topic string, p int32, err error) { t.Errorf("fetch %s/%d: %v", topic, p, err) })
		f.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++ })
	}
	wg.Wait() // an acknowledgement may come after the record
	if len(seen) != n {
		t.Errorf("%d of %d records", len(seen), n)
	}
	for v, k := range seen {
		if k != 1 {
			t.Errorf("record %s %d times", v, k)
		}
	}
	moves := slices.DeleteFunc(g.Moves(), func(m failover.Report) bool { return m.Kind != failover.Topic }) // the group goes with it
	if len(moves) != 1 || moves[0].Phase != "done" {
		t.Errorf("moves: %+v", moves)
	}
}
