package offsets

import (
	"cmp"
	"context"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// A home may have records that clients are not shown. A member of a share group (KIP-932) acquires
// them like others, and they would come back for ever: its next ShareFetch acknowledges them.

// owed are the ranges of physical offsets that members on a connection have acquired and were not
// shown.
type owed struct {
	mu sync.Mutex
	of map[member]map[sharePartition][]offsetRange
}

// member names a share session on a connection.
type member struct{ cluster, group, id string }

type sharePartition struct {
	topic     [16]byte
	partition int32
}

// offsetRange is a range of offsets, both ends included.
type offsetRange struct{ first, last int64 }

type owedKey struct{}

// Close is for plugin.Session.
func (o *owed) Close() error { return nil }

// mostMembers is of how many members on one connection it is kept what they were not shown; clients
// have one. The records of others come back until they were delivered too often.
const mostMembers = 100

// owedOn is what is kept for a connection; nil once it is closed.
func owedOn(s *plugin.Session) *owed {
	all, _ := s.Attach(owedKey{}, func() io.Closer { return &owed{of: map[member]map[sharePartition][]offsetRange{}} }).(*owed)
	return all
}

func (o *owed) add(m member, p sharePartition, ranges []offsetRange) {
	if o == nil || len(ranges) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of[m] == nil {
		if len(o.of) >= mostMembers {
			return
		}
		o.of[m] = map[sharePartition][]offsetRange{}
	}
	o.of[m][p] = append(o.of[m][p], ranges...)
}

// take returns what is owed, and forgets it.
func (o *owed) take(m member) map[sharePartition][]offsetRange {
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.of[m]
	delete(o.of, m)
	return out
}

func memberOf(cluster string, group, id *string) member {
	m := member{cluster: cluster}
	if group != nil {
		m.group = *group
	}
	if id != nil {
		m.id = *id
	}
	return m
}

// What acknowledgements say of records.
const ackGap = 0

// Epochs of share sessions that begin and end one.
const (
	firstEpoch = 0
	finalEpoch = -1
)

type ackBatch = kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch

// shareFetch translates what is acknowledged, and what is acquired. It adds acknowledgements of
// records that the member was not shown.
func (o *Offsets) shareFetch(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	c := o.cluster(req)
	f, m, err := plugin.Edit[*kmsg.ShareFetchRequest](req)
	if err != nil {
		return nil, err
	}
	who, kept, pieces := memberOf(c.Name(), m.GroupID, m.MemberID), owedOn(req.Session), mostPieces
	for i := range m.Topics {
		t := o.lineageOf(c, nil, m.Topics[i].TopicID)
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			p.AcknowledgementBatches = physicalAcks(&pieces, t, p.Partition, p.AcknowledgementBatches)
		}
	}
	if !m.IsRenewAck {
		if left := kept.take(who); m.ShareSessionEpoch != firstEpoch { // a session that begins has acquired nothing
			acknowledge(m, left)
		}
	}
	resp, err := next.Handle(ctx, f)
	if err != nil || resp == nil {
		return resp, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	within, done := req.Session.Decode()
	if err := o.shared(ctx, within, c, msg.(*kmsg.ShareFetchResponse), func(p sharePartition, ranges []offsetRange) { kept.add(who, p, ranges) }); err != nil {
		done()
		return nil, err
	}
	return onRelease(resp, done), nil
}

// acknowledge adds what was not shown to what a member acknowledges.
func acknowledge(m *kmsg.ShareFetchRequest, left map[sharePartition][]offsetRange) {
	for at, ranges := range left {
		var batches []ackBatch
		for _, r := range ranges {
			batches = append(batches, ackBatch{FirstOffset: r.first, LastOffset: r.last, AcknowledgeTypes: []int8{ackGap}})
		}
		p := shareFetchPartition(m, at)
		p.AcknowledgementBatches = append(p.AcknowledgementBatches, batches...)
		slices.SortStableFunc(p.AcknowledgementBatches, func(a, b ackBatch) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	}
}

// shareFetchPartition finds a partition in a request, or adds it.
func shareFetchPartition(m *kmsg.ShareFetchRequest, at sharePartition) *kmsg.ShareFetchRequestTopicPartition {
	i := slices.IndexFunc(m.Topics, func(t kmsg.ShareFetchRequestTopic) bool { return t.TopicID == at.topic })
	if i < 0 {
		i = len(m.Topics)
		t := kmsg.NewShareFetchRequestTopic()
		t.TopicID = at.topic
		m.Topics = append(m.Topics, t)
	}
	t := &m.Topics[i]
	j := slices.IndexFunc(t.Partitions, func(p kmsg.ShareFetchRequestTopicPartition) bool { return p.Partition == at.partition })
	if j < 0 {
		j = len(t.Partitions)
		p := kmsg.NewShareFetchRequestTopicPartition()
		p.Partition = at.partition
		t.Partitions = append(t.Partitions, p)
	}
	return &t.Partitions[j]
}

// shared translates what an answer says.
func (o *Offsets) shared(ctx context.Context, within kafka.Bounds, c plugin.Cluster, m *kmsg.ShareFetchResponse, owe func(sharePartition, []offsetRange)) error {
	topo, fresh := c.Topology(), false
	// there reports a partition that the cluster has. One that can't be believed may answer for any
	// number of others: nothing is noted of them.
	there := func(name string, partition int32) bool {
		if !fresh && !topo.Has(name, partition) { // it may be new
			fresh = true
			if now, err := c.Refresh(ctx); err == nil {
				topo = now
			}
		}
		return topo.Has(name, partition)
	}
	for i := range m.Topics {
		t := o.lineageOf(c, nil, m.Topics[i].TopicID)
		if t == nil {
			continue
		}
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			if !there(t.Physical(c.Name()), p.Partition) {
				continue
			}
			part := t.Partition(p.Partition)
			if p.CurrentLeader.LeaderEpoch >= 0 {
				p.CurrentLeader.LeaderEpoch = part.VirtualEpoch(p.CurrentLeader.LeaderEpoch)
			}
			if t.Generation > 0 {
				hidden, err := acquired(within, part, p)
				if err != nil && p.ErrorCode != 0 {
					o.log.Error("records of a share group can't be shown: they must be given other offsets, and can't be decoded",
						"topic", t.Name, "partition", p.Partition, "error", err)
				}
				owe(sharePartition{m.Topics[i].TopicID, p.Partition}, hidden)
			}
			if err := o.showShared(ctx, t, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// acquired translates what a member has acquired, and returns what of it clients are not shown.
func acquired(within kafka.Bounds, part *catalog.Partition, p *kmsg.ShareFetchResponseTopicPartition) (hidden []offsetRange, err error) {
	var shown []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord
	for _, a := range p.AcquiredRecords {
		next := a.FirstOffset
		for _, r := range part.Distance.HasPhysical(a.FirstOffset, a.LastOffset) {
			if gone := min(part.LogStart-r.Virtual, r.Records); gone > 0 { // which clients have deleted
				r.Virtual, r.Physical, r.Records = r.Virtual+gone, r.Physical+gone, r.Records-gone
			}
			if r.Records == 0 {
				continue
			}
			if next < r.Physical {
				hidden = append(hidden, offsetRange{next, r.Physical - 1})
			}
			b := a
			b.FirstOffset, b.LastOffset = r.Virtual, r.Virtual+r.Records-1
			shown = append(shown, b)
			next = r.Physical + r.Records
		}
		if next <= a.LastOffset {
			hidden = append(hidden, offsetRange{next, a.LastOffset})
		}
	}
	if p.Records, err = virtualBatches(within, part, p.Records); err != nil {
		shown = ahead(shown, p.Records)
	}
	if p.AcquiredRecords = shown; err != nil && len(shown) == 0 {
		p.ErrorCode, p.Records = int16(kafka.CorruptMessage), []byte{}
	}
	return hidden, err
}

// ahead are the ranges that end in records: what stands behind a batch that can't be shown comes
// back when its lock ends.
func ahead(ranges []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord, records []byte) []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord {
	last := int64(-1)
	for _, b := range kafka.Batches(records) {
		last = b.LastOffset()
	}
	return slices.DeleteFunc(ranges, func(r kmsg.ShareFetchResponseTopicPartitionAcquiredRecord) bool { return r.LastOffset > last })
}

// showShared reserves the offsets that an answer shows.
func (o *Offsets) showShared(ctx context.Context, t *catalog.Topic, p *kmsg.ShareFetchResponseTopicPartition) error {
	end := int64(0)
	for _, b := range kafka.Batches(p.Records) {
		end = max(end, b.LastOffset()+1)
	}
	if end == 0 {
		return nil
	}
	if err := o.reserve(ctx, t, p.Partition, end); err != nil {
		return err
	}
	t.Show(p.Partition, catalog.Watermarks{High: end, Stable: -1, Start: -1})
	return nil
}

// shareAcknowledge translates what is acknowledged.
func (o *Offsets) shareAcknowledge(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	c := o.cluster(req)
	f, m, err := plugin.Edit[*kmsg.ShareAcknowledgeRequest](req)
	if err != nil {
		return nil, err
	}
	pieces := mostPieces
	for i := range m.Topics {
		t := o.lineageOf(c, nil, m.Topics[i].TopicID)
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			var batches []ackBatch
			for _, b := range p.AcknowledgementBatches {
				batches = append(batches, ackBatch(b))
			}
			there := physicalAcks(&pieces, t, p.Partition, batches)
			p.AcknowledgementBatches = make([]kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch, len(there))
			for k, b := range there {
				p.AcknowledgementBatches[k] = kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch(b)
			}
		}
	}
	if m.ShareSessionEpoch == finalEpoch {
		owedOn(req.Session).take(memberOf(c.Name(), m.GroupID, m.MemberID)) // the broker releases what is left
	}
	resp, err := next.Handle(ctx, f)
	if err != nil || resp == nil {
		return resp, err
	}
	msg, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	out := msg.(*kmsg.ShareAcknowledgeResponse)
	for i := range out.Topics {
		t := o.lineageOf(c, nil, out.Topics[i].TopicID)
		for j := range out.Topics[i].Partitions {
			if p := &out.Topics[i].Partitions[j]; t != nil && p.CurrentLeader.LeaderEpoch >= 0 {
				p.CurrentLeader.LeaderEpoch = t.Partition(p.Partition).VirtualEpoch(p.CurrentLeader.LeaderEpoch)
			}
		}
	}
	return resp, nil
}

// nobodys is an offset that no record has: an acknowledgement of it is refused.
const nobodys = math.MaxInt64 - 1

// mostPieces is into how many batches the acknowledgements of a request may be divided: a member
// has acquired some thousand records at most.
const mostPieces = 100_000

// physicalAcks translates what a member acknowledges in a partition, as long as there are pieces
// left. What makes no sense stays as it is, so that the broker says so.
func physicalAcks(pieces *int, t *catalog.Topic, partition int32, list []ackBatch) []ackBatch {
	if t == nil || t.Generation == 0 || len(list) == 0 {
		return list
	}
	part := t.Partition(partition)
	var out []ackBatch
	behind := int64(-1) // the last offset of the batch before
	for _, b := range list {
		if n := len(b.AcknowledgeTypes); b.FirstOffset <= behind || b.LastOffset < b.FirstOffset || n != 1 && int64(n) != b.LastOffset-b.FirstOffset+1 {
			return list
		}
		behind = b.LastOffset
		was := len(out)
		for _, r := range part.Distance.HasVirtual(b.FirstOffset, b.LastOffset) {
			there := b
			there.FirstOffset, there.LastOffset = r.Physical, r.Physical+r.Records-1
			if at := r.Virtual - b.FirstOffset; len(b.AcknowledgeTypes) > 1 {
				there.AcknowledgeTypes = b.AcknowledgeTypes[at : at+r.Records]
			}
			out = append(out, there)
		}
		if *pieces -= len(out) - was; *pieces < 0 {
			out = nil
			break
		}
	}
	if len(out) == 0 { // nobody can have acquired what is in a hole
		out = append(out, ackBatch{FirstOffset: nobodys, LastOffset: nobodys, AcknowledgeTypes: []int8{ackGap}})
	}
	return out
}
