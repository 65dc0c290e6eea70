package wasm

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/sdk/abi"
)

// Head is what a guest is told of a call besides its records or body.
type Head struct {
	Kind           uint16
	Event          uint16 // of abi.KindSession
	Key, Version   int16
	Correlation    int32
	Session        uint64
	Request        uint64
	ClientID       string
	Principal      string
	VirtualCluster string
	Remote         net.Addr // nil: nobody knows
	ServerName     string
	Cluster        string
	State          []byte

	// Below is the chain below the guest, by API key, for requests of its own; nil denies them.
	Below func(key kmsg.Key) plugin.Handler
	Own   *plugin.Session
	// Topics is asked about topics; nil: nobody knows of any.
	Topics Topics
	// Client is the session that asks; what is decoded for it is within its bounds.
	Client *plugin.Session
}

// Topics is what is known of topics.
type Topics interface {
	// TopicName finds the name of a topic id, "" if nobody knows it.
	TopicName(id [16]byte) string
	// Compacted reports whether a topic is compacted on a cluster.
	Compacted(ctx context.Context, cluster, topic string) (bool, error)
}

// headRoom is more than most heads need.
const headRoom = abi.HeadSize + 512

var le = binary.LittleEndian

// append writes the head with room for groups and records, whose places are filled in by the
// caller.
func (h *Head) append(out []byte, deadline time.Time, groups, records int, body []byte) []byte {
	at := len(out)
	out = append(out, make([]byte, abi.HeadSize+groups*abi.GroupSize+records*abi.RecordSize)...)
	b := out[at:]
	le.PutUint32(b[abi.HeadLen:], abi.HeadSize)
	le.PutUint16(b[abi.HeadKind:], h.Kind)
	le.PutUint16(b[abi.HeadFlags:], h.Event)
	le.PutUint16(b[abi.HeadKey:], uint16(h.Key))
	le.PutUint16(b[abi.HeadVersion:], uint16(h.Version))
	le.PutUint32(b[abi.HeadCorrelation:], uint32(h.Correlation))
	le.PutUint64(b[abi.HeadSession:], h.Session)
	le.PutUint64(b[abi.HeadRequest:], h.Request)
	le.PutUint64(b[abi.HeadDeadline:], uint64(deadline.UnixNano()))
	first := abi.HeadSize + groups*abi.GroupSize
	for i, n := range [...]int{abi.GroupSize, groups, abi.HeadSize, abi.RecordSize, records, first} {
		le.PutUint32(b[abi.HeadGroups+4*i:], uint32(n))
	}
	for _, p := range [...]struct {
		at int
		s  string
	}{
		{abi.HeadClient, h.ClientID}, {abi.HeadPrincipal, h.Principal}, {abi.HeadVirtualCluster, h.VirtualCluster},
		{abi.HeadServerName, h.ServerName}, {abi.HeadCluster, h.Cluster},
	} {
		le.PutUint32(out[at+p.at:], uint32(len(out)-at))
		le.PutUint32(out[at+p.at+4:], uint32(len(p.s)))
		out = append(out, p.s...)
	}
	var room [64]byte
	out = appendPiece(out, at, at+abi.HeadAddress, h.appendAddress(room[:0]))
	out = appendPiece(out, at, at+abi.HeadState, h.State)
	return appendPiece(out, at, at+abi.HeadBody, body)
}

// address is the client's, host:port; "" if nobody knows it.
func (h *Head) address() string { return string(h.appendAddress(nil)) }

// appendAddress writes it, for each call: that of TCP without a text in between.
func (h *Head) appendAddress(out []byte) []byte {
	switch a := h.Remote.(type) {
	case nil:
		return out
	case *net.TCPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).AppendTo(out)
	default:
		return append(out, a.String()...)
	}
}

// appendPiece adds bytes to the block that begins at start, and says at field where they stand.
func appendPiece(out []byte, start, field int, p []byte) []byte {
	le.PutUint32(out[field:], uint32(len(out)-start))
	le.PutUint32(out[field+4:], uint32(len(p)))
	return append(out, p...)
}

// result is a result block, checked.
type result struct {
	action               uint16
	code                 int16
	message              []byte
	state, body, changes []byte // nil: absent
}

// parseResult checks a result block; nil is "unchanged".
func parseResult(b []byte) (r result, err error) {
	if b == nil {
		return r, nil
	}
	if len(b) < abi.ResultSize || le.Uint32(b) < abi.ResultSize {
		return r, errBadResult
	}
	r.action, r.code = le.Uint16(b[abi.ResultAction:]), int16(le.Uint16(b[abi.ResultCode:]))
	if r.action > abi.ActionRespondClose {
		return r, errBadResult
	}
	for _, p := range [...]struct {
		at int
		to *[]byte
	}{{abi.ResultMessage, &r.message}, {abi.ResultState, &r.state}, {abi.ResultBody, &r.body}, {abi.ResultEdits, &r.changes}} {
		off, n := uint64(le.Uint32(b[p.at:])), uint64(le.Uint32(b[p.at+4:]))
		switch {
		case off == 0:
		case off+n > uint64(len(b)):
			return r, errBadResult
		default:
			*p.to = b[off : off+n : off+n]
		}
	}
	if len(r.state) > abi.StateMax {
		return r, errBadResult
	}
	return r, nil
}

// edit is one change of a record.
type edit struct {
	record int
	op     byte
	arg    int16
	name   []byte
	value  []byte // nil is null
}

// take reads an edit off the front; records is how many there are. It fills one in, since there are
// as many as records.
func (e *edit) take(b []byte, records, last int) (rest []byte, err error) {
	if len(b) < abi.EditHead {
		return nil, errBadResult
	}
	index, n1, n2 := le.Uint32(b), uint64(le.Uint32(b[8:])), uint64(le.Uint32(b[12:]))
	e.record, e.op, e.arg = int(index), b[4], int16(le.Uint16(b[6:]))
	null := n2 == abi.Null
	if null {
		n2 = 0
	}
	if b = b[abi.EditHead:]; n1+n2 > uint64(len(b)) || uint64(index) >= uint64(records) || int(index) < last {
		return nil, errBadResult
	}
	e.name, e.value = b[:n1], nil
	if !null {
		e.value = b[n1 : n1+n2 : n1+n2]
	}
	switch e.op {
	case abi.OpAddHeader, abi.OpSetValue, abi.OpSetKey, abi.OpDrop, abi.OpRemoveHeaders, abi.OpReject, abi.OpValueInPlace, abi.OpKeyInPlace:
	case abi.OpSetTimestamp:
		if len(e.value) != 8 {
			return nil, errBadResult
		}
	default:
		return nil, errBadResult
	}
	return b[n1+n2:], nil
}

// block is what a function is called with.
type block struct {
	size     int // about, and mostly not less than it has
	head     *Head
	deadline time.Time
	body     []byte  // of a message
	call     portion // or records
	plain    []byte  // or, without a head, the configuration
}

// encode appends the block.
func (b *block) encode(out []byte) []byte {
	if b.head == nil {
		return append(out, b.plain...)
	}
	groups := b.call.groups
	out = b.head.append(out, b.deadline, len(groups), b.call.records, b.body)
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
