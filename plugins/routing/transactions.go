package routing

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// transaction sends a request of one transactional id to its home.
func (r *Routing) transaction(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	_, id, _ := kafka.CoordinatorKey(req.Body)
	return r.to(ctx, req, next, r.rules.transaction(id))
}

// addPartitionsToTxn is pinned to the transaction's home: if a topic lives elsewhere the whole
// transaction can't be atomic and the producer is told to abort it.
func (r *Routing) addPartitionsToTxn(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.AddPartitionsToTxnRequest)
	_, id, _ := kafka.CoordinatorKey(req.Body)
	home := r.rules.transaction(id)
	code := int16(kafka.UnknownProducerID)
	if kafka.Has(req.Key, req.Version, kafka.Abortable) {
		code = int16(kafka.TransactionAbortable)
	}
	away := map[string]int16{}
	check := func(topic string) {
		if h, shown := r.homeOf(topic, [16]byte{}); !shown {
			away[topic] = int16(kafka.UnknownTopicOrPartition)
		} else if h != home {
			away[topic] = code
		}
	}
	for _, t := range m.Topics {
		check(t.Topic)
	}
	for _, x := range m.Transactions {
		for _, t := range x.Topics {
			check(t.Topic)
		}
	}
	if len(away) == 0 {
		return r.to(ctx, req, next, home)
	}
	resp, err := plugin.Fail(req, kafka.OperationNotAttempted, "")
	if err != nil {
		return nil, err
	}
	out, err := resp.Body.Edit()
	if err != nil {
		return nil, err
	}
	a := out.(*kmsg.AddPartitionsToTxnResponse)
	a.ErrorCode = 0
	for i := range a.Topics {
		for j := range a.Topics[i].Partitions {
			if code := away[a.Topics[i].Topic]; code != 0 {
				a.Topics[i].Partitions[j].ErrorCode = code
			}
		}
	}
	for k := range a.Transactions {
		for i := range a.Transactions[k].Topics {
			for j := range a.Transactions[k].Topics[i].Partitions {
				if code := away[a.Transactions[k].Topics[i].Topic]; code != 0 {
					a.Transactions[k].Topics[i].Partitions[j].ErrorCode = code
				}
			}
		}
	}
	return resp, nil
}

// atTransactionHome reports that the topics of a produce that belongs to a transaction live at the
// transaction's home; else its producer is told to abort. A move waits for open transactions, so
// the gates hold these batches like others.
func (r *Routing) atTransactionHome(p *kafka.RequestView) bool {
	home := r.rules.transaction(string(p.TransactionID))
	for i := range p.Partitions {
		if h, shown := r.homeOf(string(p.Partitions[i].Topic), p.Partitions[i].ID); shown && h != home {
			return false
		}
	}
	return true
}

// txnOffsetCommit commits at the transaction's home: a group that lives elsewhere can't take part.
func (r *Routing) txnOffsetCommit(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	msg, err := req.Body.Peek()
	if err != nil {
		return nil, err
	}
	m := msg.(*kmsg.TxnOffsetCommitRequest)
	home := r.rules.transaction(m.TransactionalID)
	return r.atHome(ctx, req, m.Group, true, func(ctx context.Context, at string) (*plugin.Response, error) {
		if at != home {
			code := kafka.UnknownProducerID
			if kafka.Has(req.Key, req.Version, kafka.Abortable) {
				code = kafka.TransactionAbortable
			}
			return plugin.Fail(req, code, "")
		}
		if r.env.Groups != nil && r.env.Groups.Several() {
			r.env.Groups.Group(m.Group).CommitsIn(home)
		}
		if len(m.Topics) == 0 {
			return r.to(ctx, req, next, home)
		}
		return forkItems(ctx, r, req, next,
			func(m *kmsg.TxnOffsetCommitRequest) *[]kmsg.TxnOffsetCommitRequestTopic { return &m.Topics },
			func(t *kmsg.TxnOffsetCommitRequestTopic) string { return r.commitsAt(ctx, home, t.Topic, t.TopicID) }, nil)
	})
}

// describeTransactions asks the homes of the transactional ids.
func (r *Routing) describeTransactions(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return forkItems(ctx, r, req, next,
		func(m *kmsg.DescribeTransactionsRequest) *[]string { return &m.TransactionalIDs },
		func(id *string) string { return r.rules.transaction(*id) }, nil)
}

// listTransactions asks every cluster.
func (r *Routing) listTransactions(ctx context.Context, req *plugin.Request, next plugin.Handler) (*plugin.Response, error) {
	return r.each(ctx, req, next, func(cluster string, resp *plugin.Response) error {
		msg, err := resp.Body.Edit()
		if err != nil {
			return err
		}
		m := msg.(*kmsg.ListTransactionsResponse)
		kept := m.TransactionStates[:0]
		for _, t := range m.TransactionStates {
			if r.rules.transaction(t.TransactionalID) == cluster {
				kept = append(kept, t)
			}
		}
		m.TransactionStates = kept
		return nil
	})
}
