// Package sarama drives sarama. It stands apart because of its libraries: the demo must not need
// them.
package sarama

import (
	"context"
	"errors"
	"sync"

	"github.com/IBM/sarama"

	"github.com/sluice-gateway/sluice/testing/clients"
)

// Producer is sarama with default settings: not idempotent, three retries.
func Producer(ctx context.Context, t clients.Target, name string, r *clients.Recorder) error {
	cfg := sarama.NewConfig()
	cfg.ClientID = name
	cfg.Producer.Return.Successes = true
	p, err := sarama.NewAsyncProducer([]string{t.Bootstrap}, cfg)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for m := range p.Successes() {
			r.Acked(name, m.Metadata.(string), clients.Place{Partition: m.Partition, Offset: m.Offset})
		}
	})
	wg.Go(func() {
		for e := range p.Errors() {
			r.Error(name, "%v: %v", e.Msg.Metadata, e.Err)
		}
	})
	clients.Paced(ctx, t.Rate, name, func(_ int, id string) {
		p.Input() <- &sarama.ProducerMessage{Topic: t.Topic, Value: sarama.StringEncoder(id), Metadata: id}
	})
	p.AsyncClose()
	wg.Wait()
	return nil
}

type handler struct {
	name string
	r    *clients.Recorder
}

func (handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h handler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-c.Messages():
			if !ok {
				return nil
			}
			h.r.Received(h.name, string(m.Value), clients.Place{Partition: m.Partition, Offset: m.Offset})
			s.MarkMessage(m, "")
		case <-s.Context().Done():
			return nil
		}
	}
}

// Consumer is a sarama consumer group of one member.
func Consumer(ctx context.Context, t clients.Target, name string, r *clients.Recorder) error {
	cfg := sarama.NewConfig()
	cfg.ClientID = name
	cfg.Consumer.Return.Errors = true
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	g, err := sarama.NewConsumerGroup([]string{t.Bootstrap}, name, cfg)
	if err != nil {
		return err
	}
	go func() {
		for err := range g.Errors() {
			if ctx.Err() == nil {
				r.Error(name, "%v", err)
			}
		}
	}()
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{t.Topic}, handler{name, r}); err != nil && ctx.Err() == nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) {
			r.Error(name, "%v", err)
		}
	}
	return g.Close()
}
