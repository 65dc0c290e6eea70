package offsets

import (
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Timestamps of ListOffsets that stand for places in the log.
const (
	latest        = -1
	earliest      = -2
	earliestLocal = -4
)

const readCommitted = 1

// listed is what a ListOffsets asked about a partition, and the lineage that it was sent under.
type listed struct {
	topic     *catalog.Topic
	timestamp int64
}

// listOffsets translates the home's answer. What it says of the ends of the log is at least what
// clients were shown: for who reads what is committed, the log ends at the last stable offset.
func (o *Offsets) listOffsets(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	c := o.cluster(req)
	f, m, err := plugin.Edit[*kmsg.ListOffsetsRequest](req)
	if err != nil {
		return nil, err
	}
	type key struct {
		topic     string
		partition int32
	}
	asked := map[key]listed{}
	for i := range m.Topics {
		t := o.lineage(c, m.Topics[i].Topic)
		if t == nil {
			continue
		}
		for j := range m.Topics[i].Partitions {
			mp := &m.Topics[i].Partitions[j]
			asked[key{m.Topics[i].Topic, mp.Partition}] = listed{t, mp.Timestamp}
			switch {
			case t.Generation == 0:
			case catalog.EpochGeneration(mp.CurrentLeaderEpoch) > t.Generation:
				mp.CurrentLeaderEpoch = math.MaxInt32 // the home does not know it either
			default:
				mp.CurrentLeaderEpoch = -1
			}
		}
	}
	resp, err := next.Handle(ctx, f)
	if err != nil {
		return nil, err
	}
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	r := out.(*kmsg.ListOffsetsResponse)
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			rp := &r.Topics[i].Partitions[j]
			a, ok := asked[key{r.Topics[i].Topic, rp.Partition}]
			if !ok || rp.ErrorCode != 0 {
				continue
			}
			if err := o.listed(ctx, a, m.IsolationLevel == readCommitted, rp); err != nil {
				return nil, err
			}
		}
	}
	return resp, nil
}

// listed translates one partition of an answer.
func (o *Offsets) listed(ctx context.Context, a listed, committed bool, rp *kmsg.ListOffsetsResponseTopicPartition) error {
	part := a.topic.Partition(rp.Partition)
	at := &rp.Offset
	if len(rp.OldStyleOffsets) > 0 { // version 0; the newest comes first
		at = &rp.OldStyleOffsets[0]
	}
	if a.timestamp >= 0 && *at >= 0 && part.Distance.Skips(*at) { // clients are not shown that record
		switch f, over, ok := o.since(ctx, a.topic, rp.Partition, *at, a.timestamp); {
		case ok:
			*at, rp.Timestamp, rp.LeaderEpoch = f.offset, f.timestamp, f.epoch
		case over:
			*at, rp.Timestamp, rp.LeaderEpoch = -1, -1, -1
		}
	}
	there := *at
	for k := range rp.OldStyleOffsets {
		rp.OldStyleOffsets[k] = virtualOf(part, rp.OldStyleOffsets[k])
	}
	if len(rp.OldStyleOffsets) == 0 {
		if rp.Offset = virtualOf(part, rp.Offset); rp.LeaderEpoch >= 0 && a.topic.Generation > 0 {
			rp.LeaderEpoch = part.BatchEpoch(rp.Offset, rp.LeaderEpoch)
		}
	}
	if there < 0 {
		return nil // there is none
	}
	shown := func(w catalog.Watermarks) catalog.Watermarks {
		return a.topic.Show(rp.Partition, part.ToVirtualMarks(w, a.topic.Written(rp.Partition)))
	}
	switch {
	case a.timestamp == latest && committed:
		*at = shown(catalog.Watermarks{High: -1, Stable: there, Start: -1}).Stable
	case a.timestamp == latest:
		*at = shown(catalog.Watermarks{High: there, Stable: -1, Start: -1}).High
	case a.timestamp == earliest || a.timestamp == earliestLocal:
		*at = shown(catalog.Watermarks{High: -1, Stable: -1, Start: there}).Start
	case *at < part.LogStart && a.timestamp >= 0: // a record that is deleted: the first one that is left is not older
		*at = part.LogStart
	case *at < part.LogStart:
		*at, rp.Timestamp, rp.LeaderEpoch = -1, -1, -1
		return nil
	}
	return o.reserve(ctx, a.topic, rp.Partition, *at)
}
