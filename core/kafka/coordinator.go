package kafka

import "github.com/twmb/franz-go/pkg/kmsg"

// Kinds of coordinators, as FindCoordinator names them.
const (
	GroupCoordinator       int8 = 0
	TransactionCoordinator int8 = 1
	ShareCoordinator       int8 = 2
)

// CoordinatorKey returns which coordinator answers a request: the kind and the group or
// transactional id; false for a request that names none.
func CoordinatorKey(body *RequestBody) (kind int8, key string, ok bool) {
	msg, err := body.Peek()
	if err != nil {
		return 0, "", false
	}
	first := func(kind int8, list []string) (int8, string, bool) {
		if len(list) == 0 {
			return kind, "", false
		}
		return kind, list[0], true
	}
	switch m := msg.(type) {
	case *kmsg.JoinGroupRequest:
		return GroupCoordinator, m.Group, true
	case *kmsg.SyncGroupRequest:
		return GroupCoordinator, m.Group, true
	case *kmsg.HeartbeatRequest:
		return GroupCoordinator, m.Group, true
	case *kmsg.LeaveGroupRequest:
		return GroupCoordinator, m.Group, true
	case *kmsg.OffsetCommitRequest:
		return GroupCoordinator, m.Group, true
	case *kmsg.OffsetDeleteRequest:
		return GroupCoordinator, m.Group, true
	case *kmsg.ConsumerGroupHeartbeatRequest:
		return GroupCoordinator, m.Group, true
	case *kmsg.ShareGroupHeartbeatRequest:
		return GroupCoordinator, m.GroupID, true
	case *kmsg.AlterShareGroupOffsetsRequest:
		return GroupCoordinator, m.GroupID, true
	case *kmsg.DeleteShareGroupOffsetsRequest:
		return GroupCoordinator, m.GroupID, true
	case *kmsg.TxnOffsetCommitRequest:
		return GroupCoordinator, m.Group, true
	case *kmsg.OffsetFetchRequest:
		if len(m.Groups) > 0 {
			return GroupCoordinator, m.Groups[0].Group, true
		}
		return GroupCoordinator, m.Group, true
	case *kmsg.DescribeShareGroupOffsetsRequest:
		if len(m.Groups) > 0 {
			return GroupCoordinator, m.Groups[0].GroupID, true
		}
	case *kmsg.DescribeGroupsRequest:
		return first(GroupCoordinator, m.Groups)
	case *kmsg.ConsumerGroupDescribeRequest:
		return first(GroupCoordinator, m.Groups)
	case *kmsg.DeleteGroupsRequest:
		return first(GroupCoordinator, m.Groups)
	case *kmsg.ShareGroupDescribeRequest:
		return first(GroupCoordinator, m.GroupIDs)
	case *kmsg.InitProducerIDRequest:
		if m.TransactionalID != nil {
			return TransactionCoordinator, *m.TransactionalID, true
		}
	case *kmsg.AddPartitionsToTxnRequest:
		if len(m.Transactions) > 0 {
			return TransactionCoordinator, m.Transactions[0].TransactionalID, true
		}
		return TransactionCoordinator, m.TransactionalID, true
	case *kmsg.AddOffsetsToTxnRequest:
		return TransactionCoordinator, m.TransactionalID, true
	case *kmsg.EndTxnRequest:
		return TransactionCoordinator, m.TransactionalID, true
	case *kmsg.DescribeTransactionsRequest:
		return first(TransactionCoordinator, m.TransactionalIDs)
	}
	return 0, "", false
}
