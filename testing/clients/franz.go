package clients

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// FranzProducer is franz-go with default settings: idempotent.
func FranzProducer(ctx context.Context, t Target, name string, r *Recorder) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(t.Bootstrap), kgo.DefaultProduceTopic(t.Topic), kgo.ClientID(name))
	if err != nil {
		return err
	}
	defer c.Close()
	var wg sync.WaitGroup
	Paced(ctx, t.Rate, name, func(_ int, id string) {
		wg.Add(1)
		c.Produce(context.WithoutCancel(ctx), &kgo.Record{Value: []byte(id)}, func(rec *kgo.Record, err error) {
			defer wg.Done()
			if err != nil {
				r.Error(name, "%s: %v", id, err)
				return
			}
			r.Acked(name, id, Place{rec.Partition, rec.Offset})
		})
	})
	wg.Wait()
	return nil
}

// FranzConsumer is a franz-go consumer in a group of its own.
func FranzConsumer(ctx context.Context, t Target, name string, r *Recorder) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(t.Bootstrap), kgo.ConsumeTopics(t.Topic), kgo.ConsumerGroup(name), kgo.ClientID(name),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitInterval(time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		f := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		f.EachError(func(topic string, p int32, err error) { r.Error(name, "%s/%d: %v", topic, p, err) })
		f.EachRecord(func(rec *kgo.Record) { r.Received(name, string(rec.Value), Place{rec.Partition, rec.Offset}) })
	}
}

// FranzReader is a franz-go consumer of all partitions without a group.
func FranzReader(ctx context.Context, t Target, name string, r *Recorder) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(t.Bootstrap), kgo.ConsumeTopics(t.Topic), kgo.ClientID(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		f := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		f.EachError(func(topic string, p int32, err error) { r.Error(name, "%s/%d: %v", topic, p, err) })
		f.EachRecord(func(rec *kgo.Record) { r.Received(name, string(rec.Value), Place{rec.Partition, rec.Offset}) })
	}
}
