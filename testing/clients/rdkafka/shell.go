package rdkafka

import (
	"context"
	"errors"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/sluice-gateway/sluice/testing/clients"
)

// Shell is librdkafka.
func Shell(bootstrap, name string) (clients.Shell, error) {
	p, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": bootstrap, "client.id": name})
	return &shell{p, bootstrap, name}, err
}

type shell struct {
	producer        *kafka.Producer
	bootstrap, name string
}

func (s *shell) Close() error { s.producer.Close(); return nil }

func (s *shell) Produce(ctx context.Context, topic string, value []byte, headers ...clients.Header) error {
	m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: kafka.PartitionAny}, Value: value}
	for _, h := range headers {
		m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: []byte(h.Value)})
	}
	done := make(chan kafka.Event, 1)
	if err := s.producer.Produce(m, done); err != nil {
		return err
	}
	select {
	case e := <-done:
		if m, ok := e.(*kafka.Message); ok && m.TopicPartition.Error != nil {
			return m.TopicPartition.Error
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *shell) Read(ctx context.Context, topic string, n int) (out []clients.Seen, err error) {
	c, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": s.bootstrap, "group.id": s.name + "-" + topic, "client.id": s.name, "auto.offset.reset": "earliest"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.Subscribe(topic, nil); err != nil {
		return nil, err
	}
	for len(out) < n {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		switch e := c.Poll(100).(type) {
		case *kafka.Message:
			if e.TopicPartition.Error != nil {
				return out, e.TopicPartition.Error
			}
			seen := clients.Seen{Value: e.Value, Headers: map[string]string{}}
			for _, h := range e.Headers {
				seen.Headers[h.Key] = string(h.Value)
			}
			out = append(out, seen)
		case kafka.Error:
			return out, e
		}
	}
	return out, nil
}

func (s *shell) CreateTopic(ctx context.Context, topic string, partitions int) error {
	a, err := kafka.NewAdminClientFromProducer(s.producer)
	if err != nil {
		return err
	}
	defer a.Close()
	results, err := a.CreateTopics(ctx, []kafka.TopicSpecification{{Topic: topic, NumPartitions: partitions, ReplicationFactor: -1}})
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Error.Code() != kafka.ErrNoError {
			return r.Error
		}
	}
	return nil
}
