package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// checked is what the pre-check found out.
type checked struct {
	topic    *catalog.Topic
	old      *side // nil when the old home is gone
	copied   *side
	prints   *kafka.Fingerprints
	oldStart []int64
	deltas   []int64
	compared []int64 // old offsets up to which everything is compared
}

// check is the pre-check of a planned move: nobody is held.
func (t *task) check(ctx context.Context) (*checked, error) {
	topic, from, to, err := t.parties()
	if err != nil {
		return nil, err
	}
	for _, c := range []plugin.Cluster{from, to} {
		if _, err := c.Refresh(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name(), err)
		}
	}
	c := &checked{topic: topic}
	if c.old, err = newSide(from, topic.Physical(from.Name())); err != nil {
		return nil, err
	}
	if c.copied, err = newSide(to, topic.Physical(to.Name())); err != nil {
		return nil, err
	}
	if a, b := len(c.old.topo.Partitions), len(c.copied.topo.Partitions); a != b {
		return nil, fmt.Errorf("%d partitions on %s, but %d on %s: give both the same number", a, from.Name(), b, to.Name())
	}
	timestamps, err := sameConfigs(ctx, c.old, c.copied)
	if err != nil {
		return nil, err
	}
	c.prints = kafka.NewFingerprints(timestamps, t.runner.timing().IgnoreHeaders)
	if err := openTransactions(ctx, c.old); err != nil {
		return nil, err
	}
	// The copy's ends are read first: the old home has by then at least what the copy has.
	ends, err := bounds(ctx, c.old, c.copied)
	if err != nil {
		return nil, err
	}
	oldStart, oldEnd, newStart, newEnd := ends[0], ends[1], ends[2], ends[3]
	c.oldStart = oldStart
	lowest, err := t.lowest(ctx, topic)
	if err != nil {
		return nil, err
	}
	for p := range oldEnd {
		part := topic.Partition(int32(p))
		guesses := []int64{0}
		if d, ok := part.Deltas[to.Name()]; ok {
			guesses = []int64{d, 0}
		}
		d, err := findDelta(ctx, c.prints, c.old, c.copied, int32(p), oldStart[p], oldEnd[p], newStart[p], newEnd[p], guesses...)
		if err != nil {
			return nil, err
		}
		// Everything that somebody may still read must be at this distance. The copy's end is what
		// can be compared now; the rest is compared when it is there.
		end := min(oldEnd[p], newEnd[p]-d)
		begin := max(oldStart[p], end-tail)
		if v, ok := lowest[int32(p)]; ok {
			needed := max(oldStart[p], part.ToPhysical(v))
			if needed < min(newStart[p]-d, end) {
				return nil, fmt.Errorf("no exact copy: partition %d on %s begins at offset %d of %s, but clients may still read from %d", p, to.Name(), newStart[p]-d, from.Name(), needed)
			}
			begin = min(begin, needed)
		}
		begin = max(begin, newStart[p]-d)
		if err := compare(ctx, c.prints, c.old, c.copied, int32(p), begin, end, d, t.runner.timing().CompareLimit); err != nil {
			return nil, err
		}
		c.deltas = append(c.deltas, d)
		c.compared = append(c.compared, end)
	}
	return c, t.drains(ctx, c, oldEnd, newEnd)
}

// bounds reads starts and ends: of the old side, then of the copy.
func bounds(ctx context.Context, old, copied *side) (out [4][]int64, err error) {
	for _, q := range []struct {
		at int
		s  *side
		ts int64
	}{{2, copied, -2}, {3, copied, -1}, {0, old, -2}, {1, old, -1}} {
		if out[q.at], err = q.s.offsets(ctx, q.ts); err != nil {
			return out, err
		}
	}
	return out, nil
}

// drains refuses a move whose copy lags so far behind that it would not catch up while clients are
// held.
func (t *task) drains(ctx context.Context, c *checked, oldEnd, newEnd []int64) error {
	var lag int64
	for p := range oldEnd {
		lag += max(oldEnd[p]-(newEnd[p]-c.deltas[p]), 0)
	}
	if lag == 0 {
		return nil
	}
	limit := t.runner.timing().MaxDrain
	start := time.Now()
	for time.Since(start) < limit {
		if !pause(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
		now, err := c.copied.offsets(ctx, -1)
		if err != nil {
			return err
		}
		left := int64(0)
		for p := range oldEnd {
			left += max(oldEnd[p]-(now[p]-c.deltas[p]), 0)
		}
		if left == 0 {
			return nil
		}
		lag = left
	}
	return fmt.Errorf("%w: %d records behind after %s: is the replicator running, from %s to %s?", errLag, lag, limit, c.old.cluster.Name(), c.copied.cluster.Name())
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sameConfigs refuses a copy that would not take what the old home takes. It reports whether both
// sides keep the producer's timestamps.
func sameConfigs(ctx context.Context, old, copied *side) (timestamps bool, err error) {
	a, err := configs(ctx, old)
	if err != nil {
		return false, err
	}
	b, err := configs(ctx, copied)
	if err != nil {
		return false, err
	}
	for _, k := range []string{"max.message.bytes", "message.timestamp.type"} {
		if a[k] != b[k] && a[k] != "" && b[k] != "" {
			return false, fmt.Errorf("%s is %s on %s, but %s on %s", k, a[k], old.cluster.Name(), b[k], copied.cluster.Name())
		}
	}
	return a["message.timestamp.type"] != "LogAppendTime", nil
}

func configs(ctx context.Context, s *side) (map[string]string, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, s.topic
	r.ConfigNames = []string{"max.message.bytes", "message.timestamp.type"}
	req.Resources = []kmsg.DescribeConfigsRequestResource{r}
	resp, err := s.cluster.Do(ctx, plugin.AnyNode, req)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, res := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		for _, c := range res.Configs {
			if c.Value != nil {
				out[c.Name] = *c.Value
			}
		}
	}
	return out, nil
}

// openTransactions refuses a move while a transaction is open on the topic.
func openTransactions(ctx context.Context, s *side) error {
	return s.producers(ctx, func(p int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) error {
		if a.CurrentTxnStartOffset >= 0 {
			return fmt.Errorf("partition %d has an open transaction (producer %d): it must end first", p, a.ProducerID)
		}
		return nil
	})
}

// producers asks the leaders which producers they know.
func (s *side) producers(ctx context.Context, visit func(partition int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) error) error {
	for p, x := range s.topo.Partitions {
		req := kmsg.NewPtrDescribeProducersRequest()
		t := kmsg.NewDescribeProducersRequestTopic()
		t.Topic, t.Partitions = s.topic, []int32{int32(p)}
		req.Topics = []kmsg.DescribeProducersRequestTopic{t}
		resp, err := s.cluster.Do(ctx, x.Leader, req)
		if err != nil {
			return err
		}
		for _, rt := range resp.(*kmsg.DescribeProducersResponse).Topics {
			for _, rp := range rt.Partitions {
				if rp.ErrorCode != 0 {
					return fmt.Errorf("producers of %q/%d on %s: error %d", s.topic, p, s.cluster.Name(), rp.ErrorCode)
				}
				for _, a := range rp.ActiveProducers {
					if err := visit(int32(p), a); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// readFor is how long ago a consumer has fetched that is still taken for one.
const readFor = 5 * time.Minute

// lowest is the lowest offset that a group has committed, as far as the clusters that live can tell, or
// that a consumer reads from, per partition.
func (t *task) lowest(ctx context.Context, topic *catalog.Topic) (map[int32]int64, error) {
	out := t.env.Gates.Readers.Lowest(topic.Name, time.Now().Add(-readFor))
	for _, c := range t.env.Clusters {
		if !c.Reachable() {
			continue
		}
		err := committed(ctx, c, topic.Physical(c.Name()), func(group string, p int32, offset int64) {
			if t.env.Placement.GroupHome(group) != c.Name() {
				return // a mirrored copy
			}
			if o, ok := out[p]; !ok || offset < o {
				out[p] = offset
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// committed lists what groups have committed for a topic.
func committed(ctx context.Context, c plugin.Cluster, topic string, visit func(group string, partition int32, offset int64)) error {
	nodes := c.Topology().Brokers
	seen := map[string]bool{}
	for _, n := range nodes {
		resp, err := c.Do(ctx, n.ID, kmsg.NewPtrListGroupsRequest())
		if errors.Is(err, plugin.ErrUnreachable) {
			continue // a broker that is down; its groups have moved
		}
		if err != nil {
			return err
		}
		list := resp.(*kmsg.ListGroupsResponse)
		if unready(list.ErrorCode) {
			return fmt.Errorf("groups on node %d of %s: error %d", n.ID, c.Name(), list.ErrorCode)
		}
		for _, g := range list.Groups {
			if seen[g.Group] {
				continue
			}
			seen[g.Group] = true
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Group = g.Group
			og := kmsg.NewOffsetFetchRequestGroup()
			og.Group, og.MemberEpoch = g.Group, -1
			req.Groups = []kmsg.OffsetFetchRequestGroup{og}
			req.Topics = nil
			v9 := &atMost{req, 9}
			resp, err := c.Do(ctx, n.ID, v9)
			if err != nil {
				return err
			}
			r := resp.(*kmsg.OffsetFetchResponse)
			for _, rg := range r.Groups {
				r.ErrorCode = max(r.ErrorCode, rg.ErrorCode)
			}
			if unready(r.ErrorCode) {
				return fmt.Errorf("offsets of group %q on %s: error %d", g.Group, c.Name(), r.ErrorCode)
			}
			for _, rt := range r.Topics {
				for _, p := range rt.Partitions {
					if rt.Topic == topic && p.Offset >= 0 {
						visit(g.Group, p.Partition, p.Offset)
					}
				}
			}
			for _, rg := range r.Groups {
				for _, rt := range rg.Topics {
					for _, p := range rt.Partitions {
						if rt.Topic == topic && p.Offset >= 0 {
							visit(g.Group, p.Partition, p.Offset)
						}
					}
				}
			}
		}
	}
	return nil
}

// unready reports a coordinator that is loading, not there, or somewhere else now: it would look as if
// nobody had committed anything.
func unready(code int16) bool { return code == 14 || code == 15 || code == 16 }

// atMost limits the version of a request that Sluice makes itself: later ones name topics by id.
type atMost struct {
	*kmsg.OffsetFetchRequest
	highest int16
}

// MaxVersion is the limit.
func (a *atMost) MaxVersion() int16 { return a.highest }
