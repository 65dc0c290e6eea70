package kafka

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// patch replaces bytes of a body by as many others while it is written; the bytes as received stay, so
// that a request can be sent again or elsewhere.
type patch struct {
	at, n int32
	with  [16]byte
}

// Change returns a body with the same bytes whose fixed-width fields can be changed by the methods
// below; b stays as it is. Hot must have returned a view of b.
func (b *RequestBody) Change() *RequestBody {
	c := &ChangedBody{}
	b.ChangeInto(c)
	return &c.RequestBody
}

// ChangedBody is a body with room for a few changes.
type ChangedBody struct {
	RequestBody
	few [3]patch
}

// ChangeInto is Change into storage of the caller's.
func (b *RequestBody) ChangeInto(c *ChangedBody) {
	list, patches := usedAgain(c.hot.Partitions), usedAgain(c.patches)
	c.RequestBody = RequestBody{key: b.key, version: b.version, raw: b.raw, viewed: true, hotOK: true, hot: b.hot}
	if cap(list) == 0 {
		list = c.hot.one[:0]
	}
	if cap(patches) == 0 {
		patches = c.few[:0]
	}
	c.hot.Partitions, c.patches = append(list, b.hot.Partitions...), append(patches, b.patches...)
}

// put adds a patch in its place.
func (b *RequestBody) put(at int32, with []byte) {
	if at == 0 {
		return // the version has no such field
	}
	i := len(b.patches)
	for i > 0 && b.patches[i-1].at >= at {
		i--
	}
	if i < len(b.patches) && b.patches[i].at == at {
		copy(b.patches[i].with[:], with)
		return
	}
	p := patch{at: at, n: int32(len(with))}
	copy(p.with[:], with)
	b.patches = slices.Insert(b.patches, i, p)
}

func (b *RequestBody) put32(at int32, v int32) {
	var w [4]byte
	binary.BigEndian.PutUint32(w[:], uint32(v))
	b.put(at, w[:])
}

func (b *RequestBody) put64(at int32, v int64) {
	var w [8]byte
	binary.BigEndian.PutUint64(w[:], uint64(v))
	b.put(at, w[:])
}

// SetID changes the topic id of partition i and of the others of its topic.
func (b *RequestBody) SetID(i int, id [16]byte) {
	b.put(b.hot.Partitions[i].id, id[:])
	b.hot.Partitions[i].ID = id
}

// SetPosition changes a Fetch: offset, current leader epoch, and the last fetched epoch to -1.
func (b *RequestBody) SetPosition(i int, offset int64, epoch int32) {
	p := &b.hot.Partitions[i]
	b.put64(p.offset, offset)
	b.put32(p.epoch, epoch)
	b.put32(p.last, -1)
	p.Offset, p.CurrentLeaderEpoch = offset, epoch
}

// SetProducers changes the producer ids in the batches of partition i, with their CRC. to returns the
// new id of a batch.
func (b *RequestBody) SetProducers(i int, to func(Batch) int64) {
	p := &b.hot.Partitions[i]
	for at, batch := range Batches(p.Records) {
		if id := to(batch); id != batch.ProducerID() {
			var crc [4]byte
			binary.BigEndian.PutUint32(crc[:], batch.crcWith(id))
			b.put(p.records+int32(at)+17, crc[:])
			b.put64(p.records+int32(at)+43, id)
		}
	}
}

// crcWith is the checksum that the batch has with another producer id.
func (b Batch) crcWith(id int64) uint32 {
	var now [8]byte
	binary.BigEndian.PutUint64(now[:], uint64(id))
	if len(b) <= crcShort {
		table := crc32.MakeTable(crc32.Castagnoli)
		crc := crc32.Update(crc32.Checksum(b[21:43], table), table, now[:])
		return crc32.Update(crc, table, b[51:])
	}
	binary.BigEndian.PutUint64(now[:], uint64(id)^uint64(b.ProducerID()))
	return b.CRC() ^ crcShift(crcLinear(now[:]), len(b)-51)
}

// flat is the body in one piece.
func (b *RequestBody) flat() []byte {
	if len(b.patches) == 0 {
		return b.raw
	}
	out := slices.Clone(b.raw)
	for _, p := range b.patches {
		copy(out[p.at:], p.with[:p.n])
	}
	return out
}
