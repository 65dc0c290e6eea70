package failover

import (
	"context"
	"fmt"
	"maps"
	"slices"

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

// partitionsAtOnce is how many partitions of a topic are read side by side. What they have in
// memory is bounded by readsAtOnce.
const partitionsAtOnce = 16

// eachLeader does something with the partitions of each leader, side by side.
func (s *side) eachLeader(do func(leader int32, parts []int32) error) error {
	of := s.byLeader()
	leaders := slices.Collect(maps.Keys(of))
	return parallel(len(leaders), len(leaders), func(i int) error { return do(leaders[i], of[leaders[i]]) })
}

// offsets asks for the start (timestamp -2) or end (-1) of every partition.
func (s *side) offsets(ctx context.Context, timestamp int64) ([]int64, error) {
	const unknown = -1
	out := slices.Repeat([]int64{unknown}, len(s.topo.Partitions))
	err := s.eachLeader(func(leader int32, parts []int32) error {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = s.topic
		asked := make(map[int32]bool, len(parts)) // others may have asked for more in the same request
		for _, p := range parts {
			asked[p] = true
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p, timestamp, -1
			t.Partitions = append(t.Partitions, rp)
		}
		req.Topics = []kmsg.ListOffsetsRequestTopic{t}
		resp, err := s.cluster.Do(ctx, leader, req)
		if err != nil {
			return fmt.Errorf("offsets of %q on %s: %w", s.topic, s.cluster.Name(), err)
		}
		for _, rt := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, rp := range rt.Partitions {
				switch {
				case rp.Partition < 0 || int(rp.Partition) >= len(out):
					return fmt.Errorf("offsets of %q on %s: partition %d was not asked for", s.topic, s.cluster.Name(), rp.Partition)
				case !asked[rp.Partition]:
				case rp.ErrorCode != 0:
					return fmt.Errorf("offsets of %q/%d on %s: error %d", s.topic, rp.Partition, s.cluster.Name(), rp.ErrorCode)
				default:
					out[rp.Partition] = rp.Offset
				}
			}
		}
		return nil
	})
	if p := slices.Index(out, unknown); err == nil && p >= 0 {
		err = fmt.Errorf("offsets of %q on %s: partition %d is not in the answer", s.topic, s.cluster.Name(), p)
	}
	if err != nil {
		return nil, &unread{err}
	}
	return out, nil
}

// unread is the error of a read that failed: it says nothing of the records.
type unread struct{ error }

func (u *unread) Unwrap() error { return u.error }

// read walks the batches of a partition in [from, to) and returns how many bytes it read. visit
// gets whole batches, which may begin before from.
func (s *side) read(ctx context.Context, partition int32, from, to int64, visit func(kafka.Batch) error) (bytes int64, err error) {
	for from < to {
		next := from
		err := s.fetch(ctx, partition, from, readBytes, func(records []byte) (err error) {
			bytes += int64(len(records))
			next, err = walk(records, from, to, visit)
			return err
		})
		if err != nil || next == from { // the rest was compacted or deleted
			return bytes, err
		}
		from = next
	}
	return bytes, nil
}

// walk visits the batches with offsets in [from, to), and returns the offset behind them: to if
// there are some beyond it.
func walk(records []byte, from, to int64, visit func(kafka.Batch) error) (next int64, err error) {
	next = from
	for _, b := range kafka.Batches(records) {
		if b.LastOffset() < from {
			continue
		}
		if b.BaseOffset() >= to {
			return to, nil
		}
		if err := visit(b); err != nil {
			return next, err
		}
		next = b.LastOffset() + 1
	}
	return next, nil
}

// fetch gives use batches from an offset on, of so many bytes, but one at least. It may not keep
// them.
func (s *side) fetch(ctx context.Context, partition int32, from int64, most int32, use func(records []byte) error) error {
	w, leader := wanted{s.topic, s.topo.ID, partition, from, most}, s.topo.Partitions[partition].Leader
	var err, told error
	tell := func(records []byte) { told = use(records) }
	if j, ok := s.cluster.(*joiner); ok {
		err = j.reads.read(ctx, leader, w, tell)
	} else {
		err = readAlone(ctx, s.cluster, leader, w, tell)
	}
	if err != nil {
		return &unread{fmt.Errorf("read of %q/%d on %s at %d: %w", s.topic, partition, s.cluster.Name(), from, err)}
	}
	return told
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
