package offsets

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
)

const (
	sinceReads = 8         // fetches to find a record by its timestamp
	sinceBytes = 256 << 10 // of each
)

// found is a record of a home.
type found struct {
	offset, timestamp int64
	epoch             int32
}

// since finds the first record that clients are shown from a physical offset of the home on, that
// is not older than a timestamp: a broker that was asked has given one that is hidden. It looks at
// few records; ok is false if it has found none among them, over whether the log ends there.
func (o *Offsets) since(ctx context.Context, t *catalog.Topic, partition int32, at, timestamp int64) (f found, over, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, homeAnswers)
	defer cancel()
	part := t.Partition(partition)
	at = part.ToPhysical(part.ToVirtual(at))
	for range sinceReads {
		p, answered := o.read(ctx, t, partition, at)
		if !answered {
			return f, false, false
		}
		from := at
		for _, b := range kafka.Batches(p.RecordBatches) {
			at = b.LastOffset() + 1
			if b.IsControl() || b.MaxTimestamp() < timestamp {
				continue
			}
			records, err := kafka.Records(b)
			if err != nil {
				return f, false, false
			}
			for _, r := range records {
				if r.Timestamp >= timestamp && !part.Distance.Skips(r.Offset) {
					return found{r.Offset, r.Timestamp, b.LeaderEpoch()}, false, true
				}
			}
		}
		if at == from {
			return f, at >= p.HighWatermark, false
		}
	}
	return f, false, false
}

// read fetches from a home.
func (o *Offsets) read(ctx context.Context, t *catalog.Topic, partition int32, at int64) (out kmsg.FetchResponseTopicPartition, ok bool) {
	home, name := o.env.Cluster(t.Home), t.Physical(t.Home)
	if home == nil {
		return out, false
	}
	topo := home.Topology()
	node, _ := topo.Leader(name, partition)
	if node < 0 || topo.Topics[name] == nil {
		return out, false
	}
	m := kmsg.NewPtrFetchRequest()
	m.ReplicaID, m.MinBytes, m.MaxBytes, m.SessionEpoch = -1, 0, sinceBytes, -1
	ft, fp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	ft.Topic, ft.TopicID = name, topo.Topics[name].ID
	fp.Partition, fp.FetchOffset, fp.CurrentLeaderEpoch, fp.LastFetchedEpoch, fp.LogStartOffset, fp.PartitionMaxBytes = partition, at, -1, -1, -1, sinceBytes
	ft.Partitions = append(ft.Partitions, fp)
	m.Topics = append(m.Topics, ft)
	resp, err := home.Do(ctx, node, m)
	if err != nil {
		return out, false
	}
	for _, rt := range resp.(*kmsg.FetchResponse).Topics {
		for _, rp := range rt.Partitions {
			if rp.Partition == partition && rp.ErrorCode == 0 {
				return rp, true
			}
		}
	}
	return out, false
}
