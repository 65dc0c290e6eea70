// Package rdkafka drives librdkafka. It stands apart because it needs cgo: the demo must run with
// Go alone.
package rdkafka

import (
	"context"
	"maps"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/sluice-gateway/sluice/testing/clients"
)

// Producer is librdkafka with default settings (not idempotent), or idempotent.
func Producer(idempotent bool) clients.Client {
	return producer(kafka.ConfigMap{"enable.idempotence": idempotent})
}

// Bounded is librdkafka that is not idempotent and keeps no more than n requests on their way. By
// default it has no bound: a broker takes the requests of a connection one after the other, and on
// a machine that is so busy that they come in faster, the last ones are not answered within the 30
// s after which the client sends them again.
func Bounded(n int) clients.Client {
	return producer(kafka.ConfigMap{"max.in.flight.requests.per.connection": n})
}

func producer(settings kafka.ConfigMap) clients.Client {
	return func(ctx context.Context, t clients.Target, name string, r *clients.Recorder) error {
		cfg := kafka.ConfigMap{"bootstrap.servers": t.Bootstrap, "client.id": name, "go.logs.channel.enable": true}
		maps.Copy(cfg, settings)
		p, err := kafka.NewProducer(&cfg)
		if err != nil {
			return err
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for e := range p.Events() {
				switch ev := e.(type) {
				case *kafka.Message:
					id := string(ev.Value)
					if ev.TopicPartition.Error != nil {
						r.Error(name, "%s: %v", id, ev.TopicPartition.Error)
						continue
					}
					r.Acked(name, id, clients.Place{Partition: ev.TopicPartition.Partition, Offset: int64(ev.TopicPartition.Offset)})
				case kafka.Error:
					r.Error(name, "%v", ev)
				}
			}
		}()
		go func() {
			for range p.Logs() {
			}
		}()
		clients.Paced(ctx, t.Rate, name, func(_ int, id string) {
			topic := t.Topic
			if err := p.Produce(&kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: kafka.PartitionAny}, Value: []byte(id)}, nil); err != nil {
				r.Error(name, "%s: %v", id, err)
			}
		})
		for p.Flush(1000) > 0 {
		}
		p.Close()
		<-done
		return nil
	}
}

// Consumer is a librdkafka consumer in a group of its own.
func Consumer(ctx context.Context, t clients.Target, name string, r *clients.Recorder) error {
	return ConsumerWith(nil)(ctx, t, name, r)
}

// ConsumerWith is Consumer with other settings than the default ones.
func ConsumerWith(settings map[string]string) clients.Client {
	return func(ctx context.Context, t clients.Target, name string, r *clients.Recorder) error {
		cfg := kafka.ConfigMap{"bootstrap.servers": t.Bootstrap, "group.id": name, "client.id": name, "auto.offset.reset": "earliest", "auto.commit.interval.ms": 1000}
		for k, v := range settings {
			cfg[k] = v
		}
		c, err := kafka.NewConsumer(&cfg)
		if err != nil {
			return err
		}
		return consume(ctx, c, t, name, r)
	}
}

func consume(ctx context.Context, c *kafka.Consumer, t clients.Target, name string, r *clients.Recorder) error {
	if err := c.Subscribe(t.Topic, nil); err != nil {
		return err
	}
	for ctx.Err() == nil {
		switch e := c.Poll(100).(type) {
		case *kafka.Message:
			if e.TopicPartition.Error != nil {
				r.Error(name, "%v", e.TopicPartition.Error)
				continue
			}
			r.Received(name, string(e.Value), clients.Place{Partition: e.TopicPartition.Partition, Offset: int64(e.TopicPartition.Offset)})
		case kafka.Error:
			r.Error(name, "%v", e)
		}
	}
	return c.Close()
}
