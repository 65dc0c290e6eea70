package positions

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// ErrUnstable says that a transaction which commits positions of the group is open.
var ErrUnstable = errors.New("a transaction that commits positions is open")

// ErrMembers says that a cluster does not take positions of a group, since it has members there.
var ErrMembers = errors.New("the group has members there")

// refused is the error of a coordinator, or of one that is none.
type refused struct {
	code kafka.Code
	what string
}

func (r *refused) Error() string {
	return fmt.Sprintf("%s: error %d (%s)", r.what, r.code, r.code.Name())
}

// byTopic divides positions by topics, in the order of those.
func byTopic(all []Position) (out [][]Position) {
	at := map[string]int{}
	for _, p := range all {
		i, ok := at[p.Topic]
		if !ok {
			i = len(out)
			at[p.Topic], out = i, append(out, nil)
		}
		out[i] = append(out[i], p)
	}
	return out
}

// Write makes a cluster take positions of a group that has no members there, as an administrator
// does: with no member and generation -1.
func Write(ctx context.Context, c plugin.Cluster, group string, all []Position) error {
	if len(all) == 0 {
		return nil
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	for _, some := range byTopic(all) {
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = some[0].Topic
		for _, p := range some {
			rp := kmsg.NewOffsetCommitRequestTopicPartition()
			rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata = p.Partition, p.Offset, p.Epoch, p.Metadata
			if rp.Metadata == nil {
				rp.Metadata = kmsg.StringPtr("")
			}
			t.Partitions = append(t.Partitions, rp)
		}
		req.Topics = append(req.Topics, t)
	}
	return coordinated(ctx, c, group, func(node int32) error {
		resp, err := c.Do(ctx, node, &atMost{req, 9}) // later ones name topics by id
		if err != nil {
			return err
		}
		var bad []string
		var first kafka.Code
		for _, t := range resp.(*kmsg.OffsetCommitResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode == 0 {
					continue
				}
				if first == 0 {
					first = kafka.Code(p.ErrorCode)
				}
				if len(bad) < 3 {
					bad = append(bad, fmt.Sprintf("%s/%d: %s", t.Topic, p.Partition, kafka.Code(p.ErrorCode).Name()))
				}
			}
		}
		switch {
		case len(bad) == 0:
			return nil
		case first == kafka.UnknownMemberID, first == kafka.IllegalGeneration:
			return fmt.Errorf("positions of group %q on %s: %w", group, c.Name(), ErrMembers)
		}
		return &refused{first, fmt.Sprintf("positions of group %q on %s (%s)", group, c.Name(), strings.Join(bad, ", "))}
	})
}

// Delete makes a cluster forget positions of a group that has no members there. Those that it does
// not have are no error.
func Delete(ctx context.Context, c plugin.Cluster, group string, all []Position) error {
	if len(all) == 0 {
		return nil
	}
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	for _, some := range byTopic(all) {
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = some[0].Topic
		for _, p := range some {
			rp := kmsg.NewOffsetDeleteRequestTopicPartition()
			rp.Partition = p.Partition
			t.Partitions = append(t.Partitions, rp)
		}
		req.Topics = append(req.Topics, t)
	}
	return coordinated(ctx, c, group, func(node int32) error {
		resp, err := c.Do(ctx, node, req)
		if err != nil {
			return err
		}
		r := resp.(*kmsg.OffsetDeleteResponse)
		if code := kafka.Code(r.ErrorCode); code != 0 && code != kafka.GroupIDNotFound {
			return &refused{code, fmt.Sprintf("deleting positions of group %q on %s", group, c.Name())}
		}
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				if code := kafka.Code(p.ErrorCode); code != 0 && code != kafka.UnknownTopicOrPartition {
					return &refused{code, fmt.Sprintf("deleting the position of group %q in %s/%d on %s", group, t.Topic, p.Partition, c.Name())}
				}
			}
		}
		return nil
	})
}
