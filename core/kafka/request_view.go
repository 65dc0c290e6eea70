package kafka

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// View returns the view of a Produce or Fetch; it is never nil for them, and always for other APIs.
// A body that was edited is encoded first: the message that Edit has returned is not to be changed
// any more. The view of a body that is no message, which Clean says, shows no partitions.
func (b *RequestBody) View() *RequestView {
	if b.key != kmsg.Produce && b.key != kmsg.Fetch {
		return nil
	}
	b.settle()
	if !b.viewed {
		b.view()
	}
	return b.seen
}

func (b *RequestBody) view() {
	b.viewed = true
	if b.seen == nil {
		b.seen = &RequestView{}
		b.seen.reset()
	}
	c := cursor{b: b.raw, flexible: b.flexible(), request: true}
	if b.key == kmsg.Produce {
		c.produceRequest(b.seen, b.version)
	} else {
		c.fetchRequest(b.seen, b.version)
	}
	if b.sound, b.checked = !c.bad, !c.bad && !c.tagged; c.bad {
		b.seen.reset()
	}
}

// reset makes it the view of nothing; its memory is used again.
func (r *RequestView) reset() {
	kept := usedAgain(r.Partitions)
	if *r = (RequestView{}); cap(kept) == 0 {
		kept = r.one[:0]
	}
	r.Partitions = kept
}

// settle makes the bytes of an edited body what it says.
func (b *RequestBody) settle() {
	if !b.edited {
		return
	}
	b.Reset(b.key, b.version, b.msg.AppendTo(nil))
}

func (b *RequestBody) flexible() bool {
	api, ok := Lookup(b.key)
	return ok && api.flexible(b.version)
}

// Change returns a body with the same content whose fields can be changed by the methods below; b
// stays as it is.
func (b *RequestBody) Change() *RequestBody {
	c := &ChangedBody{}
	b.ChangeInto(c)
	return &c.RequestBody
}

// ChangedBody is a body that can be changed.
type ChangedBody struct{ RequestBody }

// ChangeInto is Change into storage of the caller's.
func (b *RequestBody) ChangeInto(c *ChangedBody) {
	b.copyTo(c)
	if b.seen != nil {
		c.seen.Partitions = append(c.seen.Partitions, b.seen.Partitions...)
	}
}

// copyTo makes c a copy of a body, but for the partitions of its view.
func (b *RequestBody) copyTo(c *ChangedBody) {
	b.View()
	c.Reset(b.key, b.version, b.raw)
	c.viewed, c.sound, c.checked, c.part = b.viewed, b.sound, b.checked, b.part
	c.patches.list = append(c.patches.list, b.patches.list...)
	if b.seen == nil {
		return
	}
	if c.seen == nil {
		c.seen = &RequestView{}
		c.seen.reset()
	}
	list := c.seen.Partitions
	*c.seen = *b.seen
	c.seen.Partitions, c.part = list, c.part || c.seen.Bare
}

// Only is a body with those partitions of b that are listed, by their index in the view; the bytes
// are shared.
func (b *RequestBody) Only(indices []int) *RequestBody {
	c := &ChangedBody{}
	b.copyTo(c)
	c.part, c.seen.Partitions = true, make([]RequestPartition, 0, len(indices))
	for _, i := range indices {
		c.seen.Partitions = append(c.seen.Partitions, b.seen.Partitions[i])
	}
	return &c.RequestBody
}

// put adds a patch of fixed width.
func (b *RequestBody) put(at int32, with []byte) {
	if at == 0 {
		return // the version has no such field
	}
	b.putAt(at, with)
}

func (b *RequestBody) putAt(at int32, with []byte) {
	p := patch{at: at, n: int32(len(with))}
	copy(p.with[:], with)
	b.patches.put(p)
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

// SetID changes the topic id of partition i; the others that stand under it are to be changed as
// well.
func (b *RequestBody) SetID(i int, id [16]byte) {
	p := &b.seen.Partitions[i]
	if p.list-p.topic != int32(len(id)) {
		return // the version has names
	}
	b.putAt(p.topic, id[:])
	p.ID = id
}

// SetTopic changes the name of partition i's topic, in versions that carry names, and of the others
// that stand under it.
func (b *RequestBody) SetTopic(i int, name string) {
	at, end := b.seen.Partitions[i].topic, b.seen.Partitions[i].list
	now := putText(&b.patches, at, end, name, b.flexible())
	for j := range b.seen.Partitions {
		if p := &b.seen.Partitions[j]; p.topic == at {
			p.Topic = now
		}
	}
}

// SetTransactionID changes the transactional id of a Produce that has one.
func (b *RequestBody) SetTransactionID(id string) {
	b.seen.TransactionID = putText(&b.patches, 0, b.seen.idEnd, id, b.flexible())
}

// SetMaxWait changes how many milliseconds a Fetch waits for records.
func (b *RequestBody) SetMaxWait(millis int32) {
	var w [4]byte
	binary.BigEndian.PutUint32(w[:], uint32(millis))
	b.putAt(b.seen.wait, w[:])
	b.seen.MaxWaitMillis = millis
}

// ForgetNothing takes the topics of its session which a Fetch forgets out of it.
func (b *RequestBody) ForgetNothing() {
	if !b.seen.Forgets {
		return
	}
	b.patches.put(patch{at: b.seen.forgotten, n: b.seen.rack - b.seen.forgotten, text: appendLength(nil, 0, b.flexible())})
	b.seen.Forgets = false
}

// SetRack changes the rack of a Fetch that has one.
func (b *RequestBody) SetRack(rack string) {
	b.seen.Rack = putText(&b.patches, b.seen.rack, b.seen.rackEnd, rack, b.flexible())
}

// SetPosition changes a Fetch: offset, current leader epoch, and the last fetched epoch to -1.
func (b *RequestBody) SetPosition(i int, offset int64, epoch int32) {
	p := &b.seen.Partitions[i]
	b.put64(p.offset, offset)
	b.put32(p.last, -1)
	if p.Offset = offset; p.epoch > 0 {
		b.put32(p.epoch, epoch)
		p.CurrentLeaderEpoch = epoch
	}
}

// SetRecords changes the records of partition i of a Produce. They are referenced, not copied.
func (b *RequestBody) SetRecords(i int, records []byte) {
	p := &b.seen.Partitions[i]
	b.patches.putRecords(p.records.length, p.records.to, records, b.flexible())
	p.Records, p.replaced = records, true
}

// SetProducers changes the producer ids in the batches of partition i, with their CRC. to returns
// the new id of a batch.
func (b *RequestBody) SetProducers(i int, to func(Batch) int64) {
	p := &b.seen.Partitions[i]
	if p.replaced {
		b.SetRecords(i, withProducers(p.Records, to))
		return
	}
	for at, batch := range Batches(p.Records) {
		if id := to(batch); id != batch.ProducerID() {
			var crc [4]byte
			binary.BigEndian.PutUint32(crc[:], batch.crcWith(id))
			b.put(p.records.from+int32(at)+17, crc[:])
			b.put64(p.records.from+int32(at)+43, id)
		}
	}
}

// withProducers is a copy of records with other producer ids.
func withProducers(records []byte, to func(Batch) int64) []byte {
	records = slices.Clone(records)
	for _, batch := range Batches(records) {
		if id := to(batch); id != batch.ProducerID() {
			batch.SetProducerID(id)
		}
	}
	return records
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
