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

// Address is the client's, host:port; "" if nobody knows it.
func (h *Head) Address() string { return string(h.appendAddress(nil)) }

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
