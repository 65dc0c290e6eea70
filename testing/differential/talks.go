package differential

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// talk is a conversation, in which what is said depends on what was answered. say is nil for a
// request that is not answered.
type talk func(l *lane, say func(kmsg.Request) kmsg.Response)

// talks are all of them.
var talks = map[string]talk{
	"a classic group": classicGroup, "a consumer group": consumerGroup, "a transaction": transaction, "an idempotent producer": idempotent, "erased records": erased,
}

// asked makes a request of a version.
func asked[T kmsg.Request](msg T, version int16) T {
	msg.SetVersion(version)
	return msg
}

// own makes a topic of the lane.
func own(l *lane, say func(kmsg.Request) kmsg.Response, name string) string {
	m := asked(kmsg.NewPtrCreateTopicsRequest(), 5)
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = l.mine(name), 1, 1
	m.TimeoutMillis, m.Topics = 5000, append(m.Topics, t)
	say(m)
	for range 1000 { // its leader may not know of it yet
		if _, ok := end(l, t.Topic, 0); ok {
			break
		}
	}
	return t.Topic
}

// end is where partition 0 of a topic ends, if its leader says so.
func end(l *lane, topic string, isolation int8) (int64, bool) {
	m := asked(kmsg.NewPtrListOffsetsRequest(), 7)
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = -1
	m.ReplicaID, m.IsolationLevel = -1, isolation
	m.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	a, err := l.ask(m, patience)
	if r, ok := a.resp.(*kmsg.ListOffsetsResponse); err == nil && ok {
		got := r.Topics[0].Partitions[0]
		return got.Offset, got.ErrorCode == 0
	}
	return -1, false
}

// coordinator asks for the one of a group or transaction.
func coordinator(say func(kmsg.Request) kmsg.Response, kind int8, key string) {
	m := asked(kmsg.NewPtrFindCoordinatorRequest(), 3)
	m.CoordinatorType, m.CoordinatorKey = kind, key
	say(m)
}

func classicGroup(l *lane, say func(kmsg.Request) kmsg.Response) {
	group := l.mine("@-classic")
	coordinator(say, kafka.GroupCoordinator, group)
	join := asked(kmsg.NewPtrJoinGroupRequest(), 7)
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = group, 30_000, 1000, "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	join.Protocols = append(join.Protocols, p)
	first, _ := say(join).(*kmsg.JoinGroupResponse) // 79: come again with this id
	if first == nil {
		return
	}
	join.MemberID = first.MemberID
	joined, _ := say(join).(*kmsg.JoinGroupResponse)
	if joined == nil {
		return
	}
	sync := asked(kmsg.NewPtrSyncGroupRequest(), 5)
	sync.Group, sync.MemberID, sync.Generation, sync.ProtocolType, sync.Protocol = group, joined.MemberID, joined.Generation, kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = joined.MemberID, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	sync.GroupAssignment = append(sync.GroupAssignment, a)
	say(sync)
	beat := asked(kmsg.NewPtrHeartbeatRequest(), 4)
	beat.Group, beat.MemberID = group, joined.MemberID
	for _, generation := range []int32{joined.Generation, joined.Generation + 1, -1} {
		beat.Generation = generation
		say(beat)
	}
	commit := asked(kmsg.NewPtrOffsetCommitRequest(), 8)
	commit.Group, commit.MemberID = group, joined.MemberID
	for _, name := range []string{"alpha", moved, hidden, "gone"} {
		cp := kmsg.NewOffsetCommitRequestTopicPartition()
		cp.Offset, cp.LeaderEpoch, cp.Metadata = 2, 0, kmsg.StringPtr("m")
		commit.Topics = append(commit.Topics, kmsg.OffsetCommitRequestTopic{Topic: name, Partitions: []kmsg.OffsetCommitRequestTopicPartition{cp}})
	}
	for _, generation := range []int32{joined.Generation, joined.Generation + 1} {
		commit.Generation = generation
		say(commit)
	}
	for _, version := range []int16{1, 7, 8, 9} {
		fetch := asked(kmsg.NewPtrOffsetFetchRequest(), version)
		fetch.Group = group
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = group
		for _, name := range []string{"alpha", moved, hidden, "gone"} {
			fetch.Topics = append(fetch.Topics, kmsg.OffsetFetchRequestTopic{Topic: name, Partitions: []int32{0}})
			g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: name, Partitions: []int32{0}})
		}
		fetch.Groups = append(fetch.Groups, g)
		say(fetch)
		if version > 1 { // all
			fetch.Topics, fetch.Groups[0].Topics = nil, nil
			say(fetch)
		}
	}
	describe := asked(kmsg.NewPtrDescribeGroupsRequest(), 5)
	describe.Groups = []string{group, l.mine("@-nobody")}
	say(describe)
	say(asked(kmsg.NewPtrListGroupsRequest(), 4))
	remove := asked(kmsg.NewPtrDeleteGroupsRequest(), 2)
	remove.Groups = []string{group, l.mine("@-nobody")}
	say(remove) // it has members
	leave := asked(kmsg.NewPtrLeaveGroupRequest(), 5)
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID = joined.MemberID
	leave.Group, leave.Members = group, append(leave.Members, member)
	say(leave)
	forget := kmsg.NewPtrOffsetDeleteRequest()
	forget.Group = group
	forget.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "alpha", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
	say(forget)
	say(remove)
}

func consumerGroup(l *lane, say func(kmsg.Request) kmsg.Response) {
	group := l.mine("@-consumer")
	coordinator(say, kafka.GroupCoordinator, group)
	beat := asked(kmsg.NewPtrConsumerGroupHeartbeatRequest(), 0)
	beat.Group, beat.RebalanceTimeoutMillis, beat.SubscribedTopicNames, beat.Topics = group, 5000, []string{"alpha", moved, hidden, "gone"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	joined, _ := say(beat).(*kmsg.ConsumerGroupHeartbeatResponse)
	if joined == nil || joined.MemberID == nil {
		return
	}
	next := asked(kmsg.NewPtrConsumerGroupHeartbeatRequest(), 0)
	next.Group, next.MemberID, next.MemberEpoch, next.RebalanceTimeoutMillis = group, *joined.MemberID, joined.MemberEpoch, -1
	if joined.Assignment != nil {
		for _, t := range joined.Assignment.Topics {
			next.Topics = append(next.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
	say(next)
	describe := asked(kmsg.NewPtrConsumerGroupDescribeRequest(), 0)
	describe.Groups = []string{group, l.mine("@-nobody")}
	say(describe)
	for _, epoch := range []int32{99, -1} {
		next.MemberEpoch, next.Topics = epoch, nil
		say(next)
	}
	say(describe)
}

// batchOf is a batch of one record of a producer.
func batchOf(id int64, epoch int16, sequence int32, transactional bool) []byte {
	b := slices.Clone(kafkatest.Batch(100))
	if transactional {
		b[22] |= 16
	}
	binary.BigEndian.PutUint64(b[43:], uint64(id))
	binary.BigEndian.PutUint16(b[51:], uint16(epoch))
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// produce sends a batch to partition 0.
func produce(say func(kmsg.Request) kmsg.Response, topic string, transaction *string, batch []byte) {
	m := asked(kmsg.NewPtrProduceRequest(), 9)
	t, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	p.Records = batch
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	m.Acks, m.TimeoutMillis, m.TransactionID, m.Topics = -1, 5000, transaction, append(m.Topics, t)
	say(m)
}

// ends asks where partition 0 starts and ends, for everybody.
func ends(say func(kmsg.Request) kmsg.Response, topic string) {
	for isolation := range int8(2) {
		for _, timestamp := range []int64{-1, -2} {
			m := asked(kmsg.NewPtrListOffsetsRequest(), 7)
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp = timestamp
			m.ReplicaID, m.IsolationLevel = -1, isolation
			m.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
			say(m)
		}
		f := asked(kmsg.NewPtrFetchRequest(), 12)
		ft, fp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		fp.PartitionMaxBytes, fp.CurrentLeaderEpoch = 1<<20, -1
		ft.Topic, ft.Partitions = topic, append(ft.Partitions, fp)
		f.ReplicaID, f.MaxBytes, f.IsolationLevel, f.SessionEpoch, f.Topics = -1, 1<<20, isolation, -1, append(f.Topics, ft)
		say(f)
	}
}

func transaction(l *lane, say func(kmsg.Request) kmsg.Response) {
	topic, id, group := own(l, say, "@-talk"), l.mine("@-talk-tx"), l.mine("@-talk-group")
	coordinator(say, kafka.TransactionCoordinator, id)
	begin := asked(kmsg.NewPtrInitProducerIDRequest(), 4)
	begin.TransactionalID, begin.TransactionTimeoutMillis = &id, 60_000
	p, _ := say(begin).(*kmsg.InitProducerIDResponse)
	if p == nil || p.ErrorCode != 0 {
		return
	}
	sequence := int32(0)
	for _, commit := range []bool{true, false} {
		add := asked(kmsg.NewPtrAddPartitionsToTxnRequest(), 3)
		add.TransactionalID, add.ProducerID, add.ProducerEpoch = id, p.ProducerID, p.ProducerEpoch
		add.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: []int32{0}}}
		ready(l, add)
		say(add)
		produce(say, topic, &id, batchOf(p.ProducerID, p.ProducerEpoch, sequence, true))
		sequence++
		ends(say, topic)
		offsets := asked(kmsg.NewPtrAddOffsetsToTxnRequest(), 3)
		offsets.TransactionalID, offsets.ProducerID, offsets.ProducerEpoch, offsets.Group = id, p.ProducerID, p.ProducerEpoch, group
		say(offsets)
		note := asked(kmsg.NewPtrTxnOffsetCommitRequest(), 3)
		note.TransactionalID, note.Group, note.ProducerID, note.ProducerEpoch, note.Generation = id, group, p.ProducerID, p.ProducerEpoch, -1
		np := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		np.Offset, np.LeaderEpoch = 1, -1
		note.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{np}}}
		say(note)
		describe := kmsg.NewPtrDescribeTransactionsRequest()
		describe.TransactionalIDs = []string{id, l.mine("@-nobody")}
		say(describe)
		end := asked(kmsg.NewPtrEndTxnRequest(), 3)
		end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = id, p.ProducerID, p.ProducerEpoch, commit
		say(end)
		settle(l, topic)
		ends(say, topic)
	}
}

// settle waits until the markers of a transaction are written, which its end does not wait for.
func settle(l *lane, topic string) {
	for range 1000 {
		all, _ := end(l, topic, 0)
		if stable, ok := end(l, topic, 1); ok && stable == all {
			return
		}
	}
}

// ready repeats a request until the coordinator has done what was asked before.
func ready(l *lane, req *kmsg.AddPartitionsToTxnRequest) {
	const concurrentTransactions = 51
	for range 1000 {
		a, err := l.ask(req, patience)
		r, ok := a.resp.(*kmsg.AddPartitionsToTxnResponse)
		if err != nil || !ok || r.Topics[0].Partitions[0].ErrorCode != concurrentTransactions {
			return
		}
	}
}

func idempotent(l *lane, say func(kmsg.Request) kmsg.Response) {
	topic := own(l, say, "@-idempotent")
	begin := asked(kmsg.NewPtrInitProducerIDRequest(), 4)
	p, _ := say(begin).(*kmsg.InitProducerIDResponse)
	if p == nil || p.ErrorCode != 0 {
		return
	}
	for _, of := range []struct {
		epoch    int16
		sequence int32
	}{{0, 0}, {0, 1}, {0, 1}, {0, 0}, {1, 0}, {1, 1}, {0, 2}} { // the next, again, an older one, another epoch, and the one before
		produce(say, topic, nil, batchOf(p.ProducerID, of.epoch, of.sequence, false))
	}
	ends(say, topic)
	describe := kmsg.NewPtrDescribeProducersRequest()
	describe.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0, 7}}}
	say(describe)
}

func erased(l *lane, say func(kmsg.Request) kmsg.Response) {
	topic := own(l, say, "@-erased")
	for range 4 {
		produce(say, topic, nil, kafkatest.Batch(100))
	}
	for _, to := range []int64{2, 1, 9, -2, -1} {
		m := asked(kmsg.NewPtrDeleteRecordsRequest(), 2)
		m.TimeoutMillis = 5000
		m.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: to}}}}
		say(m)
		ends(say, topic)
	}
}
