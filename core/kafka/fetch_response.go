package kafka

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// retain gives a Fetch response a session id and leaves out the partitions that keep refuses. One that
// failed as a whole stays as it is.
func (b *ResponseBody) retain(session int32, keep func(*HotAnswer) bool) error {
	if h := b.Hot(); h != nil {
		if h.ErrorCode != 0 {
			return nil
		}
		binary.BigEndian.PutUint32(h.raw[h.session:], uint32(session))
		h.SessionID = session
		for i := range h.Partitions {
			p := &h.Partitions[i]
			p.dropped = !keep(p)
			h.cut = h.cut || p.dropped
		}
		return nil
	}
	f, err := b.Fetch()
	if err != nil || f.ErrorCode != 0 {
		return err
	}
	if _, err := b.Edit(); err != nil {
		return err
	}
	f.SessionID = session
	for i := range f.Topics {
		t := &f.Topics[i]
		t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.FetchResponseTopicPartition) bool {
			a := fetchAnswer(f.Version, t, &p)
			return !keep(&a)
		})
	}
	f.Topics = slices.DeleteFunc(f.Topics, func(t kmsg.FetchResponseTopic) bool { return len(t.Partitions) == 0 })
	return nil
}

// fetchAnswer is the view of a partition that was decoded.
func fetchAnswer(version int16, t *kmsg.FetchResponseTopic, p *kmsg.FetchResponseTopicPartition) HotAnswer {
	a := HotAnswer{
		Topic: []byte(t.Topic), ID: t.TopicID, Partition: p.Partition, ErrorCode: p.ErrorCode, Records: p.RecordBatches,
		HighWatermark: p.HighWatermark, LastStableOffset: p.LastStableOffset, LogStartOffset: p.LogStartOffset,
	}
	a.Hints = version >= 11 && p.PreferredReadReplica >= 0 || version >= 12 &&
		(p.DivergingEpoch.Epoch != -1 || p.DivergingEpoch.EndOffset != -1 || p.CurrentLeader.LeaderID != -1 ||
			p.CurrentLeader.LeaderEpoch != -1 || p.SnapshotID.Epoch != -1 || p.SnapshotID.EndOffset != -1 || p.UnknownTags.Len() > 0)
	return a
}

// appendKept writes a Fetch response without the partitions that are dropped. Records are not copied.
func (r *HotResponse) appendKept(o *Out, flexible bool) {
	topics := 0
	for list := range r.byTopic {
		if kept(list) > 0 {
			topics++
		}
	}
	o.Append(r.raw[:r.topics])
	o.length(topics, flexible)
	for list := range r.byTopic {
		n := kept(list)
		if n == 0 {
			continue
		}
		r.patches.appendRange(o, r.raw, int32(list[0].topic), int32(list[0].list))
		o.length(n, flexible)
		for i := range list {
			if p := &list[i]; !p.dropped {
				o.Span(r.raw[p.at:p.end])
			}
		}
		if flexible {
			o.Append([]byte{0}) // no tagged fields
		}
	}
	o.Span(r.raw[r.rest:])
}

// byTopic shows the partitions of each topic of the response.
func (r *HotResponse) byTopic(yield func([]HotAnswer) bool) {
	for from := 0; from < len(r.Partitions); {
		to := from + 1
		for to < len(r.Partitions) && r.Partitions[to].topic == r.Partitions[from].topic {
			to++
		}
		if !yield(r.Partitions[from:to]) {
			return
		}
		from = to
	}
}

func kept(list []HotAnswer) (n int) {
	for i := range list {
		if !list[i].dropped {
			n++
		}
	}
	return n
}
