// Package copies reads what clusters have of a topic, and compares a copy with its home: at which
// distance its records stand, whether they are the same, and why not. It knows neither moves nor
// what was found before.
package copies

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Side is what one cluster has of a topic: its home, or a copy. Offsets are those of the cluster.
type Side struct {
	Cluster plugin.Cluster
	Name    string        // of the topic on this cluster
	Topic   *plugin.Topic // as the cluster had it when the side was made
}

// NewSide is a topic on a cluster, by the name that it has there, as the cluster's topology says.
// It is an error if the topic is not there, or a partition has no leader.
func NewSide(c plugin.Cluster, topic string) (*Side, error) {
	t := c.Topology().Topics[topic]
	if t == nil {
		return nil, fmt.Errorf("topic %q does not exist on %s: create it there, or let the replicator", topic, c.Name())
	}
	for p, x := range t.Partitions {
		if x.Leader < 0 {
			return nil, fmt.Errorf("partition %d of %q has no leader on %s", p, topic, c.Name())
		}
	}
	return &Side{c, topic, t}, nil
}

// ByLeader is which node leads which partitions.
func (s *Side) ByLeader() map[int32][]int32 {
	out := map[int32][]int32{}
	for p, x := range s.Topic.Partitions {
		out[x.Leader] = append(out[x.Leader], int32(p))
	}
	return out
}

// PartitionsAtOnce is how many partitions of a topic are read side by side. What they have in
// memory is bounded by joint.ReadsAtOnce.
const PartitionsAtOnce = 16

// eachLeader does something with the partitions of each leader, side by side.
func (s *Side) eachLeader(do func(leader int32, parts []int32) error) error {
	of := s.ByLeader()
	leaders := slices.Collect(maps.Keys(of))
	return guard.Parallel(len(leaders), len(leaders), func(i int) error { return do(leaders[i], of[leaders[i]]) })
}

// What ListOffsets is asked for in place of a timestamp.
const (
	start = -2
	end   = -1
)

// Starts are where the partitions begin. A partition that is not answered is an error.
func (s *Side) Starts(ctx context.Context) ([]int64, error) { return s.offsets(ctx, start) }

// Ends are where they end: the offsets behind the last records.
func (s *Side) Ends(ctx context.Context) ([]int64, error) { return s.offsets(ctx, end) }

// offsets asks for the start or end of every partition.
func (s *Side) offsets(ctx context.Context, timestamp int64) ([]int64, error) {
	const unknown = -1
	out := slices.Repeat([]int64{unknown}, len(s.Topic.Partitions))
	err := s.eachLeader(func(leader int32, parts []int32) error {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = s.Name
		asked := make(map[int32]bool, len(parts)) // others may have asked for more in the same request
		for _, p := range parts {
			asked[p] = true
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = p, timestamp, -1
			t.Partitions = append(t.Partitions, rp)
		}
		req.Topics = []kmsg.ListOffsetsRequestTopic{t}
		resp, err := s.Cluster.Do(ctx, leader, req)
		if err != nil {
			return fmt.Errorf("offsets of %q on %s: %w", s.Name, s.Cluster.Name(), err)
		}
		for _, rt := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, rp := range rt.Partitions {
				switch {
				case rp.Partition < 0 || int(rp.Partition) >= len(out):
					return fmt.Errorf("offsets of %q on %s: partition %d was not asked for", s.Name, s.Cluster.Name(), rp.Partition)
				case !asked[rp.Partition]:
				case rp.ErrorCode != 0:
					return fmt.Errorf("offsets of %q/%d on %s: error %d", s.Name, rp.Partition, s.Cluster.Name(), rp.ErrorCode)
				default:
					out[rp.Partition] = rp.Offset
				}
			}
		}
		return nil
	})
	if p := slices.Index(out, unknown); err == nil && p >= 0 {
		err = fmt.Errorf("offsets of %q on %s: partition %d is not in the answer", s.Name, s.Cluster.Name(), p)
	}
	if err != nil {
		return nil, &UnreadError{err}
	}
	return out, nil
}

// since asks for the offset of the first record of a partition that is not older than a timestamp,
// -1 if there is none.
func (s *Side) since(ctx context.Context, partition int32, timestamp int64) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = partition, timestamp, -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: s.Name, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	resp, err := s.Cluster.Do(ctx, s.Topic.Partitions[partition].Leader, req)
	if err == nil {
		for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if p.Partition == partition && p.ErrorCode == 0 && t.Topic == s.Name {
					return p.Offset, nil
				}
			}
		}
		err = errors.New("the broker gave no offset")
	}
	return 0, &UnreadError{fmt.Errorf("offset of %q/%d on %s at a timestamp: %w", s.Name, partition, s.Cluster.Name(), err)}
}

// UnreadError is the error of a read that failed: it says nothing of the records.
type UnreadError struct{ error }

func (u *UnreadError) Unwrap() error { return u.error }

// Read walks the batches of a partition in [from, to) and returns how many bytes it read. visit
// gets whole batches, which may begin before from.
func (s *Side) Read(ctx context.Context, partition int32, from, to int64, visit func(kafka.Batch) error) (bytes int64, err error) {
	for from < to {
		next := from
		err := s.Fetch(ctx, partition, from, joint.ReadBytes, func(records []byte) (err error) {
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
// there are some beyond it, in the last one too.
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
		next = min(b.LastOffset()+1, to)
	}
	return next, nil
}

// Fetch gives use batches from an offset on, of so many bytes, but one at least. It may not keep
// them.
func (s *Side) Fetch(ctx context.Context, partition int32, from int64, most int32, use func(records []byte) error) error {
	w := joint.Wanted{Partition: partition, From: from, Most: most}
	return s.fetch(ctx, w, func(b joint.Batches) error { return use(b.Records) })
}

// fetch asks for what is wanted of a partition.
func (s *Side) fetch(ctx context.Context, w joint.Wanted, use func(joint.Batches) error) error {
	w.Topic, w.ID = s.Name, s.Topic.ID
	var told error
	if err := joint.Read(ctx, s.Cluster, s.Topic.Partitions[w.Partition].Leader, w, func(b joint.Batches) { told = use(b) }); err != nil {
		return &UnreadError{fmt.Errorf("read of %q/%d on %s at %d: %w", s.Name, w.Partition, s.Cluster.Name(), w.From, err)}
	}
	return told
}

// Mark is the offset and fingerprint of a data record.
type Mark struct {
	Offset int64
	Print  uint64
}

// Marks reads the data records of [from, to), without control records, and says how many bytes were
// read.
func (s *Side) Marks(ctx context.Context, f *kafka.Fingerprints, partition int32, from, to int64) (out []Mark, bytes int64, err error) {
	var buf []byte
	bytes, err = s.Read(ctx, partition, max(from, 0), to, func(b kafka.Batch) error {
		if b.IsControl() {
			return nil
		}
		p, err := f.Within.Open(buf, b)
		if err != nil {
			return err
		}
		if b.Compression() != 0 {
			buf = p.Bytes[:0]
		}
		for r := (kafka.RawRecord{}); p.Next(&r); {
			if r.Offset >= from && r.Offset < to {
				out = append(out, Mark{r.Offset, f.OfRaw(&r)})
			}
		}
		return nil
	})
	return out, bytes, err
}

// Stable reads the ends until they stay the same, or ctx ends.
func (s *Side) Stable(ctx context.Context) ([]int64, error) {
	last, err := s.Ends(ctx)
	for err == nil {
		if !guard.Sleep(ctx, 50*time.Millisecond) {
			return nil, ctx.Err()
		}
		var now []int64
		if now, err = s.Ends(ctx); err == nil && slices.Equal(now, last) {
			return now, nil
		}
		last = now
	}
	return nil, err
}
