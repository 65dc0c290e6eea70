package kafka

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// View returns the view of a Produce's or Fetch's answer; it is never nil for them, and always for
// other APIs. A body that was edited is encoded first: the message that Edit has returned is not to
// be changed any more. The view of a body that is no message, which Clean says, shows no
// partitions.
func (b *ResponseBody) View() *ResponseView {
	if b.key != kmsg.Produce && b.key != kmsg.Fetch {
		return nil
	}
	b.settle()
	if !b.viewed {
		b.viewed = true
		api, _ := Lookup(b.key)
		c := cursor{b: b.seen.raw, flexible: api.flexible(b.version)}
		if b.seen.flexible = c.flexible; cap(b.seen.Partitions) == 0 {
			b.seen.Partitions = b.seen.one[:0]
		}
		if b.key == kmsg.Produce {
			c.produceResponse(&b.seen, b.version)
		} else {
			c.fetchResponse(&b.seen, b.version)
		}
		if b.sound, b.seen.end = !c.bad, c.at; c.bad {
			b.seen = ResponseView{source: b.seen.source, end: len(b.seen.raw), throttle: -1}
		}
	}
	return &b.seen
}

// settle makes the bytes of an edited body what it says.
func (b *ResponseBody) settle() {
	if !b.edited {
		return
	}
	var o Out
	b.AppendTo(&o)
	b.Reset(b.key, b.version, o.Bytes())
}

// SetID changes the topic id of partition i, in the bytes; the others that stand under it are to be
// changed as well.
func (r *ResponseView) SetID(i int, id [16]byte) {
	p := &r.Partitions[i]
	if p.list-p.topic != int32(len(id)) {
		return // the version has names
	}
	copy(p.in(&r.source).raw[p.topic:], id[:])
	p.ID, r.changed = id, true
}

// SetTopic changes the name of partition i's topic, in versions that carry names, and of the others
// that stand under it.
func (r *ResponseView) SetTopic(i int, name []byte) {
	first := r.Partitions[i].place
	now := putText(&first.in(&r.source).patches, first.topic, first.list, name, r.flexible)
	for j := range r.Partitions {
		if p := &r.Partitions[j]; p.topic == first.topic && p.src == first.src {
			p.Topic = now
		}
	}
	r.changed = true
}

// SetErrorCode changes the error code of partition i, in the bytes.
func (r *ResponseView) SetErrorCode(i int, code Code) {
	p := &r.Partitions[i]
	binary.BigEndian.PutUint16(p.in(&r.source).raw[p.at+4:], uint16(code)) // behind its number
	p.ErrorCode, r.changed = code, true
}

// SetBaseOffset changes the offset of partition i's batch, in the bytes.
func (r *ResponseView) SetBaseOffset(i int, offset int64) {
	p := &r.Partitions[i]
	r.put64(p, p.base, offset)
	p.BaseOffset = offset
}

// SetMarks changes the watermarks and log start of partition i, in the bytes. What its version has
// none of is left out.
func (r *ResponseView) SetMarks(i int, high, stable, start int64) {
	p := &r.Partitions[i]
	for _, f := range []struct {
		at  int32
		now *int64
		to  int64
	}{{p.high, &p.HighWatermark, high}, {p.stable, &p.LastStableOffset, stable}, {p.start, &p.LogStartOffset, start}} {
		if f.at > 0 {
			r.put64(p, f.at, f.to)
			*f.now = f.to
		}
	}
}

// SetLeader changes the leader that partition i names, in the bytes, if it names one.
func (r *ResponseView) SetLeader(i int, id, epoch int32) {
	if p := &r.Partitions[i]; p.LeaderID >= 0 {
		r.put32(p, p.leader, id)
		r.put32(p, p.leader+4, epoch)
		p.LeaderID, p.LeaderEpoch = id, epoch
	}
}

// SetPreferredReadReplica changes the replica that partition i names, in the bytes, if it names
// one.
func (r *ResponseView) SetPreferredReadReplica(i int, id int32) {
	if p := &r.Partitions[i]; p.PreferredReadReplica >= 0 {
		r.put32(p, p.replica, id)
		p.PreferredReadReplica = id
	}
}

// SetEndpoints changes the endpoints that are named, each node once, and leaves out other tagged
// fields that are about all partitions. It is for flexible versions.
func (r *ResponseView) SetEndpoints(list []Endpoint) {
	r.Endpoints = once(list)
	r.patches.put(patch{at: r.tags, n: int32(r.end) - r.tags, text: appendEndpoints(nil, r.Endpoints)})
	r.changed = true
}

// SetAborted changes the first offsets of the aborted transactions of partition i, in the bytes.
// One for which to says false is none of the reader's: it stands behind the others, from an offset
// on that no record has.
func (r *ResponseView) SetAborted(i int, to func(first int64) (int64, bool)) {
	p := &r.Partitions[i]
	if p.Aborted == 0 {
		return
	}
	raw := p.in(&r.source).raw
	c := cursor{b: raw, at: int(p.aborted), flexible: r.flexible}
	n := c.array()
	begin := c.pos()
	var none []byte // with their bytes, of which there are as many as before
	kept := int(begin)
	for ; n > 0 && !c.bad; n-- {
		from := c.pos()
		c.i64() // the producer
		at := c.pos()
		first, ok := to(c.i64())
		if !ok {
			first = math.MaxInt64
		}
		r.put64(p, at, first)
		c.tags()
		switch entry := raw[from:c.pos()]; {
		case !ok:
			none = append(none, entry...)
		case len(none) > 0:
			kept += copy(raw[kept:], entry)
		default:
			kept += len(entry)
		}
	}
	copy(raw[kept:], none)
}

// SetRecords changes the records of partition i of a Fetch's answer. They are referenced, not
// copied.
func (r *ResponseView) SetRecords(i int, records []byte) {
	p := &r.Partitions[i]
	p.in(&r.source).patches.putRecords(p.records.length, p.records.to, records, r.flexible)
	p.Records, r.changed = records, true
}

func (r *ResponseView) put32(p *ResponsePartition, at int32, v int32) {
	binary.BigEndian.PutUint32(p.in(&r.source).raw[at:], uint32(v))
	r.changed = true
}

func (r *ResponseView) put64(p *ResponsePartition, at int32, v int64) {
	binary.BigEndian.PutUint64(p.in(&r.source).raw[at:], uint64(v))
	r.changed = true
}

// Only is an answer with those partitions of b that are listed, by their index in the view. The
// bytes are shared: a partition is to be in one of such answers.
func (b *ResponseBody) Only(indices []int) *ResponseBody {
	h := b.View()
	c := &ResponseBody{key: b.key, version: b.version, viewed: true, sound: b.sound, checked: b.checked, part: true, seen: *h}
	c.seen.patches = patches{list: slices.Clone(h.patches.list)}
	c.seen.Partitions = make([]ResponsePartition, 0, len(indices))
	others := map[*source]*source{nil: nil}
	for _, i := range indices {
		p := h.Partitions[i]
		if _, ok := others[p.src]; !ok {
			others[p.src] = &source{raw: p.src.raw, patches: patches{list: slices.Clone(p.src.patches.list)}}
		}
		p.src = others[p.src]
		c.seen.Partitions = append(c.seen.Partitions, p)
	}
	return c
}

// DropBare leaves out the topics that are listed without partitions.
func (b *ResponseBody) DropBare() {
	if h := b.View(); h.Bare {
		b.part, h.changed = true, true
	}
}

// Merge adds the partitions of other answers to those of b, under their topics, and their
// endpoints; throttle times are the longest. The bytes are shared.
func (b *ResponseBody) Merge(others []*ResponseBody) {
	h := b.View()
	endpoints := slices.Clip(h.Endpoints)
	for _, o := range others {
		v := o.View()
		if h.throttle >= 0 && v.ThrottleMillis > h.ThrottleMillis {
			h.ThrottleMillis = v.ThrottleMillis
			binary.BigEndian.PutUint32(h.raw[h.throttle:], uint32(v.ThrottleMillis))
		}
		if h.ErrorCode == 0 && v.ErrorCode != 0 {
			h.ErrorCode = v.ErrorCode
			binary.BigEndian.PutUint16(h.raw[h.session-2:], uint16(v.ErrorCode))
		}
		endpoints = append(endpoints, v.Endpoints...)
		for _, p := range v.Partitions {
			p.src = p.in(&v.source)
			h.Partitions = append(h.Partitions, p)
		}
	}
	if len(endpoints) > len(h.Endpoints) {
		h.SetEndpoints(endpoints)
	}
	h.Partitions = byTopic(h.Partitions)
	b.part, h.changed = true, true
}

// byTopic puts partitions of the same topic beside each other, in the order of the first ones.
func byTopic(list []ResponsePartition) []ResponsePartition {
	type topic struct {
		name string
		id   [16]byte
	}
	at := map[topic]int{}
	var groups [][]ResponsePartition
	for _, p := range list {
		t := topic{string(p.Topic), p.ID}
		i, ok := at[t]
		if !ok {
			i = len(groups)
			at[t] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], p)
	}
	return slices.Concat(groups...)
}

// keep leaves out the partitions of an answer that keep refuses.
func (b *ResponseBody) keep(keep func(*ResponsePartition) bool) {
	h := b.View()
	n := 0
	for i := range h.Partitions {
		if keep(&h.Partitions[i]) {
			h.Partitions[n] = h.Partitions[i]
			n++
		}
	}
	b.part = b.part || n < len(h.Partitions)
	h.Partitions, h.changed = h.Partitions[:n], h.changed || b.part
}

// retain gives a Fetch's answer a session id and leaves out the partitions that keep refuses. One
// that failed as a whole stays as it is.
func (b *ResponseBody) retain(session int32, keep func(*ResponsePartition) bool) {
	h := b.View()
	if h.ErrorCode != 0 {
		return
	}
	binary.BigEndian.PutUint32(h.raw[h.session:], uint32(session))
	h.SessionID, h.changed = session, true
	b.keep(keep)
}
