package failover

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// eraseCopy deletes on a copy what clients have deleted, at the distances that were just verified:
// replicators don't copy DeleteRecords. Where it is refused, as by mirrors and compacted topics,
// the records stay hidden.
func (r *Runner) eraseCopy(ctx context.Context, t *catalog.Topic, copied *side, deltas []int64) {
	before := make([]int64, len(copied.topo.Partitions))
	for p := range before {
		if part := t.Partition(int32(p)); part.Erased > 0 && p < len(deltas) {
			before[p] = part.ToPhysical(part.Erased) + deltas[p]
		}
	}
	r.erase(ctx, t, copied, before)
}

// eraseHome deletes on a home what it did not delete while it was a copy. starts are where it
// begins, as far as is known.
func (r *Runner) eraseHome(e Env, t *catalog.Topic, starts []int64) {
	home := e.cluster(t.Home)
	if t.Generation == 0 || home == nil || !home.Reachable() {
		return
	}
	s, err := newSide(home, t.Physical(t.Home))
	if err != nil {
		return // it has no leader now
	}
	before := make([]int64, len(s.topo.Partitions))
	for p := range before {
		if part := t.Partition(int32(p)); part.Erased > 0 {
			before[p] = part.ToPhysical(part.Erased)
		}
		if p < len(starts) && starts[p] >= before[p] {
			before[p] = 0
		}
	}
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	r.erase(ctx, t, s, before)
}

// erase deletes the records before physical offsets; 0: none.
func (r *Runner) erase(ctx context.Context, t *catalog.Topic, s *side, before []int64) {
	some := false
	for _, at := range before {
		some = some || at > 0
	}
	if !some {
		return
	}
	if err := s.deleteRecords(ctx, before); err != nil && ctx.Err() == nil {
		r.log.Warn("deleted records are hidden, but stay on a cluster", "topic", t.Name, "cluster", s.cluster.Name(), "error", err)
	}
}

func (s *side) deleteRecords(ctx context.Context, before []int64) error {
	starts, err := s.offsets(ctx, -2)
	if err != nil {
		return err
	}
	ends, err := s.offsets(ctx, -1)
	if err != nil {
		return err
	}
	for leader, parts := range s.byLeader() {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.TimeoutMillis = 3000
		rt := kmsg.NewDeleteRecordsRequestTopic()
		rt.Topic = s.topic
		for _, p := range parts {
			if at := min(before[p], ends[p]); at > starts[p] {
				rp := kmsg.NewDeleteRecordsRequestTopicPartition()
				rp.Partition, rp.Offset = p, at
				rt.Partitions = append(rt.Partitions, rp)
			}
		}
		if len(rt.Partitions) == 0 {
			continue
		}
		req.Topics = append(req.Topics, rt)
		resp, err := s.cluster.Do(ctx, leader, req)
		if err != nil {
			return err
		}
		for _, t := range resp.(*kmsg.DeleteRecordsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return fmt.Errorf("partition %d: %w", p.Partition, err)
				}
			}
		}
	}
	return nil
}
