package kafka

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// patch replaces bytes of a body by others while it is written; the bytes as received stay, so that a request can be sent again or
// elsewhere.
type patch struct {
	at, n int32
	with  [16]byte // as many bytes, if there is no text
	text  []byte   // in place of a name with its length
}

func (p *patch) bytes() []byte {
	if p.text != nil {
		return p.text
	}
	return p.with[:p.n]
}

// patches are those of a body, in the order of their places, with the memory of their texts.
type patches struct {
	list  []patch
	texts []byte
}

// mostTexts bounds the memory of texts that is used again.
const mostTexts = 16 << 10

// reset forgets all; the memory is used again.
func (p *patches) reset() {
	p.list = usedAgain(p.list)
	if p.texts = p.texts[:0]; cap(p.texts) > mostTexts {
		p.texts = nil
	}
}

// put adds a patch in its place.
func (p *patches) put(x patch) {
	i := len(p.list)
	for i > 0 && p.list[i-1].at >= x.at {
		i--
	}
	if i < len(p.list) && p.list[i].at == x.at {
		p.list[i].with, p.list[i].text = x.with, x.text
		return
	}
	p.list = slices.Insert(p.list, i, x)
}

// putName puts a name in the place of one that stands between from and to, and returns it in memory that stays.
func putName[N string | []byte](p *patches, from, to int32, name N, flexible bool) []byte {
	at := len(p.texts)
	if flexible {
		p.texts = binary.AppendUvarint(p.texts, uint64(len(name)+1))
	} else {
		p.texts = binary.BigEndian.AppendUint16(p.texts, uint16(len(name)))
	}
	behind := len(p.texts)
	p.texts = append(p.texts, name...)
	p.put(patch{at: from, n: to - from, text: p.texts[at:len(p.texts):len(p.texts)]})
	return p.texts[behind:len(p.texts):len(p.texts)]
}

// appendRange writes out what stands between two places of raw, as it is changed.
func (p *patches) appendRange(o *Out, raw []byte, from, to int32) {
	for i := range p.list {
		x := &p.list[i]
		if x.at < from || x.at >= to {
			continue
		}
		o.Span(raw[from:x.at])
		o.Append(x.bytes())
		from = x.at + x.n
	}
	o.Span(raw[from:to])
}

// flat is raw with its changes, in one piece.
func (p *patches) flat(raw []byte) []byte {
	if len(p.list) == 0 {
		return raw
	}
	out := make([]byte, 0, len(raw)+len(p.texts))
	from := int32(0)
	for i := range p.list {
		x := &p.list[i]
		out = append(append(out, raw[from:x.at]...), x.bytes()...)
		from = x.at + x.n
	}
	return append(out, raw[from:]...)
}

// Change returns a body with the same bytes whose fixed-width fields can be changed by the methods
// below; b stays as it is. Hot must have returned a view of b.
func (b *RequestBody) Change() *RequestBody {
	c := &ChangedBody{}
	b.ChangeInto(c)
	return &c.RequestBody
}

// ChangedBody is a body that can be changed.
type ChangedBody struct{ RequestBody }

// ChangeInto is Change into storage of the caller's.
func (b *RequestBody) ChangeInto(c *ChangedBody) {
	list := usedAgain(c.hot.Partitions)
	c.patches.reset()
	kept := c.patches
	c.RequestBody = RequestBody{key: b.key, version: b.version, raw: b.raw, viewed: true, hotOK: true, hot: b.hot}
	if cap(list) == 0 {
		list = c.hot.one[:0]
	}
	c.hot.Partitions = append(list, b.hot.Partitions...)
	c.patches.list, c.patches.texts = kept.list, kept.texts
	for i := range b.patches.list {
		c.patches.put(b.patches.list[i])
	}
}

// put adds a patch of fixed width.
func (b *RequestBody) put(at int32, with []byte) {
	if at == 0 {
		return // the version has no such field
	}
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

// SetID changes the topic id of partition i and of the others of its topic.
func (b *RequestBody) SetID(i int, id [16]byte) {
	b.put(b.hot.Partitions[i].id, id[:])
	b.hot.Partitions[i].ID = id
}

// SetTopic changes the name of partition i's topic, in versions that carry names, and of the others that stand under it.
func (b *RequestBody) SetTopic(i int, name string) {
	at, end := b.hot.Partitions[i].name, b.hot.Partitions[i].nameEnd
	now := putName(&b.patches, at, end, name, b.flexible())
	for j := range b.hot.Partitions {
		if p := &b.hot.Partitions[j]; p.name == at {
			p.Topic = now
		}
	}
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
func (b *RequestBody) flat() []byte { return b.patches.flat(b.raw) }
