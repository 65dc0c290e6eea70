package routing

import (
	"context"
	"io"
	"regexp"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/plugin"
)

// subscriptions are what the members on a connection subscribe to (KIP-848). They say it once; a
// topic that is made later, and lives on another cluster than the group, must be known there before
// the coordinator can assign it.
type subscriptions struct {
	mu sync.Mutex
	of map[string]*subscription // by member
}

type subscription struct {
	names   []string
	pattern *regexp.Regexp
}

type subscriptionsKey struct{}

// Close is for plugin.Session.
func (s *subscriptions) Close() error { return nil }

// mostMembers is of how many members on one connection it is remembered; clients have one.
const mostMembers = 100

// subscribed notes what a member says, and returns all that it has said.
func subscribed(s *plugin.Session, m *kmsg.ConsumerGroupHeartbeatRequest) subscription {
	all, _ := s.Attach(subscriptionsKey{}, func() io.Closer { return &subscriptions{of: map[string]*subscription{}} }).(*subscriptions)
	if all == nil {
		return subscription{}
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	key := m.Group + "\x00" + m.MemberID
	if m.MemberEpoch < 0 { // it leaves
		delete(all.of, key)
		return subscription{}
	}
	own := all.of[key]
	if own == nil {
		if own = (&subscription{}); len(all.of) < mostMembers {
			all.of[key] = own
		}
	}
	if m.SubscribedTopicNames != nil {
		own.names = m.SubscribedTopicNames
	}
	if m.SubscribedTopicRegex != nil {
		own.pattern = nil
		if *m.SubscribedTopicRegex != "" {
			own.pattern, _ = regexp.Compile("^(?:" + *m.SubscribedTopicRegex + ")$") // the broker says if it is none
		}
	}
	return *own
}

// bring makes the coordinator's cluster know the topics that a KIP-848 member subscribes to, as
// stubs where they live elsewhere.
func (r *Routing) bring(ctx context.Context, m *kmsg.ConsumerGroupHeartbeatRequest, s subscription, home string) {
	again := m.SubscribedTopicNames == nil && m.SubscribedTopicRegex == nil
	bring := func(name string) {
		if !again || !r.stubs.waits(home, name) {
			r.commitsAt(ctx, home, name, [16]byte{})
		}
	}
	for _, name := range s.names {
		bring(name)
	}
	if s.pattern != nil {
		for _, t := range r.env.Catalog.Topics() {
			if t.Home != home && s.pattern.MatchString(t.Name) {
				bring(t.Name)
			}
		}
	}
}

// subscribes sees that the home of a group knows the topics that a member subscribes to.
func (r *Routing) subscribes(ctx context.Context, session *plugin.Session, m *kmsg.ConsumerGroupHeartbeatRequest) {
	if len(r.env.Clusters) > 1 {
		r.bring(ctx, m, subscribed(session, m), r.groupHome(m.Group))
	}
}
