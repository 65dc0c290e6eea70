package routing

import (
	"bytes"
	"cmp"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// shareSessions are the share sessions of a connection. A broker's ends with the connection too.
type shareSessions struct {
	mu sync.Mutex
	of map[shareMember]*shareSession
}

// shareMember names a share session on a connection.
type shareMember struct{ group, member string }

// shareSession is what a member wants, and what the cluster has been asked for on its behalf: that
// of it which lives there. The two are made to agree again with every request, so that a topic that
// moves leaves the session of the old home, and one that comes joins that of the new home.
type shareSession struct {
	cluster string
	wanted  map[sharePart]int32 // how many bytes, at most
	sent    map[sharePart]bool
	asked   bool // something has ever been sent
}

type sharePart struct {
	id        [16]byte // virtual
	partition int32
}

type shareSessionsKey struct{}

// Close is for plugin.Session.
func (s *shareSessions) Close() error { return nil }

// shareSessionsOn are those of a connection; nil once it is closed.
func shareSessionsOn(s *plugin.Session) *shareSessions {
	all, _ := s.Attach(shareSessionsKey{}, func() io.Closer { return &shareSessions{of: map[shareMember]*shareSession{}} }).(*shareSessions)
	return all
}

// begin begins a session in the place of an earlier one of the same member; nil if there are too
// many.
func (s *shareSessions) begin(m shareMember, cluster string) *shareSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[m] == nil && len(s.of) >= mostMembers {
		return nil
	}
	s.of[m] = &shareSession{cluster: cluster, wanted: map[sharePart]int32{}, sent: map[sharePart]bool{}}
	return s.of[m]
}

func (s *shareSessions) find(m shareMember) *shareSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[m]
}

// end ends a session, if it is still the member's.
func (s *shareSessions) end(m shareMember, session *shareSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[m] == session {
		delete(s.of, m)
	}
}

// parts are the partitions that a session wants, in order.
func (s *shareSession) parts() []sharePart { return sortedParts(s.wanted) }

func sortedParts[V any](of map[sharePart]V) []sharePart {
	return slices.SortedFunc(maps.Keys(of), func(a, b sharePart) int {
		return cmp.Or(bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.partition, b.partition))
	})
}
