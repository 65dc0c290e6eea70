package blocks

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
