package copies

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// noRecords is a batch that no broker appends: it has no records, and a checksum that is not its
// own. What a broker says of it tells whether the broker would take a batch that is sound.
var noRecords = (&kmsg.RecordBatch{
	PartitionLeaderEpoch: -1, Magic: 2, Length: 49, LastOffsetDelta: -1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
}).AppendTo(nil)

// Accepts refuses a copy whose leaders take no produces, whatever they say of rights: a mirror that
// a replicator keeps read-only, or a partition with too few replicas in sync. When the old home is
// gone, refusals that pass don't count.
func (s *Side) Accepts(ctx context.Context, gone bool) error {
	for leader, parts := range s.ByLeader() {
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = -1, 1000
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = s.Name, s.Topic.ID
		for _, p := range parts {
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition, rp.Records = p, noRecords
			t.Partitions = append(t.Partitions, rp)
		}
		req.Topics = []kmsg.ProduceRequestTopic{t}
		resp, err := s.Cluster.Do(ctx, leader, req)
		if err != nil {
			return fmt.Errorf("whether %s takes produces to %q: %w", s.Cluster.Name(), s.Name, err)
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

func (s *Side) refuses(rp kmsg.ProduceResponseTopicPartition, gone bool) error {
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
	return fmt.Errorf("%s takes no produces to partition %d of %q; if it is a read-only mirror, make it writable first: %w", s.Cluster.Name(), rp.Partition, s.Name, err)
}

// write is the bit of the operation WRITE in a set of authorized operations (KIP-430).
const write = 1 << kmsg.ACLOperationWrite

// NoWrite is the error of a topic that the gateway may not write to on a cluster.
func NoWrite(cluster, topic string) error {
	return fmt.Errorf("%s does not let the gateway write to %q: allow it the operation Write there", cluster, topic)
}

// Unwritable are the topics that the cluster does not let the gateway, and so clients, write to, as
// far as it tells.
func Unwritable(ctx context.Context, c plugin.Cluster, topics []string) map[string]bool {
	out := map[string]bool{}
	var mu sync.Mutex
	inChunks(topics, func(some []string) {
		_ = denied(ctx, c, some, func(topic string) {
			mu.Lock()
			defer mu.Unlock()
			out[topic] = true
		})
	})
	return out
}

// denied visits those of the topics that may not be written to.
func denied(ctx context.Context, c plugin.Cluster, topics []string, visit func(topic string)) error {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	resp, err := c.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if ops := t.AuthorizedOperations; t.ErrorCode == 0 && t.Topic != nil && ops != math.MinInt32 && ops&write == 0 {
			visit(*t.Topic)
		}
	}
	return nil
}

// Writable refuses a copy that clients may not write to: links reach the cluster as the gateway's
// own requests do.
func (s *Side) Writable(ctx context.Context) (err error) {
	asked := denied(ctx, s.Cluster, []string{s.Name}, func(topic string) { err = NoWrite(s.Cluster.Name(), topic) })
	return cmp.Or(asked, err)
}
