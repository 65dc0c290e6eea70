package copies

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/joint"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Producers asks the leaders which producers they know. They are visited one after the other.
func (s *Side) Producers(ctx context.Context, visit func(partition int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) error) error {
	var mu sync.Mutex
	return s.eachLeader(func(leader int32, parts []int32) error {
		req := kmsg.NewPtrDescribeProducersRequest()
		t := kmsg.NewDescribeProducersRequestTopic()
		t.Topic, t.Partitions = s.Name, parts
		req.Topics = []kmsg.DescribeProducersRequestTopic{t}
		resp, err := s.Cluster.Do(ctx, leader, req)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rt := range resp.(*kmsg.DescribeProducersResponse).Topics {
			for _, rp := range rt.Partitions {
				if rp.ErrorCode != 0 {
					return fmt.Errorf("producers of %q/%d on %s: error %d", s.Name, rp.Partition, s.Cluster.Name(), rp.ErrorCode)
				}
				for _, a := range rp.ActiveProducers {
					if err := visit(rp.Partition, a); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}

// whoseLimit is how long the brokers have to say who has a transaction open.
const whoseLimit = 2 * time.Second

// whose says who has a transaction open, as far as the brokers of a cluster tell.
func (s *Side) whose(ctx context.Context, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) string {
	out := []string{fmt.Sprintf("producer %d", a.ProducerID)}
	ctx, cancel := context.WithTimeout(ctx, whoseLimit)
	defer cancel()
	for _, b := range s.Cluster.Topology().Brokers {
		req := kmsg.NewPtrListTransactionsRequest()
		req.ProducerIDFilters = []int64{a.ProducerID}
		resp, err := s.Cluster.Do(ctx, b.ID, req)
		if err != nil {
			continue // a broker that lacks the API, or does not answer, leaves it at the number
		}
		for _, t := range resp.(*kmsg.ListTransactionsResponse).TransactionStates {
			if t.ProducerID == a.ProducerID {
				out = append([]string{fmt.Sprintf("transactional id %q", t.TransactionalID)}, out...)
			}
		}
		if len(out) > 1 {
			break
		}
	}
	if a.LastTimestamp > 0 {
		out = append(out, "last written to at "+time.UnixMilli(a.LastTimestamp).UTC().Format(time.RFC3339))
	}
	return strings.Join(out, ", ")
}

// LastBatch is the last batch of a producer that a partition's leader knows.
type LastBatch struct {
	Partition int32
	Epoch     int16
	Sequence  int32
	Producer  int64 // as clients know it
}

// NoTransaction is an error while a transaction is open on a topic. It returns what the leaders
// know of its producers.
func NoTransaction(ctx context.Context, s *Side) (last []LastBatch, err error) {
	err = s.Producers(ctx, func(p int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) error {
		if a.CurrentTxnStartOffset >= 0 {
			return block.Because(block.ByTransactions, fmt.Errorf("partition %d has an open transaction (%s): it must end first", p, s.whose(ctx, a)))
		}
		if a.LastSequence >= 0 {
			last = append(last, LastBatch{p, int16(a.ProducerEpoch), a.LastSequence, catalog.ClientProducer(a.ProducerID)})
		}
		return nil
	})
	return last, err
}

// OpenTransactionsOn visits the open transactions on partitions, as far as their leader tells.
func OpenTransactionsOn(ctx context.Context, c plugin.Cluster, leader int32, places []joint.Place, visit func(topic string, p int32, a kmsg.DescribeProducersResponseTopicPartitionActiveProducer)) {
	req := kmsg.NewPtrDescribeProducersRequest()
	for _, at := range places {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != at.Topic {
			t := kmsg.NewDescribeProducersRequestTopic()
			t.Topic = at.Topic
			req.Topics = append(req.Topics, t)
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, at.Partition)
	}
	resp, err := c.Do(ctx, leader, req)
	if err != nil {
		return
	}
	for _, rt := range resp.(*kmsg.DescribeProducersResponse).Topics {
		for _, rp := range rt.Partitions {
			for _, a := range rp.ActiveProducers {
				if a.CurrentTxnStartOffset >= 0 {
					visit(rt.Topic, rp.Partition, a)
				}
			}
		}
	}
}
