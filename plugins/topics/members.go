package topics

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What members of classic groups tell each other goes through the broker as bytes, and the broker
// reads it all the same, where they are consumers: the topics that a group subscribes to keep its
// offsets from expiring and from being deleted, and a group that is turned into one of the new
// protocol (KIP-848) is made of what its members were assigned. What is not the consumer protocol's
// (Connect's, Schema Registry's, user data) is theirs alone, and stays as it is.

const consumerProtocol = "consumer"

// members turns the names in what members say into the cluster's.
func (n *names) members(msg kmsg.Request) {
	switch m := msg.(type) {
	case *kmsg.JoinGroupRequest:
		if m.ProtocolType == consumerProtocol {
			for i := range m.Protocols {
				n.rename(&m.Protocols[i].Metadata, n.physical, subscription)
			}
		}
	case *kmsg.SyncGroupRequest:
		for i := range m.GroupAssignment {
			n.rename(&m.GroupAssignment[i].MemberAssignment, n.physical, assignmentOf(protocolType(m)))
		}
	}
}

// membersBack turns them back. kind is the protocol's type as the request says it, "" where it does
// not.
func (n *names) membersBack(msg kmsg.Response, kind string) {
	switch m := msg.(type) {
	case *kmsg.JoinGroupResponse:
		if kind == consumerProtocol {
			for i := range m.Members {
				n.rename(&m.Members[i].ProtocolMetadata, n.memberTopic, subscription)
			}
		}
	case *kmsg.SyncGroupResponse:
		n.rename(&m.MemberAssignment, n.memberTopic, assignmentOf(kind))
	case *kmsg.DescribeGroupsResponse:
		for i := range m.Groups {
			g := &m.Groups[i]
			if g.ProtocolType != consumerProtocol {
				continue
			}
			for j := range g.Members {
				n.rename(&g.Members[j].ProtocolMetadata, n.memberTopic, subscription)
				n.rename(&g.Members[j].MemberAssignment, n.memberTopic, assignment)
			}
		}
	}
}

// protocolType is what a request says of the protocol of its members.
func protocolType(msg kmsg.Request) string {
	switch m := msg.(type) {
	case *kmsg.JoinGroupRequest:
		return m.ProtocolType
	case *kmsg.SyncGroupRequest:
		if m.ProtocolType != nil {
			return *m.ProtocolType
		}
	}
	return ""
}

// assignmentOf is the format of assignments of a type of protocol.
func assignmentOf(kind string) func(*splice) {
	switch kind {
	case consumerProtocol:
		return assignment
	case "": // a version that does not say
		return maybeAssignment
	}
	return func(s *splice) { s.err = errOther }
}

// memberTopic is the name for clients of a topic that a member names. One that is none of the
// virtual cluster's is of a member that joined before it had a prefix.
func (n *names) memberTopic(physical string) string {
	if known := n.env.Catalog.ByPhysical(n.cluster.Name(), physical); known != nil {
		return known.Name
	}
	if name, ok := n.unprefixed(physical); ok {
		return name
	}
	return physical
}

// rename changes the names in bytes of a format; what is not of that format stays.
func (n *names) rename(b *[]byte, to func(string) string, format func(*splice)) {
	s := splice{in: *b, to: to}
	if format(&s); s.err == nil && s.changed {
		*b = append(s.out, s.in[s.at:]...)
	}
}

// newestMember is the newest version of the consumer protocol: a newer one may only add to it.
const newestMember = 3

// subscription is ConsumerProtocolSubscription.
func subscription(s *splice) {
	version := s.i16()
	for range s.list() {
		s.name()
	}
	s.bytes()
	if version < 1 || s.err != nil {
		return
	}
	end := len(s.out)
	at := s.at
	for range s.list() { // what the member owns
		s.name()
		s.skip(4 * s.list())
	}
	if s.err != nil { // some clients say version 1 and leave it out
		s.err, s.out, s.at = nil, s.out[:end], at
	}
}

// assignment is ConsumerProtocolAssignment.
func assignment(s *splice) { s.assignment() }

// maybeAssignment is assignment for bytes of which nobody says what they are: nothing may be left
// of them.
func maybeAssignment(s *splice) {
	if version := s.assignment(); version < 0 || version <= newestMember && s.at != len(s.in) {
		s.err = errOther
	}
}

func (s *splice) assignment() (version int16) {
	version = s.i16()
	for range s.list() {
		s.name()
		s.skip(4 * s.list())
	}
	s.bytes()
	return version
}

// splice copies bytes and changes the names among them.
type splice struct {
	in, out []byte
	at      int
	to      func(string) string
	changed bool
	err     error
}

var errOther = errors.New("not of the consumer protocol")

// take copies n bytes.
func (s *splice) take(n int) []byte {
	if s.err != nil || n < 0 || n > len(s.in)-s.at {
		s.err = errOther
		return make([]byte, 4) // a zero
	}
	b := s.in[s.at : s.at+n]
	s.out = append(s.out, b...)
	s.at += n
	return b
}

func (s *splice) skip(n int) { s.take(n) }

func (s *splice) i16() int16 { return int16(binary.BigEndian.Uint16(s.take(2))) }

func (s *splice) i32() int { return int(int32(binary.BigEndian.Uint32(s.take(4)))) }

// list is the length of a list; each element has at least two bytes.
func (s *splice) list() int {
	n := s.i32()
	if n < 0 || n > (len(s.in)-s.at)/2 {
		s.err = errOther
		return 0
	}
	return n
}

// bytes copies bytes that may be null.
func (s *splice) bytes() {
	if n := s.i32(); n >= 0 {
		s.take(n)
	}
}

func (s *splice) name() {
	if s.err != nil {
		return
	}
	start := len(s.out)
	was := string(s.take(int(s.i16())))
	if s.err != nil {
		return
	}
	now := s.to(was)
	if len(now) > math.MaxInt16 {
		s.err = errOther
		return
	}
	s.changed = s.changed || now != was
	s.out = append(binary.BigEndian.AppendUint16(s.out[:start], uint16(len(now))), now...)
}
