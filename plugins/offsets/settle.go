package offsets

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// committed is a position in an answer.
type committed struct {
	topic     *catalog.Topic // as clients were told last; nil if nobody knows it
	partition int32
	offset    *int64
	epoch     *int32
}

// settle translates positions. Whether something is written behind a hole, the home is asked where
// it is not known.
func (o *Offsets) settle(ctx context.Context, all []committed) {
	asked := map[*catalog.Topic]map[int32]bool{}
	for _, p := range all {
		if p.topic != nil && *p.offset >= 0 && p.topic.InHole(p.partition, *p.offset) {
			if asked[p.topic] == nil {
				asked[p.topic] = map[int32]bool{}
			}
			asked[p.topic][p.partition] = true
		}
	}
	o.noteEnds(ctx, asked)
	for _, p := range all {
		if p.topic != nil && *p.offset >= 0 {
			if at := p.topic.Settle(p.partition, *p.offset); at != *p.offset {
				// Its epoch has ended in front of the hole: clients would take that
				// for records that were lost (KIP-320).
				*p.offset, *p.epoch = at, -1
			}
		}
		*p.epoch = o.shownEpoch(p.topic, p.partition, *p.epoch)
	}
}

// homeAnswers is how long a home is waited for that is asked where its log ends.
const homeAnswers = time.Second

// noteEnds asks homes where the logs of partitions end, one request per leader.
func (o *Offsets) noteEnds(ctx context.Context, asked map[*catalog.Topic]map[int32]bool) {
	ctx, cancel := context.WithTimeout(ctx, homeAnswers)
	defer cancel()
	type leader struct {
		cluster string
		node    int32
	}
	ask := map[leader]*kmsg.ListOffsetsRequest{}
	for t, partitions := range asked {
		home := o.env.Cluster(t.Home)
		if home == nil || !home.Reachable() {
			continue
		}
		for n := range partitions {
			node, _ := home.Topology().Leader(t.Physical(t.Home), n)
			if node < 0 {
				continue
			}
			m := ask[leader{t.Home, node}]
			if m == nil {
				m = kmsg.NewPtrListOffsetsRequest()
				m.ReplicaID = -1
				ask[leader{t.Home, node}] = m
			}
			if last := len(m.Topics) - 1; last < 0 || m.Topics[last].Topic != t.Physical(t.Home) {
				rt := kmsg.NewListOffsetsRequestTopic()
				rt.Topic = t.Physical(t.Home)
				m.Topics = append(m.Topics, rt)
			}
			rt, rp := &m.Topics[len(m.Topics)-1], kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = n, latest, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
	}
	for at, m := range ask {
		resp, err := o.env.Cluster(at.cluster).Do(ctx, at.node, m)
		if err != nil {
			continue // what is known has to do
		}
		for _, rt := range resp.(*kmsg.ListOffsetsResponse).Topics {
			for t := range asked {
				for _, rp := range rt.Partitions {
					if t.Home == at.cluster && t.Physical(t.Home) == rt.Topic && rp.ErrorCode == 0 && rp.Offset >= 0 {
						t.NoteEnd(rp.Partition, t.Partition(rp.Partition).ToVirtual(rp.Offset))
					}
				}
			}
		}
	}
}
