package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// writeWait is how long a write to a topic may take.
const writeWait = 15 * time.Second

// Topic is partition 0 of a topic of a cluster, so that entries stay in order; each is one record,
// written with acks=all. A topic that is not there is made as the cluster's defaults say, where
// that is allowed.
type Topic struct {
	// Cluster is the one of the configuration in force, nil if it has none of that name.
	Cluster func() plugin.Cluster
	Name    string
}

// Write is for Sink.
func (t *Topic) Write(ctx context.Context, lines [][]byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	c := t.Cluster()
	if c == nil {
		return fmt.Errorf("the cluster of the topic %s is not there any more", t.Name)
	}
	topo, err := t.find(ctx, c)
	if err != nil {
		return err
	}
	leader, _ := topo.Leader(t.Name, 0)
	if leader < 0 {
		return t.stale(ctx, c, fmt.Errorf("%s: topic %s has no leader", c.Name(), t.Name))
	}
	var records []kafka.Record
	for _, line := range lines {
		records = append(records, kafka.Record{Timestamp: time.Now().UnixMilli(), Value: line[:len(line)-1]})
	}
	batch, err := kafka.NewBatch(records)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, int32(writeWait.Milliseconds())
	topic, part := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	part.Records = batch
	topic.Topic, topic.TopicID, topic.Partitions = t.Name, topo.Topics[t.Name].ID, []kmsg.ProduceRequestTopicPartition{part}
	req.Topics = []kmsg.ProduceRequestTopic{topic}
	resp, err := c.Do(ctx, leader, req)
	if err != nil {
		return t.stale(ctx, c, err)
	}
	for _, a := range resp.(*kmsg.ProduceResponse).Topics {
		for _, p := range a.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return t.stale(ctx, c, fmt.Errorf("%s: topic %s: %w", c.Name(), t.Name, err))
			}
		}
	}
	return nil
}

// stale has the cluster asked who leads now, for the next attempt.
func (t *Topic) stale(ctx context.Context, c plugin.Cluster, err error) error {
	_, _ = c.Refresh(ctx)
	return err
}

// find returns a topology that has the topic.
func (t *Topic) find(ctx context.Context, c plugin.Cluster) (*plugin.Topology, error) {
	topo := c.Topology()
	var err error
	if topo.Topics[t.Name] == nil {
		if topo, err = c.Refresh(ctx); err != nil {
			return nil, err
		}
	}
	if topo.Topics[t.Name] != nil {
		return topo, nil
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.Name, 1, -1
	req.Topics, req.TimeoutMillis = []kmsg.CreateTopicsRequestTopic{topic}, int32(writeWait.Milliseconds())
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return nil, err
	}
	for _, a := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if err := kerr.ErrorForCode(a.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return nil, fmt.Errorf("%s: topic %s can't be made: %w", c.Name(), t.Name, err)
		}
	}
	if topo, err = c.Refresh(ctx); err == nil && topo.Topics[t.Name] == nil {
		err = fmt.Errorf("%s: topic %s is not there yet", c.Name(), t.Name)
	}
	return topo, err
}

// Close is for Sink.
func (*Topic) Close() error { return nil }
