package differential

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/hostile"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// unknownID is an id that no topic has.
var unknownID = [16]byte{0xee, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15}

// hidden is a topic that clients of lanes with an interceptor that hides may not see, and that
// direct clients don't have.
const hidden = "secret"

// shared are the topics that lanes have in common, with their partitions; nothing changes them.
var shared = map[string]int32{"alpha": 3, "beta": 2, "empty": 1, moved: 2}

// moved is a topic that has moved, where there are two clusters.
const moved = "moved"

// changes reports an API that changes what others answer. Its requests name topics, groups and
// transactions of the lane alone.
func changes(key kmsg.Key) bool {
	switch key {
	case kmsg.Produce, kmsg.CreateTopics, kmsg.DeleteTopics, kmsg.CreatePartitions, kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs, kmsg.DeleteRecords,
		kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.OffsetCommit, kmsg.OffsetDelete, kmsg.DeleteGroups, kmsg.ConsumerGroupHeartbeat,
		kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit,
		kmsg.CreateACLs, kmsg.DeleteACLs, kmsg.AlterClientQuotas, kmsg.AlterUserSCRAMCredentials, kmsg.ElectLeaders, kmsg.AlterPartitionAssignments:
		return true
	}
	return false
}

// chooser chooses what requests say, the same for every lane that is given the same chance.
type chooser struct {
	*rand.Rand
	*lane
	key     kmsg.Key
	changes bool
}

// request makes a request of a lane.
func request(r *rand.Rand, l *lane, key kmsg.Key, version int16) kmsg.Request {
	msg := kmsg.RequestForKey(int16(key))
	c := chooser{r, l, key, changes(key)}
	hostile.Fill(r, msg, c.field)
	msg.SetVersion(version)
	once(reflect.ValueOf(msg).Elem())
	switch m := msg.(type) {
	case *kmsg.FetchRequest:
		m.ClusterID, m.ReplicaState = nil, kmsg.NewFetchRequestReplicaState()
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions { // what only followers say
				m.Topics[i].Partitions[j].ReplicaDirectoryID, m.Topics[i].Partitions[j].LogStartOffset = [16]byte{}, -1
			}
		}
		if m.MaxBytes < 1<<20 && len(m.Topics) > 1 { // which partitions are left out is a matter of order
			m.MaxBytes = 1 << 20
		}
	case *kmsg.ProduceRequest:
		m.TransactionID = nil
	case *kmsg.MetadataRequest:
		for i := range m.Topics {
			if t := &m.Topics[i]; version < 12 && (t.Topic == nil || t.TopicID != [16]byte{}) {
				t.Topic, t.TopicID = &alpha, [16]byte{}
			} else if t.TopicID != [16]byte{} {
				t.Topic = nil
			}
		}
	case *kmsg.OffsetForLeaderEpochRequest: // which brokers alone answer for a topic without partitions
		m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.OffsetForLeaderEpochRequestTopic) bool { return len(t.Partitions) == 0 })
	case *kmsg.OffsetCommitRequest:
		ids := map[[16]byte]bool{}
		m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.OffsetCommitRequestTopic) bool {
			twice := version >= 10 && ids[t.TopicID] // which has no names
			ids[t.TopicID] = true
			return twice
		})
	case *kmsg.OffsetFetchRequest: // a group once
		m.Groups = slices.CompactFunc(m.Groups, func(a, b kmsg.OffsetFetchRequestGroup) bool { return a.Group == b.Group })
	case *kmsg.DescribeTopicPartitionsRequest:
		// Lists of all topics hold those of other lanes, see allTopics; for no name at all Kafka
		// fails by accident.
		m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == "" })
		if len(m.Topics) == 0 {
			m.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: alpha}}
		}
	case *kmsg.DescribeConfigsRequest:
		for i := range m.Resources {
			if m.Resources[i].ResourceType == kmsg.ConfigResourceTypeBrokerLogger { // of which a broker has more with time
				m.Resources[i].ConfigNames = []string{"root"}
			}
		}
	case *kmsg.IncrementalAlterConfigsRequest:
		for i := range m.Resources {
			if r := &m.Resources[i]; r.ResourceType == kmsg.ConfigResourceTypeBrokerLogger && len(r.Configs) > 0 { // the same as of those
				r.Configs = r.Configs[:1]
				r.Configs[0].Name = "root"
			}
		}
	case *kmsg.JoinGroupRequest:
		m.Group = l.mine("@") + strconv.Itoa(r.IntN(1<<30)) // or it would wait for members
		m.MemberID, m.InstanceID = "", nil
	}
	return msg
}

// once leaves each element of a list in it once: brokers take what is named twice in one way or
// another.
func once(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			once(v.Field(i))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		seen, kept := map[string]bool{}, 0
		for i := range v.Len() {
			e := v.Index(i)
			key := name(e)
			if once(e); seen[key] {
				continue
			}
			seen[key] = true
			v.Index(kept).Set(e)
			kept++
		}
		v.SetLen(kept)
	}
}

// name is what an element of a list is about.
func name(e reflect.Value) string {
	if e.Kind() != reflect.Struct {
		return fmt.Sprint(e.Interface())
	}
	var out []string
	for _, f := range identities {
		if v := reflect.Indirect(e.FieldByName(f)); v.IsValid() {
			out = append(out, fmt.Sprint(v.Interface()))
		}
	}
	if out == nil {
		return fmt.Sprintf("%+v", e.Interface())
	}
	return strings.Join(out, " ")
}

var alpha = "alpha"

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// field is for hostile.Fill.
func (c chooser) field(name string, v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		s, ok := c.text(name)
		if ok {
			v.SetString(s)
		}
		return ok
	case reflect.Array:
		v.Set(reflect.ValueOf(c.topicID()))
		return true
	case reflect.Slice:
		if name == "Partitions" && v.Type().Elem().Kind() == reflect.Int32 { // at least one: brokers leave out topics without
			v.Set(reflect.ValueOf(pick(c.Rand, []int32{0}, []int32{0, 1}, []int32{1}, []int32{1, 2}, []int32{7}, []int32{-1, 0})))
			return true
		}
		if name == "Records" {
			v.SetBytes(pick(c.Rand, kafkatest.Batch(200), kafkatest.Batch(100), []byte("no batch"), slices.Concat(kafkatest.Batch(90), kafkatest.Batch(90))))
			return true
		}
		if v.Type().Elem().Kind() == reflect.Int32 && nodeIDs[name] {
			v.Set(reflect.ValueOf(pick(c.Rand, []int32{c.node}, []int32{c.node}, []int32{}, []int32{c.node + 5})))
			return true
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, ok := c.number(name)
		if ok {
			v.SetInt(n)
		}
		return ok
	}
	return false
}

func (c chooser) topic() string {
	if c.changes {
		return pick(c.Rand, c.mine("@-a"), c.mine("@-a"), c.mine("@-b"), c.mine("@-new"), c.mine("@-none"), "", "..", "a b", strings.Repeat("x", 250))
	}
	return pick(c.Rand, "alpha", "alpha", "beta", "beta", "empty", moved, moved, hidden, "unknown", "", "..", "a b", strings.Repeat("x", 250))
}

func (c chooser) topicID() [16]byte {
	if c.changes {
		return pick(c.Rand, c.topics[c.mine("@-a")], c.topics[c.mine("@-b")], [16]byte{}, unknownID)
	}
	return pick(c.Rand, c.topics["alpha"], c.topics["beta"], c.topics["empty"], c.topics[moved], [16]byte{}, unknownID)
}

func (c chooser) group() string {
	switch c.key {
	case kmsg.OffsetCommit, kmsg.TxnOffsetCommit, kmsg.DeleteGroups: // to which no id is one, that lanes would share
		return pick(c.Rand, c.mine("@-group"), c.mine("@-other"), c.mine("@-none"))
	}
	if c.changes {
		return pick(c.Rand, c.mine("@-group"), c.mine("@-other"), c.mine("@-none"), "")
	}
	return pick(c.Rand, "group", "group", "nobody", "")
}

func (c chooser) transaction() string {
	if c.changes {
		return pick(c.Rand, c.mine("@-tx"), c.mine("@-txnone"), "")
	}
	return pick(c.Rand, "open", "done", "nobody", "")
}

func (c chooser) text(name string) (string, bool) {
	switch name {
	case "Topic", "TopicNames", "SubscribedTopicNames":
		return c.topic(), true
	case "Group", "Groups":
		return c.group(), true
	case "TransactionalID", "TransactionalIDs", "TransactionID":
		return c.transaction(), true
	case "CoordinatorKey", "CoordinatorKeys":
		return pick(c.Rand, c.group(), c.transaction()), true
	case "MemberID":
		return pick(c.Rand, "", "somebody"), true
	case "ResourceName":
		return pick(c.Rand, c.topic(), c.topic(), c.topic(), strconv.Itoa(int(c.node)), strconv.Itoa(int(c.node)+7), c.group(), ""), true
	case "Name":
		if c.changes {
			return pick(c.Rand, "retention.ms", "cleanup.policy", "no.such.config", c.mine("@-user"), "range", ""), true
		}
		return pick(c.Rand, "anybody", ""), true
	case "Value":
		return pick(c.Rand, "1000", "compact", "nonsense", ""), true
	case "ConfigNames":
		return pick(c.Rand, "retention.ms", "cleanup.policy", "no.such.config"), true
	case "StatesFilter", "StateFilters":
		return pick(c.Rand, "Empty", "Stable", "Ongoing", "CompleteCommit", "nonsense", ""), true
	case "TypesFilter":
		return pick(c.Rand, "classic", "consumer", "nonsense", ""), true
	case "TransactionalIDPattern":
		return pick(c.Rand, "open", "o.*", ".*", "", "nobody"), true
	case "EntityType", "Type":
		return pick(c.Rand, "user", "client-id", "ip", "nonsense", ""), true
	case "Match":
		return pick(c.Rand, c.mine("@-user"), "nobody", ""), true
	case "Key":
		return pick(c.Rand, "producer_byte_rate", "consumer_byte_rate", "nonsense", ""), true
	case "ClientSoftwareName", "ClientSoftwareVersion":
		return pick(c.Rand, "differential", "1.0", "", "a b", "-a"), true
	case "ProtocolType":
		return pick(c.Rand, "consumer", "connect", ""), true
	case "SubscribedTopicRegex":
		return pick(c.Rand, c.mine("@-.*"), "", "["), true
	case "ServerAssignor":
		return pick(c.Rand, "uniform", "range", "nonsense"), true
	case "Principal":
		return pick(c.Rand, "User:"+c.mine("@-user"), "nonsense", ""), true
	}
	return "", false
}

func (c chooser) number(name string) (int64, bool) {
	switch name {
	case "Partition", "Partitions":
		return pick[int64](c.Rand, 0, 0, 1, 1, 2, 7, -1), true
	case "Operation": // what is none of ACLs' costs a connection, which takes time
		return pick[int64](c.Rand, 1, 2, 3), true
	case "PermissionType":
		return pick[int64](c.Rand, 1, 2, 3), true
	case "ResourcePatternType":
		return pick[int64](c.Rand, 1, 3, 4), true
	case "ElectionType":
		return pick[int64](c.Rand, 0, 1, -1, 2, 7), true
	case "ReplicaID":
		return -1, true // others are brokers
	case "CurrentLeaderEpoch", "LastFetchedEpoch", "LeaderEpoch":
		return pick[int64](c.Rand, -1, -1, -1, 0, 1, 99), true
	case "IsolationLevel":
		return pick[int64](c.Rand, 0, 1), true
	case "Timestamp":
		return pick[int64](c.Rand, -1, -2, -3, -4, -5, -6, 0, 1005, 1<<62), true
	case "FetchOffset", "LogStartOffset":
		return pick[int64](c.Rand, 0, 0, 1, 2, 3, 7, 1000, -1), true
	case "Offset":
		return pick[int64](c.Rand, 0, 1, 2, -1, 1000), true
	case "MaxWaitMillis":
		return pick[int64](c.Rand, 0, 1, 5), true
	case "MinBytes":
		return pick[int64](c.Rand, 0, 1), true
	case "MaxBytes":
		return pick[int64](c.Rand, 1<<20, 1<<20, 1, 0), true
	case "PartitionMaxBytes":
		return 1 << 20, true
	case "SessionID":
		return pick[int64](c.Rand, 0, 0, 0, 12345), true
	case "SessionEpoch":
		return pick[int64](c.Rand, -1, -1, -1, 0, 3), true
	case "HighWatermark":
		return -1, true
	case "ResponsePartitionLimit":
		return pick[int64](c.Rand, 1, 2, 3, 4, 100, 2000, 0, -1), true
	case "CoordinatorType":
		return pick[int64](c.Rand, 0, 0, 1, 1, 3), true
	case "Acks":
		return pick[int64](c.Rand, 1, -1, -1, 2), true
	case "ResourceType", "ResourceTypes":
		return pick[int64](c.Rand, 2, 2, 4, 8, 16, 32, 0, 99), true
	case "SessionTimeoutMillis":
		return pick[int64](c.Rand, 6000, 6000, 1), true
	case "RebalanceTimeoutMillis":
		return pick[int64](c.Rand, 100, 1000), true
	case "TransactionTimeoutMillis":
		return pick[int64](c.Rand, 60_000, 0, 1<<31-1), true
	case "TimeoutMillis":
		return 5000, true
	case "ProducerID":
		return pick[int64](c.Rand, -1, 123456), true
	case "ProducerEpoch":
		return pick[int64](c.Rand, -1, 0), true
	case "NumPartitions", "Count":
		return pick[int64](c.Rand, -1, 0, 1, 2, 3), true
	case "ReplicationFactor":
		return pick[int64](c.Rand, -1, 1, 1, 0, 7), true
	case "Generation":
		return pick[int64](c.Rand, -1, -1, 0, 1), true
	case "Iterations":
		return pick[int64](c.Rand, 4096, 1), true
	case "NodeID":
		return -1, true
	case "ProducerIDFilters":
		return pick[int64](c.Rand, 1<<40, -1), true
	case "DurationFilterMillis":
		return pick[int64](c.Rand, -1, -1, 0, 1<<40), true
	case "RetentionTimeMillis":
		return -1, true
	case "MemberEpoch":
		return pick[int64](c.Rand, 0, 0, 1, -1, -2), true
	}
	return 0, false
}
