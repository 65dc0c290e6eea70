package kafka

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// RequestView is a view of a Produce or Fetch request as it was received: nothing is copied and,
// for one partition, nothing allocated. Its slices alias the body.
type RequestView struct {
	// Of Produce.
	Acks          int16
	Transactional bool
	TransactionID []byte // of one that is Transactional
	// Of Fetch.
	Forgets       bool   // it forgets topics of its session
	Rack          []byte // "" before Racks
	MaxWaitMillis int32
	SessionID     int32
	SessionEpoch  int32 // -1 before FetchSessions

	// Bare says that topics are listed without partitions, which no broker answers; a changed body
	// leaves them out.
	Bare bool

	Partitions []RequestPartition
	one        [1]RequestPartition

	acks, wait      int32 // where the fields stand
	idEnd           int32
	topics, rest    int32 // where the topics begin, and what stands behind them
	forgotten, rack int32 // where the forgotten topics of a Fetch begin, and its rack
	rackEnd         int32
}

// RequestPartition is one partition of a RequestView. Topic or, in versions that carry ids, ID is
// set.
type RequestPartition struct {
	Topic     []byte
	ID        [16]byte
	Partition int32
	// Of Fetch.
	CurrentLeaderEpoch int32 // -1 before LeaderEpochs
	Offset             int64
	// Of Produce.
	Records []byte

	place
	epoch, offset, last int32 // where the fields stand
	records             bytesAt
	replaced            bool // its records are others than those that it came with
}

// place is where a partition stands in a body.
type place struct {
	topic, list int32   // where its topic, and the topic's partitions begin
	at, end     int32   // where it itself begins and ends
	src         *source // that it stands in; nil: the body's own
}

func (p *place) where() *place { return p }

// source is bytes, and what is changed in them.
type source struct {
	raw     []byte
	patches patches
}

func (p *RequestPartition) named() ([]byte, [16]byte)  { return p.Topic, p.ID }
func (p *ResponsePartition) named() ([]byte, [16]byte) { return p.Topic, p.ID }

// bytesAt is where bytes stand in a body.
type bytesAt struct {
	length, from, to int32 // where their length and they themselves begin, and where they end
}

// ResponseView is a view of a Produce or Fetch response as it came.
type ResponseView struct {
	ErrorCode      Code  // of Fetch
	SessionID      int32 // of Fetch
	ThrottleMillis int32
	// Names says that there may be names of nodes: leaders and endpoints (KIP-951), preferred
	// replicas.
	Names     bool
	Endpoints []Endpoint
	// Bare says that topics are listed without partitions, which no broker does.
	Bare bool

	Partitions []ResponsePartition
	one        [1]ResponsePartition
	source
	session  int32
	topics   int32 // where the topics begin
	rest     int32 // and what stands behind them
	end      int   // where the response ends
	changed  bool  // in its bytes or patches
	flexible bool
	throttle int32 // where the throttle time stands; -1: nowhere
	tags     int32 // where the tagged fields stand that are about all partitions
}

// ResponsePartition is one partition of a ResponseView. Offsets are -1 where the version has none.
type ResponsePartition struct {
	Topic            []byte
	ID               [16]byte
	Partition        int32
	ErrorCode        Code
	BaseOffset       int64 // of Produce
	HighWatermark    int64 // of Fetch, like those below but LogStartOffset
	LastStableOffset int64
	LogStartOffset   int64
	Records          []byte
	Aborted          int // transactions listed, of Fetch
	// Hints says that it names a leader, a replica or a diverging epoch (of Fetch).
	Hints bool
	// LeaderID and LeaderEpoch are those of the leader that it names (KIP-951); -1: none.
	LeaderID    int32
	LeaderEpoch int32
	// PreferredReadReplica is where a Fetch had better be sent (KIP-392); -1: where it was.
	PreferredReadReplica int32

	place
	base, high, stable, start int32 // where the fields stand
	aborted, leader, replica  int32
	records                   bytesAt
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

// pos is where it reads.
func (c *cursor) pos() int32 { return int32(c.at) }

// length reads the length of a string (of i16), of bytes or of an array (of i32); -1 is null, and
// nothing is below.
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

func (c *cursor) bytes() (b []byte, at bytesAt) {
	at.length = c.pos()
	n := c.length(false)
	at.from = c.pos()
	if n >= 0 {
		b = c.take(n)
	}
	at.to = c.pos()
	return b, at
}

func (c *cursor) id() (id [16]byte) {
	copy(id[:], c.take(16))
	return id
}

// topic reads a topic: its name, or in versions that carry ids its id.
func (c *cursor) topic(key kmsg.Key, version int16) (name []byte, id [16]byte) {
	if Has(key, version, TopicIDs) {
		return nil, c.id()
	}
	return c.name(), id
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

// The tags of the leader that a partition's answer names (KIP-951).
const (
	producedLeader = 0
	fetchedLeader  = 1
)

// leader reads the tagged fields of a partition's answer, of which one, with a number, names a
// leader.
func (c *cursor) leader(p *ResponsePartition, tag int) {
	p.leader, p.LeaderID, p.LeaderEpoch = 0, -1, -1
	if !c.flexible {
		return
	}
	for n := c.uvarint(); n > 0 && !c.bad; n-- {
		c.tagged = true
		is := c.uvarint() == tag
		b := c.take(c.uvarint())
		if is && len(b) >= 8 && int32(binary.BigEndian.Uint32(b)) >= 0 {
			p.leader = c.pos() - int32(len(b))
			p.LeaderID, p.LeaderEpoch = int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:]))
		}
	}
}

func (c *cursor) produceRequest(r *RequestView, version int16) {
	if Has(kmsg.Produce, version, TransactionsAndMarks) {
		n := c.length(true)
		r.Transactional = n >= 0
		r.TransactionID = c.take(max(n, 0))
		r.idEnd = c.pos()
	}
	r.acks = c.pos()
	r.Acks = c.i16()
	c.i32()
	r.topics = c.pos()
	for n := c.array(); n > 0 && !c.bad; n-- {
		p := RequestPartition{CurrentLeaderEpoch: -1, place: place{topic: c.pos()}}
		p.Topic, p.ID = c.topic(kmsg.Produce, version)
		p.list = c.pos()
		m := c.array()
		r.Bare = r.Bare || m == 0
		for ; m > 0 && !c.bad; m-- {
			p.at = c.pos()
			p.Partition = c.i32()
			p.Records, p.records = c.bytes()
			c.tags()
			p.end = c.pos()
			r.Partitions = append(r.Partitions, p)
		}
		c.tags()
	}
	r.rest = c.pos()
	c.tags()
}

func (c *cursor) fetchRequest(r *RequestView, version int16) {
	if !Has(kmsg.Fetch, version, NoReplicaID) {
		c.i32()
	}
	r.wait = c.pos()
	r.MaxWaitMillis, r.SessionEpoch = c.i32(), -1
	c.i32()
	if Has(kmsg.Fetch, version, MaxBytes) {
		c.i32()
	}
	if Has(kmsg.Fetch, version, TransactionsAndMarks) {
		c.take(1)
	}
	if Has(kmsg.Fetch, version, FetchSessions) {
		r.SessionID = c.i32()
		r.SessionEpoch = c.i32()
	}
	r.topics = c.pos()
	for n := c.array(); n > 0 && !c.bad; n-- {
		p := RequestPartition{place: place{topic: c.pos()}}
		p.Topic, p.ID = c.topic(kmsg.Fetch, version)
		p.list = c.pos()
		m := c.array()
		r.Bare = r.Bare || m == 0
		r.Partitions = slices.Grow(r.Partitions, c.fit(m))
		for ; m > 0 && !c.bad; m-- {
			p.at = c.pos()
			p.Partition, p.CurrentLeaderEpoch = c.i32(), -1
			if Has(kmsg.Fetch, version, LeaderEpochs) {
				p.epoch = c.pos()
				p.CurrentLeaderEpoch = c.i32()
			}
			p.offset = c.pos()
			p.Offset = c.i64()
			if Has(kmsg.Fetch, version, LastFetchedEpochs) {
				p.last = c.pos()
				c.i32()
			}
			if Has(kmsg.Fetch, version, LogStarts) {
				c.i64()
			}
			c.i32()
			c.tags()
			p.end = c.pos()
			r.Partitions = append(r.Partitions, p)
		}
		c.tags()
	}
	r.rest = c.pos()
	if Has(kmsg.Fetch, version, FetchSessions) {
		r.forgotten = c.pos()
		n := c.array()
		r.Forgets = n > 0
		for ; n > 0 && !c.bad; n-- {
			if Has(kmsg.Fetch, version, TopicIDs) {
				c.id()
			} else {
				c.name()
			}
			c.take(4 * c.array())
			c.tags()
		}
		r.rack = c.pos()
	}
	if Has(kmsg.Fetch, version, Racks) {
		r.Rack = c.name()
		r.rackEnd = c.pos()
	}
	c.tags()
}

func (c *cursor) produceResponse(r *ResponseView, version int16) {
	for n := c.array(); n > 0 && !c.bad; n-- {
		p := ResponsePartition{HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1, place: place{topic: c.pos()}}
		p.Topic, p.ID = c.topic(kmsg.Produce, version)
		p.list = c.pos()
		m := c.array()
		r.Bare = r.Bare || m == 0
		for ; m > 0 && !c.bad; m-- {
			p.at = c.pos()
			p.Partition, p.ErrorCode = c.i32(), Code(c.i16())
			p.base = c.pos()
			p.BaseOffset = c.i64()
			if Has(kmsg.Produce, version, AppendTimes) {
				c.i64()
			}
			if Has(kmsg.Produce, version, LogStarts) {
				p.start = c.pos()
				p.LogStartOffset = c.i64()
			}
			if Has(kmsg.Produce, version, RecordErrors) {
				for k := c.array(); k > 0 && !c.bad; k-- {
					c.i32()
					c.text()
					c.tags()
				}
				c.text()
			}
			c.leader(&p, producedLeader)
			p.end = c.pos()
			r.Partitions = append(r.Partitions, p)
		}
		c.tags()
	}
	r.rest, r.throttle = c.pos(), -1
	if Has(kmsg.Produce, version, ThrottleTimes) {
		r.throttle = c.pos()
		r.ThrottleMillis = c.i32()
	}
	r.tags, r.Endpoints = c.pos(), c.endpoints()
	r.Names = c.tagged
}

func (c *cursor) fetchResponse(r *ResponseView, version int16) {
	r.throttle = -1
	if Has(kmsg.Fetch, version, ThrottleTimes) {
		r.throttle = c.pos()
		r.ThrottleMillis = c.i32()
	}
	if Has(kmsg.Fetch, version, FetchSessions) {
		r.ErrorCode = Code(c.i16())
		r.session = c.pos()
		r.SessionID = c.i32()
	}
	r.topics = c.pos()
	for n := c.array(); n > 0 && !c.bad; n-- {
		p := ResponsePartition{BaseOffset: -1, place: place{topic: c.pos()}}
		p.Topic, p.ID = c.topic(kmsg.Fetch, version)
		p.list = c.pos()
		m := c.array()
		r.Bare = r.Bare || m == 0
		r.Partitions = slices.Grow(r.Partitions, c.fit(m))
		for ; m > 0 && !c.bad; m-- {
			c.tagged, p.at = false, c.pos()
			p.LastStableOffset, p.LogStartOffset = -1, -1
			p.Partition, p.ErrorCode = c.i32(), Code(c.i16())
			p.high = c.pos()
			p.HighWatermark = c.i64()
			if Has(kmsg.Fetch, version, TransactionsAndMarks) {
				p.stable = c.pos()
				p.LastStableOffset = c.i64()
			}
			if Has(kmsg.Fetch, version, LogStarts) {
				p.start = c.pos()
				p.LogStartOffset = c.i64()
			}
			if Has(kmsg.Fetch, version, TransactionsAndMarks) {
				p.aborted = c.pos()
				p.Aborted = c.array()
				for k := p.Aborted; k > 0 && !c.bad; k-- {
					c.take(16)
					c.tags()
				}
			}
			p.PreferredReadReplica = -1
			if Has(kmsg.Fetch, version, Racks) {
				p.replica = c.pos()
				p.PreferredReadReplica = c.i32()
				c.tagged = c.tagged || p.PreferredReadReplica >= 0
			}
			p.Records, p.records = c.bytes()
			c.leader(&p, fetchedLeader)
			p.end, p.Hints = c.pos(), c.tagged
			r.Names = r.Names || c.tagged
			r.Partitions = append(r.Partitions, p)
		}
		c.tags()
		r.Names = r.Names || c.tagged
	}
	r.rest, r.tags, c.tagged = c.pos(), c.pos(), false
	r.Endpoints = c.endpoints()
	r.Names = r.Names || c.tagged
}
