package failover

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// noRecords is a batch that no broker appends: it has no records, and a checksum that is not its
// own. What a broker says of it tells whether the broker would take a batch that is sound.
var noRecords = (&kmsg.RecordBatch{
	PartitionLeaderEpoch: -1, Magic: 2, Length: 49, LastOffsetDelta: -1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
}).AppendTo(nil)

// accepts refuses a copy whose leaders take no produces, whatever they say of rights: a mirror that
// a replicator keeps read-only, or a partition with too few replicas in sync. When the old home is
// gone, refusals that pass don't count.
func (s *side) accepts(ctx context.Context, gone bool) error {
	for leader, parts := range s.byLeader() {
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = -1, 1000
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = s.topic, s.topo.ID
		for _, p := range parts {
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition, rp.Records = p, noRecords
			t.Partitions = append(t.Partitions, rp)
		}
		req.Topics = []kmsg.ProduceRequestTopic{t}
		resp, err := s.cluster.Do(ctx, leader, req)
		if err != nil {
			return fmt.Errorf("whether %s takes produces to %q: %w", s.cluster.Name(), s.topic, err)
		}
		for _, rt := range resp.(*kmsg.ProduceResponse).Topics {
			for _, rp := range rt.Partitions {
				if err := s.refuses(rp, gone); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *side) refuses(rp kmsg.ProduceResponseTopicPartition, gone bool) error {
	err := kerr.ErrorForCode(rp.ErrorCode)
	switch kafka.Code(rp.ErrorCode) {
	case kafka.None, kafka.CorruptMessage, kafka.InvalidRecord:
		return nil
	}
	if gone && kerr.IsRetriable(err) {
		return nil
	}
	if rp.ErrorMessage != nil && *rp.ErrorMessage != "" {
		err = fmt.Errorf("%w (%s)", err, *rp.ErrorMessage)
	}
	return fmt.Errorf("%s takes no produces to partition %d of %q; if it is a read-only mirror, make it writable first: %w", s.cluster.Name(), rp.Partition, s.topic, err)
}
