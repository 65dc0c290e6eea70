package routing

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// mirrorEvery is how old what is known of share groups may be when the home of a topic dies.
const mirrorEvery = 3 * time.Second

// begin begins to keep where share groups are. A virtual cluster with one cluster moves nothing.
func (s *shares) begin() {
	if len(s.env.Clusters) == 1 {
		return
	}
	s.begun.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.ctx.Err() == nil {
			s.wg.Go(func() { guard.Keep(s.ctx, s.mirror) })
		}
	})
}

func (s *shares) mirror() {
	for {
		for _, c := range s.env.Clusters {
			if c.Reachable() && offers(c, kmsg.DescribeShareGroupOffsets) {
				s.mirrorFrom(s.ctx, c)
			}
		}
		s.sweep(s.ctx)
		if !guard.Sleep(s.ctx, mirrorEvery) {
			return
		}
	}
}

// offers reports that a cluster has an API.
func offers(c plugin.Cluster, key kmsg.Key) bool {
	v := c.Topology().Versions
	return v != nil && slices.ContainsFunc(v.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == int16(key) })
}

// mirrorFrom notes where the share groups that a cluster knows start in the topics that live there.
func (s *shares) mirrorFrom(ctx context.Context, c plugin.Cluster) {
	for _, group := range s.groups(ctx, c) {
		before := map[string]*catalog.Topic{}
		high := map[string][]int64{}
		for _, t := range s.env.Catalog.Topics() {
			if t.Home == c.Name() && t.Before == nil {
				before[t.Name], high[t.Name] = t, shownOf(t)
			}
		}
		there, err := s.describe(ctx, c.Name(), group, nil)
		if err != nil {
			s.log.DebugContext(ctx, "where a share group is was not told", "group", group, "cluster", c.Name(), "error", err)
			continue
		}
		now := map[catalog.ShareKey]*catalog.Share{}
		for topic, starts := range there {
			if t := before[topic]; t != nil {
				now[catalog.ShareKey{Group: group, Topic: topic}] = shareAt(t, starts, high[topic])
			}
		}
		if err := s.keep(ctx, now); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "where a share group is was not stored", "group", group, "error", err)
		}
	}
}

// shownOf are the offsets up to which clients know the partitions of a topic.
func shownOf(t *catalog.Topic) (high []int64) {
	for p := range t.Partitions {
		high = append(high, t.Watermarks(int32(p)).High)
	}
	return high
}

// shareAt is where a group is in a topic whose home says where it starts. Of one that has nothing
// left it is behind what clients knew before the home was asked.
func shareAt(t *catalog.Topic, starts map[int32]started, high []int64) *catalog.Share {
	out := &catalog.Share{Topic: t.ID, Generation: t.Generation, Home: t.Home, Starts: make([]int64, len(t.Partitions))}
	for p := range out.Starts {
		at, ok := starts[int32(p)]
		if out.Starts[p] = -1; !ok {
			continue
		}
		out.Partitions++
		if out.Starts[p] = at.offset; at.done {
			out.Starts[p] = max(at.offset, high[p])
		}
	}
	return out
}

// keep stores what is new. What a home says counts if the group's state is there: if it has been
// carried, or the topic has never moved, or the group is new.
func (s *shares) keep(ctx context.Context, now map[catalog.ShareKey]*catalog.Share) error {
	s.storing.Lock()
	defer s.storing.Unlock()
	for key, share := range now {
		t := s.env.Catalog.Topic(key.Topic)
		was, ok, err := s.env.Catalog.Share(key)
		if err != nil {
			return err
		}
		ok = ok && was.Topic == share.Topic
		switch {
		case t == nil || t.ID != share.Topic || t.Generation != share.Generation,
			ok && was.Generation != share.Generation,
			!ok && share.Generation > 0 && !s.is(key, t),
			ok && slices.Equal(was.Starts, share.Starts) && was.Partitions >= share.Partitions:
			delete(now, key)
		}
		share.Partitions = max(share.Partitions, was.Partitions)
	}
	return s.env.Catalog.KeepShares(ctx, now)
}

// groups lists the share groups of a cluster, of which each broker knows those that it coordinates.
func (s *shares) groups(ctx context.Context, c plugin.Cluster) (out []string) {
	for _, b := range c.Topology().Brokers {
		m := kmsg.NewPtrListGroupsRequest()
		m.TypesFilter = []string{"share"}
		resp, err := s.ask(ctx, c.Name(), b.ID, m)
		if err != nil {
			continue // its groups are another broker's before long
		}
		for _, g := range resp.(*kmsg.ListGroupsResponse).Groups {
			if g.ProtocolType == "share" {
				out = append(out, g.Group)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sweep forgets topics that are gone.
func (s *shares) sweep(ctx context.Context) {
	for _, key := range s.env.Catalog.Shares() {
		if s.env.Catalog.Topic(key.Topic) == nil {
			if err := s.forget(ctx, key); err != nil {
				s.log.WarnContext(ctx, "where a share group was in a topic that is gone was not forgotten", "group", key.Group, "topic", key.Topic, "error", err)
			}
		}
	}
}
