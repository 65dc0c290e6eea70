package kafka

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// HotRequest is a view of a Produce or Fetch request as it was received: nothing is copied and, for one
// partition, nothing allocated. Its slices alias the body.
type HotRequest struct {
	// Of Produce.
	Acks          int16
	Transactional bool
	// Of Fetch.
	Forgets       bool // it forgets topics of its session
	MaxWaitMillis int32
	SessionID     int32
	SessionEpoch  int32 // -1 before version 7

	Partitions []HotPartition
	one        [1]HotPartition
}

// HotPartition is one partition of a HotRequest. Topic or, in versions that carry ids, ID is set.
type HotPartition struct {
	Topic     []byte
	ID        [16]byte
	Partition int32
	// Of Fetch.
	CurrentLeaderEpoch int32 // -1 before version 9
	Offset             int64
	// Of Produce.
	Records []byte

	id, epoch, offset, last, records int32 // where the fields stand
	name, nameEnd                    int32
}

// HotResponse is a view of a Produce or Fetch response as it came.
type HotResponse struct {
	ErrorCode int16 // of Fetch
	SessionID int32 // of Fetch
	// ThrottleMillis is of Produce.
	ThrottleMillis int32
	// Names says that there may be names of nodes, which the view does not show: leaders and endpoints
	// (KIP-951), preferred replicas.
	Names bool

	Partitions []HotAnswer
	one        [1]HotAnswer
	raw        []byte
	session    int
	topics     int  // where the topics of a Fetch begin
	rest       int  // and what stands behind them
	end        int  // where the response ends
	cut        bool // partitions are dropped
	changed    bool // in its bytes or patches
	flexible   bool
	patches    patches // of names
}

// HotAnswer is one partition of a HotResponse. Offsets are -1 where the version has none.
type HotAnswer struct {
	Topic            []byte
	ID               [16]byte
	Partition        int32
	ErrorCode        int16
	BaseOffset       int64 // of Produce
	HighWatermark    int64 // of Fetch, like those below but LogStartOffset
	LastStableOffset int64
	LogStartOffset   int64
	Records          []byte
	Aborted          int // transactions listed, of Fetch
	// Hints says that it names a leader, a replica or a diverging epoch (of Fetch), which the view does
	// not show.
	Hints bool

	id, base, high, stable, start, records int // where the fields stand
	topic, list                            int // where its topic, and the topic's partitions begin
	at, end                                int // of Fetch: where it itself begins and ends
	dropped                                bool
}

// SetID changes the topic id of partition i, in the bytes.
func (r *HotResponse) SetID(i int, id [16]byte) {
	copy(r.raw[r.Partitions[i].id:], id[:])
	r.Partitions[i].ID, r.changed = id, true
}

// SetTopic changes the name of partition i's topic, in versions that carry names, and of the others that stand under it.
func (r *HotResponse) SetTopic(i int, name []byte) {
	at, end := r.Partitions[i].topic, r.Partitions[i].list
	now := putName(&r.patches, int32(at), int32(end), name, r.flexible)
	for j := range r.Partitions {
		if p := &r.Partitions[j]; p.topic == at {
			p.Topic = now
		}
	}
	r.changed = true
}

// SetBaseOffset changes the offset of partition i's batch, in the bytes.
func (r *HotResponse) SetBaseOffset(i int, offset int64) {
	binary.BigEndian.PutUint64(r.raw[r.Partitions[i].base:], uint64(offset))
	r.Partitions[i].BaseOffset, r.changed = offset, true
}

// SetMarks changes the watermarks and log start of partition i, in the bytes. What its version has none
// of is left out.
func (r *HotResponse) SetMarks(i int, high, stable, start int64) {
	p := &r.Partitions[i]
	for _, f := range []struct {
		at  int
		now *int64
		to  int64
	}{{p.high, &p.HighWatermark, high}, {p.stable, &p.LastStableOffset, stable}, {p.start, &p.LogStartOffset, start}} {
		if f.at > 0 {
			binary.BigEndian.PutUint64(r.raw[f.at:], uint64(f.to))
			*f.now, r.changed = f.to, true
		}
	}
}

// Hot returns a view of the body; nil for other APIs, a body that was edited, and one that does not
// parse.
func (b *RequestBody) Hot() *HotRequest {
	if b.edited || (b.key != kmsg.Produce && b.key != kmsg.Fetch) {
		return nil
	}
	if !b.viewed {
		b.viewed = true
		c := cursor{b: b.raw, flexible: b.flexible(), request: true}
		if cap(b.hot.Partitions) == 0 {
			b.hot.Partitions = b.hot.one[:0]
		}
		if b.key == kmsg.Produce {
			c.produceRequest(&b.hot, b.version)
		} else {
			c.fetchRequest(&b.hot, b.version)
		}
		b.hotOK, b.checked = !c.bad, !c.bad && !c.tagged
	}
	if !b.hotOK {
		return nil
	}
	return &b.hot
}

func (b *RequestBody) flexible() bool {
	api, ok := Lookup(b.key)
	return ok && api.flexible(b.version)
}

// Hot returns a view of the body; nil for other APIs, a body that was edited, and one that does not
// parse.
func (b *ResponseBody) Hot() *HotResponse {
	if b.edited || (b.key != kmsg.Produce && b.key != kmsg.Fetch) {
		return nil
	}
	if !b.viewed {
		b.viewed = true
		api, _ := Lookup(b.key)
		c := cursor{b: b.raw, flexible: api.flexible(b.version)}
		if b.hot.raw, b.hot.flexible = b.raw, c.flexible; cap(b.hot.Partitions) == 0 {
			b.hot.Partitions = b.hot.one[:0]
		}
		if b.key == kmsg.Produce {
			c.produceResponse(&b.hot, b.version)
		} else {
			c.fetchResponse(&b.hot, b.version)
		}
		b.hotOK, b.hot.end = !c.bad, c.at
	}
	if !b.hotOK {
		return nil
	}
	return &b.hot
}

// cursor reads Kafka's encoding; after the first thing that does not fit it is bad and reads zeros.
type cursor struct {
	b        []byte
	at       int
	flexible bool
	request  bool // which has no null arrays; brokers are forgiven them
	bad      bool
	tagged   bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || c.bad || n > len(c.b)-c.at {
		c.bad = true
		return nil
	}
	out := c.b[c.at : c.at+n : c.at+n]
	c.at += n
	return out
}

func (c *cursor) i16() int16 {
	if b := c.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (c *cursor) i32() int32 {
	if b := c.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (c *cursor) i64() int64 {
	if b := c.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (c *cursor) uvarint() int {
	if c.bad {
		return 0
	}
	v, rest, err := uvarint(c.b[c.at:])
	if err != nil {
		c.bad = true
		return 0
	}
	c.at = len(c.b) - len(rest)
	return int(v)
}

// length reads the length of a string (of i16), of bytes or of an array (of i32); -1 is null, and nothing is below.
func (c *cursor) length(short bool) (n int) {
	switch {
	case c.flexible:
		n = c.uvarint() - 1
	case short:
		n = int(c.i16())
	default:
		n = int(c.i32())
	}
	if n < -1 {
		c.bad = true
	}
	return n
}

// text passes over a string that may be null.
func (c *cursor) text() { c.take(max(c.length(true), 0)) }

// name reads a string that is never null.
func (c *cursor) name() []byte { return c.take(c.length(true)) }

func (c *cursor) bytes() []byte {
	n := c.length(false)
	if n < 0 {
		return nil
	}
	return c.take(n)
}

func (c *cursor) id() (id [16]byte) {
	copy(id[:], c.take(16))
	return id
}

// array reads an array's length; a null one is empty. Each element has at least one byte.
func (c *cursor) array() int {
	n := c.length(false)
	if n < 0 && !c.request {
		n = 0
	}
	if n < 0 || n > len(c.b)-c.at {
		c.bad = true
		return 0
	}
	return n
}

// fit is how many of n partitions of a Fetch there can be in what is left.
func (c *cursor) fit(n int) int { return min(n, (len(c.b)-c.at)/16) }

func (c *cursor) tags() {
	if !c.flexible {
		return
	}
	for n := c.uvarint(); n > 0 && !c.bad; n-- {
		c.tagged = true
		c.uvarint()
		c.take(c.uvarint())
	}
}

func (c *cursor) produceRequest(r *HotRequest, version int16) {
	if version >= 3 {
		n := c.length(true)
		r.Transactional = n >= 0
		c.take(max(n, 0))
	}
	r.Acks = c.i16()
	c.i32()
	for n := c.array(); n > 0 && !c.bad; n-- {
		var p HotPartition
		p.CurrentLeaderEpoch = -1
		if version >= 13 {
			p.id = int32(c.at)
			p.ID = c.id()
		} else {
			p.name = int32(c.at)
			p.Topic = c.name()
			p.nameEnd = int32(c.at)
		}
		for m := c.array(); m > 0 && !c.bad; m-- {
			p.Partition, p.Records = c.i32(), c.bytes()
			p.records = int32(c.at - len(p.Records))
			c.tags()
			r.Partitions = append(r.Partitions, p)
		}
		c.tags()
	}
	c.tags()
}

func (c *cursor) fetchRequest(r *HotRequest, version int16) {
	if version < 15 {
		c.i32()
	}
	r.MaxWaitMillis, r.SessionEpoch = c.i32(), -1
	c.i32()
	if version >= 3 {
		c.i32()
	}
	if version >= 4 {
		c.take(1)
	}
	if version >= 7 {
		r.SessionID = c.i32()
		r.SessionEpoch = c.i32()
	}
	for n := c.array(); n > 0 && !c.bad; n-- {
		var p HotPartition
		if version >= 13 {
			p.id = int32(c.at)
			p.ID = c.id()
		} else {
			p.name = int32(c.at)
			p.Topic = c.name()
			p.nameEnd = int32(c.at)
		}
		m := c.array()
		r.Partitions = slices.Grow(r.Partitions, c.fit(m))
		for ; m > 0 && !c.bad; m-- {
			p.Partition, p.CurrentLeaderEpoch = c.i32(), -1
			if version >= 9 {
				p.epoch = int32(c.at)
				p.CurrentLeaderEpoch = c.i32()
			}
			p.offset = int32(c.at)
			p.Offset = c.i64()
			if version >= 12 {
				p.last = int32(c.at)
				c.i32()
			}
			if version >= 5 {
				c.i64()
			}
			c.i32()
			c.tags()
			r.Partitions = append(r.Partitions, p)
		}
		c.tags()
	}
	if version >= 7 {
		n := c.array()
		r.Forgets = n > 0
		for ; n > 0 && !c.bad; n-- {
			if version >= 13 {
				c.id()
			} else {
				c.name()
			}
			c.take(4 * c.array())
			c.tags()
		}
	}
	if version >= 11 {
		c.name()
	}
	c.tags()
}

func (c *cursor) produceResponse(r *HotResponse, version int16) {
	for n := c.array(); n > 0 && !c.bad; n-- {
		p := HotAnswer{HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, topic: c.at}
		if version >= 13 {
			p.id = c.at
			p.ID = c.id()
		} else {
			p.Topic = c.name()
		}
		p.list = c.at
		for m := c.array(); m > 0 && !c.bad; m-- {
			p.Partition, p.ErrorCode = c.i32(), c.i16()
			p.base = c.at
			p.BaseOffset = c.i64()
			if version >= 2 {
				c.i64()
			}
			if version >= 5 {
				p.start = c.at
				p.LogStartOffset = c.i64()
			}
			if version >= 8 {
				for k := c.array(); k > 0 && !c.bad; k-- {
					c.i32()
					c.text()
					c.tags()
				}
				c.text()
			}
			c.tags()
			r.Partitions = append(r.Partitions, p)
		}
		c.tags()
	}
	if version >= 1 {
		r.ThrottleMillis = c.i32()
	}
	c.tags()
	r.Names = c.tagged
}

func (c *cursor) fetchResponse(r *HotResponse, version int16) {
	if version >= 1 {
		c.i32()
	}
	if version >= 7 {
		r.ErrorCode = c.i16()
		r.session = c.at
		r.SessionID = c.i32()
	}
	r.topics = c.at
	for n := c.array(); n > 0 && !c.bad; n-- {
		p := HotAnswer{BaseOffset: -1, topic: c.at}
		if version >= 13 {
			p.id = c.at
			p.ID = c.id()
		} else {
			p.Topic = c.name()
		}
		p.list = c.at
		m := c.array()
		r.Partitions = slices.Grow(r.Partitions, c.fit(m))
		for ; m > 0 && !c.bad; m-- {
			c.tagged, p.at = false, c.at
			p.LastStableOffset, p.LogStartOffset = -1, -1
			p.Partition, p.ErrorCode = c.i32(), c.i16()
			p.high = c.at
			p.HighWatermark = c.i64()
			if version >= 4 {
				p.stable = c.at
				p.LastStableOffset = c.i64()
			}
			if version >= 5 {
				p.start = c.at
				p.LogStartOffset = c.i64()
			}
			if version >= 4 {
				p.Aborted = c.array()
				for k := p.Aborted; k > 0 && !c.bad; k-- {
					c.take(16)
					c.tags()
				}
			}
			if version >= 11 && c.i32() >= 0 {
				c.tagged = true
			}
			p.Records = c.bytes()
			p.records = c.at - len(p.Records)
			c.tags()
			p.end, p.Hints = c.at, c.tagged
			r.Names = r.Names || c.tagged
			r.Partitions = append(r.Partitions, p)
		}
		c.tags()
		r.Names = r.Names || c.tagged
	}
	r.rest, c.tagged = c.at, false
	c.tags()
	r.Names = r.Names || c.tagged
}
