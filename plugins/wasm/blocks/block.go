// Package blocks writes the blocks that guests are shown, and reads what they answer: records into
// the blocks of calls, and edits into new batches. See sdk/ABI.md. It knows no guest, and runs
// nothing.
package blocks

import (
	"time"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Block is what a function is called with: a message, records, or settings.
type Block struct {
	// Deadline is what the guest is told of how long it has.
	Deadline time.Time

	size  int // about, and mostly not less than it has
	head  *Head
	body  []byte  // of a message
	call  Portion // or records
	plain []byte  // or, without a head, the configuration
}

// OfMessage is a block that shows a body.
func OfMessage(h *Head, body []byte) Block {
	return Block{size: len(body) + headRoom, head: h, body: body}
}

// OfRecords is a block that shows records.
func OfRecords(h *Head, call Portion) Block {
	return Block{size: headRoom + len(call.groups)*(abi.GroupSize+256) + call.block, head: h, call: call}
}

// OfSettings is a block of JSON, without a head.
func OfSettings(json []byte) Block { return Block{size: len(json), plain: json} }

// Size is about how many bytes Encode appends, and mostly not less.
func (b *Block) Size() int { return b.size }

// Encode appends the block.
func (b *Block) Encode(out []byte) []byte {
	if b.head == nil {
		return append(out, b.plain...)
	}
	groups := b.call.groups
	out = b.head.append(out, b.Deadline, len(groups), b.call.records, b.body)
	n := 0
	for i := range groups {
		s := &groups[i]
		p, at := &s.batch.plain, abi.HeadSize+i*abi.GroupSize
		le.PutUint32(out[at+abi.GroupTopic:], uint32(len(out)))
		le.PutUint32(out[at+abi.GroupTopic+4:], uint32(len(s.batch.part.Topic)))
		out = append(out, s.batch.part.Topic...)
		copy(out[at+abi.GroupID:], s.batch.part.ID[:])
		le.PutUint32(out[at+abi.GroupPartition:], uint32(s.batch.part.Number))
		le.PutUint32(out[at+abi.GroupFirst:], uint32(n))
		le.PutUint32(out[at+abi.GroupCount:], uint32(s.last-s.first))
		le.PutUint16(out[at+abi.GroupAttributes:], uint16(p.Attributes()))
		le.PutUint16(out[at+abi.GroupProducerEpoch:], uint16(p.ProducerEpoch()))
		le.PutUint64(out[at+abi.GroupProducerID:], uint64(p.ProducerID()))
		le.PutUint64(out[at+abi.GroupBaseOffset:], uint64(p.BaseOffset()))
		le.PutUint32(out[at+abi.GroupBaseSequence:], uint32(p.BaseSequence()))
		out = s.append(out, descriptor(len(groups), n))
		n += s.last - s.first
	}
	return out
}

// append adds the records as they stand in their batch, all at once, and fills in where each has
// what, from a place in the block on.
func (s *group) append(out []byte, at int) []byte {
	p, base := &s.batch.plain, len(out)-s.from
	out = append(out, p.Bytes[s.from:s.to]...)
	r := p.At(s.from)
	for n := s.last - s.first; n > 0 && p.Next(&r); n-- {
		d := out[at : at+abi.RecordSize]
		key, value := r.Places()
		le.PutUint64(d[abi.RecordTimestamp:], uint64(r.Timestamp))
		le.PutUint64(d[abi.RecordOffset:], uint64(r.Offset))
		le.PutUint32(d[abi.RecordKey:], uint32(base+key))
		le.PutUint32(d[abi.RecordKey+4:], length(r.Key))
		le.PutUint32(d[abi.RecordValue:], uint32(base+value))
		le.PutUint32(d[abi.RecordValue+4:], length(r.Value))
		le.PutUint32(d[abi.RecordHeaders:], uint32(len(out)))
		le.PutUint32(d[abi.RecordHeaders+4:], uint32(r.Headers.Count))
		for k, v := range r.Headers.All() {
			out = le.AppendUint32(out, uint32(len(k)))
			out = le.AppendUint32(out, length(v))
			out = append(append(out, k...), v...)
		}
		at += abi.RecordSize
	}
	return out
}

func length(b []byte) uint32 {
	if b == nil {
		return abi.Null
	}
	return uint32(len(b))
}

// descriptor is where record i is described in a block of so many groups: the guest may have
// changed what its copy of the head says.
func descriptor(groups, i int) int { return abi.HeadSize + groups*abi.GroupSize + i*abi.RecordSize }
