package sdk

import (
	"cmp"
	"encoding/binary"
	"iter"
	"slices"

	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Records are the records of one request or response, over its partitions. They are valid during
// the call.
type Records struct {
	Context
	edits []byte // the result block in the making: room for its head, and the edits
	last  uint32 // record of the last edit
	mixed bool   // edits don't stand by ascending record
}

// begin makes them those of a block.
func (r *Records) begin(g *Gateway, block []byte) {
	if r.edits == nil {
		r.edits = make([]byte, abi.ResultSize)
	}
	r.gateway, r.block, r.edits, r.state, r.last, r.mixed = g, block, r.edits[:abi.ResultSize], r.state[:0], 0, false
}

// result is the result block with the edits, nil without any.
func (r *Records) result() []byte {
	n := len(r.edits) - abi.ResultSize
	if n == 0 {
		return nil
	}
	if r.mixed {
		r.sort()
	}
	le := binary.LittleEndian
	le.PutUint32(r.edits[abi.ResultLen:], abi.ResultSize)
	le.PutUint32(r.edits[abi.ResultEdits:], abi.ResultSize)
	le.PutUint32(r.edits[abi.ResultEdits+4:], uint32(n))
	return r.edits
}

// sort brings the edits into the order that the contract wants; those of one record keep theirs.
func (r *Records) sort() {
	var list [][]byte
	for b := r.edits[abi.ResultSize:]; len(b) > 0; {
		n := abi.EditHead + u32(b, 8)
		if value := u32(b, 12); value != abi.Null {
			n += value
		}
		list = append(list, b[:n])
		b = b[n:]
	}
	slices.SortStableFunc(list, func(a, b []byte) int { return cmp.Compare(u32(a, 0), u32(b, 0)) })
	copy(r.edits[abi.ResultSize:], slices.Concat(list...))
}

// Len is the number of records.
func (r *Records) Len() int { return int(u32(r.block, abi.HeadRecords+4)) }

// At returns record i.
func (r *Records) At(i int) Record {
	at := int(u32(r.block, abi.HeadRecords+8)) + i*int(u32(r.block, abi.HeadRecords))
	return Record{r, uint32(i), r.block[at:]}
}

// All walks the records.
func (r *Records) All() iter.Seq2[int, Record] {
	return func(yield func(int, Record) bool) {
		size, n, at := int(u32(r.block, abi.HeadRecords)), r.Len(), int(u32(r.block, abi.HeadRecords+8))
		for i := range n {
			if !yield(i, Record{r, uint32(i), r.block[at : at+abi.RecordSize]}) {
				return
			}
			at += size
		}
	}
}

// Groups walks the batches.
func (r *Records) Groups() iter.Seq[Group] {
	return func(yield func(Group) bool) {
		size, n, at := int(u32(r.block, abi.HeadGroups)), int(u32(r.block, abi.HeadGroups+4)), int(u32(r.block, abi.HeadGroups+8))
		for ; n > 0; n, at = n-1, at+size {
			if !yield(Group{r, r.block[at:]}) {
				return
			}
		}
	}
}

// Group is the records of one batch.
type Group struct {
	all  *Records
	desc []byte
}

// Topic is the topic's name.
func (g Group) Topic() string { return string(g.TopicBytes()) }

// TopicBytes is the topic's name, without a copy.
func (g Group) TopicBytes() []byte {
	off, n := u32(g.desc, abi.GroupTopic), u32(g.desc, abi.GroupTopic+4)
	return g.all.block[off : off+n : off+n]
}

// TopicID is the topic's id, zero where the version of the request has none.
func (g Group) TopicID() (id [16]byte) { copy(id[:], g.desc[abi.GroupID:]); return id }

// Partition is the number of the partition.
func (g Group) Partition() int32 { return int32(u32(g.desc, abi.GroupPartition)) }

// ProducerID is the id of an idempotent producer, -1 for none.
func (g Group) ProducerID() int64 { return int64(u64(g.desc, abi.GroupProducerID)) }

// Transactional reports a batch of a transaction.
func (g Group) Transactional() bool { return u16(g.desc, abi.GroupAttributes)&16 != 0 }

// Len is the number of records.
func (g Group) Len() int { return int(u32(g.desc, abi.GroupCount)) }

// Records walks the records of the batch.
func (g Group) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		first := int(u32(g.desc, abi.GroupFirst))
		for i := range g.Len() {
			if !yield(g.all.At(first + i)) {
				return
			}
		}
	}
}
