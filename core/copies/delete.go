package copies

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteRecords deletes the records before an offset of each partition, up to the end of the log at
// most; 0 deletes none.
func (s *Side) DeleteRecords(ctx context.Context, before []int64) error {
	starts, err := s.Starts(ctx)
	if err != nil {
		return err
	}
	ends, err := s.Ends(ctx)
	if err != nil {
		return err
	}
	for leader, parts := range s.ByLeader() {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.TimeoutMillis = 3000
		rt := kmsg.NewDeleteRecordsRequestTopic()
		rt.Topic = s.Name
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
		resp, err := s.Cluster.Do(ctx, leader, req)
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
