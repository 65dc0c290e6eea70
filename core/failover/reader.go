package failover

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// side is one cluster's copy of a topic.
type side struct {
	cluster plugin.Cluster
	topic   string
	topo    *plugin.Topic
}

func newSide(c plugin.Cluster, topic string) (*side, error) {
	t := c.Topology().Topics[topic]
	if t == nil {
		return nil, fmt.Errorf("topic %q does not exist on %s: create it there, or let the replicator", topic, c.Name())
	}
	for p, x := range t.Partitions {
		if x.Leader < 0 {
			return nil, fmt.Errorf("partition %d of %q has no leader on %s", p, topic, c.Name())
		}
	}
	return &side{c, topic, t}, nil
}

// byLeader is which node leads which partitions.
func (s *side) byLeader() map[int32][]int32 {
	out := map[int32][]int32{}
	for p, x := range s.topo.Partitions {
		out[x.Leader] = append(out[x.Leader], int32(p))
	}
	return out
}

// partitionsAtOnce is how many partitions of a topic are read side by side while clients are held: what is read is in
// memory, 4 MiB each at most, and so it is for every topic that moves at the same time.
const partitionsAtOnce = 4

// offsets asks for the start (timestamp -2) or end (-1) of every partition.
func (s *side) offsets(ctx context.Context, timestamp int64) ([]int64, error) {
	out := make([]int64, len(s.topo.Partitions))
	for leader, parts := range s.byLeader() {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = s.topic
		for _, p := range parts {
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p, timestamp, -1
			t.Partitions = append(t.Partitions, rp)
		}
		req.Topics = []kmsg.ListOffsetsRequestTopic{t}
		resp, err := s.cluster.Do(ctx, leader, req)
		if err != nil {
			return nil, fmt.Errorf("offsets of %q on %s: %w", s.topic, s.cluster.Name(), err)
		}
		for _, rt := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, rp := range rt.Partitions {
				if rp.ErrorCode != 0 {
					return nil, fmt.Errorf("offsets of %q/%d on %s: error %d", s.topic, rp.Partition, s.cluster.Name(), rp.ErrorCode)
				}
				if rp.Partition < 0 || int(rp.Partition) >= len(out) {
					return nil, fmt.Errorf("offsets of %q on %s: partition %d was not asked for", s.topic, s.cluster.Name(), rp.Partition)
				}
				out[rp.Partition] = rp.Offset
			}
		}
	}
	return out, nil
}

// read walks the batches of a partition in [from, to) and returns how many bytes it read. visit
// gets whole batches, which may begin before from.
func (s *side) read(ctx context.Context, partition int32, from, to int64, visit func(kafka.Batch) error) (bytes int64, err error) {
	for from < to {
		records, err := s.fetch(ctx, partition, from, 4<<20)
		if err != nil {
			return bytes, err
		}
		bytes += int64(len(records))
		next := from
		for _, b := range kafka.Batches(records) {
			if b.LastOffset() < from {
				continue
			}
			if b.BaseOffset() >= to {
				return bytes, nil
			}
			if err := visit(b); err != nil {
				return bytes, err
			}
			next = b.LastOffset() + 1
		}
		if next == from {
			// The rest was compacted or deleted.
			return bytes, nil
		}
		from = next
	}
	return bytes, nil
}

// fetch reads batches from an offset on, of so many bytes, but one at least.
func (s *side) fetch(ctx context.Context, partition int32, from int64, most int32) ([]byte, error) {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 100, 1, 16<<20
	req.SessionEpoch = -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = s.topic, s.topo.ID
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.CurrentLeaderEpoch, p.LastFetchedEpoch, p.LogStartOffset, p.PartitionMaxBytes = partition, from, -1, -1, -1, most
	t.Partitions = []kmsg.FetchRequestTopicPartition{p}
	req.Topics = []kmsg.FetchRequestTopic{t}
	resp, err := s.cluster.Do(ctx, s.topo.Partitions[partition].Leader, req)
	if err != nil {
		return nil, fmt.Errorf("read of %q/%d on %s: %w", s.topic, partition, s.cluster.Name(), err)
	}
	f := resp.(*kmsg.FetchResponse)
	if f.ErrorCode != 0 || len(f.Topics) != 1 || len(f.Topics[0].Partitions) != 1 || f.Topics[0].Partitions[0].ErrorCode != 0 {
		code := f.ErrorCode
		if len(f.Topics) == 1 && len(f.Topics[0].Partitions) == 1 {
			code = f.Topics[0].Partitions[0].ErrorCode
		}
		return nil, fmt.Errorf("read of %q/%d on %s at %d: error %d", s.topic, partition, s.cluster.Name(), from, code)
	}
	return f.Topics[0].Partitions[0].RecordBatches, nil
}

// mark is the place and fingerprint of a data record.
type mark struct {
	offset int64
	print  uint64
}

// marks reads the data records of a range, without control records.
func (s *side) marks(ctx context.Context, f *kafka.Fingerprints, partition int32, from, to int64) (out []mark, bytes int64, err error) {
	bytes, err = s.read(ctx, partition, max(from, 0), to, func(b kafka.Batch) error {
		if b.IsControl() {
			return nil
		}
		records, err := f.Within.Records(b)
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.Offset >= from && r.Offset < to {
				out = append(out, mark{r.Offset, f.Of(r)})
			}
		}
		return nil
	})
	return out, bytes, err
}
