package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/testing/bench"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// overKafka compares one broker of Apache Kafka with the same broker through the gateway, if Java
// and Maven are there.
func overKafka(dir, bin string) error {
	for _, p := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(p); err != nil {
			fmt.Printf("\nreal Kafka: left out, %s is not installed\n", p)
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	broker, err := kafkatest.Real(ctx, "prod", kafkatest.Kafka4, dir, 1)
	if err != nil {
		return err
	}
	defer func() { _ = broker.Close() }()
	if err := kafkatest.Create(ctx, broker, bench.Topic, 3); err != nil {
		return err
	}
	file, addr, err := bench.File(dir, broker.Bootstrap()[0], true)
	if err != nil {
		return err
	}
	m, err := start("gateway, routing+topics+offsets", addr, bin, "run", "-c", filepath.Clean(file))
	if err != nil {
		return err
	}
	defer m.stop()
	list := []*middle{{name: "direct", addr: broker.Bootstrap()[0]}, m}
	return compareKafka(ctx, list)
}

const (
	kafkaRecords = 200_000
	kafkaSyncs   = 2000
)

func compareKafka(ctx context.Context, list []*middle) error {
	fmt.Println("\nreal Kafka, one broker: 1 KB records, acks=all, idempotent; medians")
	type result struct{ produce, consume, sync []float64 }
	results := map[*middle]*result{}
	for range rounds {
		for _, m := range list {
			r := results[m]
			if r == nil {
				r = &result{}
				results[m] = r
			}
			p, c, s, err := roundTrip(ctx, m.addr)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			r.produce, r.consume, r.sync = append(r.produce, p), append(r.consume, c), append(r.sync, s)
		}
	}
	base := results[list[0]]
	p, c, s := median(base.produce), median(base.consume), median(base.sync)
	for _, m := range list {
		r := results[m]
		fmt.Printf("  %-34s produce %6.1f MB/s %.2fx   consume %6.1f MB/s %.2fx   one at a time %6.0f us %+.0f us\n", m.name,
			median(r.produce), median(r.produce)/p, median(r.consume), median(r.consume)/c, median(r.sync), median(r.sync)-s)
	}
	return nil
}

// roundTrip produces records, reads as many, and produces some one at a time: MB/s, MB/s,
// microseconds.
func roundTrip(ctx context.Context, addr string) (produce, consume, sync float64, err error) {
	p, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(bench.Topic), kgo.MaxBufferedRecords(50_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return 0, 0, 0, err
	}
	defer p.Close()
	value := make([]byte, 1000)
	if err := p.ProduceSync(ctx, &kgo.Record{Value: value}).FirstErr(); err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	var failed error
	for range kafkaRecords {
		p.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err // callbacks run one after the other
			}
		})
	}
	if err := p.Flush(ctx); err != nil {
		return 0, 0, 0, err
	}
	if failed != nil {
		return 0, 0, 0, failed
	}
	produce = kafkaRecords * 1e3 / 1e6 / time.Since(began).Seconds()

	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(bench.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return 0, 0, 0, err
	}
	defer c.Close()
	began = time.Now()
	for got := 0; got < kafkaRecords; {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			return 0, 0, 0, err
		}
		got += f.NumRecords()
	}
	consume = kafkaRecords * 1e3 / 1e6 / time.Since(began).Seconds()

	times := make([]time.Duration, kafkaSyncs)
	for i := range times {
		began := time.Now()
		if err := p.ProduceSync(ctx, &kgo.Record{Value: value[:100]}).FirstErr(); err != nil {
			return 0, 0, 0, err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return produce, consume, float64(times[kafkaSyncs/2].Microseconds()), nil
}
