package routing

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// shareSessions are the share sessions of a connection. A broker's ends with the connection too.
type shareSessions struct {
	open *openShares
	on   *plugin.Session

	mu   sync.Mutex
	of   map[shareMember]*shareSession
	used map[groupAt]bool // what a broker may know of the connection, also if its session has ended
}

// groupAt is a share group on a cluster.
type groupAt struct{ group, cluster string }

// shareMember names a share session on a connection.
type shareMember struct{ group, member string }

// shareSession is what a member wants, and what the cluster has been asked for on its behalf: that
// of it which lives there. The two are made to agree again with every request, so that a topic that
// moves leaves the session of the old home, and one that comes joins that of the new home.
type shareSession struct {
	cluster string

	mu     sync.Mutex          // clients may send several requests at once
	wanted map[sharePart]int32 // how many bytes, at most
	sent   map[sharePart]bool
}

type sharePart struct {
	id        [16]byte // virtual
	partition int32
}

type shareSessionsKey struct{}

// openShares are the connections with share sessions of a virtual cluster. They outlive runtimes.
type openShares struct {
	mu  sync.Mutex
	all map[*shareSessions]bool
}

type openSharesKey struct{}

// Close is for plugin.Session.
func (s *shareSessions) Close() error {
	s.open.mu.Lock()
	defer s.open.mu.Unlock()
	delete(s.open.all, s)
	return nil
}

// on are the sessions of a connection; nil once it is closed.
func (o *openShares) on(session *plugin.Session) *shareSessions {
	all, _ := session.Attach(shareSessionsKey{}, func() io.Closer {
		all := &shareSessions{open: o, on: session, of: map[shareMember]*shareSession{}, used: map[groupAt]bool{}}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.all[all] = true
		return all
	}).(*shareSessions)
	return all
}

// begin begins a session in the place of an earlier one of the same member; nil if there are too
// many.
func (s *shareSessions) begin(m shareMember, cluster string) *shareSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[m] == nil && len(s.of) >= mostMembers || len(s.used) >= mostMembers && !s.used[groupAt{m.group, cluster}] {
		return nil
	}
	s.used[groupAt{m.group, cluster}] = true
	s.of[m] = &shareSession{cluster: cluster, wanted: map[sharePart]int32{}, sent: map[sharePart]bool{}}
	return s.of[m]
}

func (s *shareSessions) find(m shareMember) *shareSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[m]
}

// goesOn says that a session begins with what is sent now, also if it was hung up meanwhile.
func (s *shareSessions) goesOn(m shareMember, session *shareSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[groupAt{m.group, session.cluster}] = true; s.of[m] == nil {
		s.of[m] = session
	}
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

// hangUp ends the links to a cluster of the connections on which members of a group have had a
// session there. Once they have ended, and not before, brokers forget what they have in memory of
// the group: it is old when a topic comes back, and would count for more than what is stored.
func (s *shares) hangUp(ctx context.Context, group, cluster string) {
	s.open.mu.Lock()
	all := slices.Collect(maps.Keys(s.open.all))
	s.open.mu.Unlock()
	found := false
	for _, on := range all {
		if on.endAll(group, cluster) {
			found = true
			if c, ok := s.env.Cluster(cluster).(plugin.SessionBreaker); ok {
				c.HangUp(on.on)
			}
		}
	}
	if found {
		guard.Sleep(ctx, brokersNotice)
	}
}

// brokersNotice is how long brokers are given to find out that connections have ended.
const brokersNotice = 500 * time.Millisecond

// endAll ends the sessions of a group on a cluster, and reports that there have been some.
func (s *shareSessions) endAll(group, cluster string) (found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for who, session := range s.of {
		if who.group == group && session.cluster == cluster {
			delete(s.of, who)
		}
	}
	at := groupAt{group, cluster}
	found = s.used[at]
	delete(s.used, at)
	return found
}
