package differential

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// edge is a request that is always tried, by hand: parameters at their ends that chance may miss.
type edge func(l *lane) kmsg.Request

// edges are all of them.
func edges() (out []edge) {
	out = append(out, endsOfLogs()...)
	out = append(out, reads()...)
	out = append(out, metadata()...)
	out = append(out, pages()...)
	out = append(out, positions()...)
	out = append(out, commits()...)
	out = append(out, strangers()...)
	out = append(out, produces()...)
	return append(out, refusals()...)
}

// every makes an edge of every version of an API from one on.
func every(key kmsg.Key, from int16, fill func(l *lane, version int16, msg kmsg.Request)) (out []edge) {
	api, _ := kafka.Lookup(key)
	for version := from; version <= api.MaxVersion; version++ {
		out = append(out, func(l *lane) kmsg.Request {
			msg := kmsg.RequestForKey(int16(key))
			if d, ok := msg.(interface{ Default() }); ok {
				d.Default()
			}
			msg.SetVersion(version)
			fill(l, version, msg)
			return msg
		})
	}
	return out
}

// endsOfLogs ask where logs end and start, for who reads everything and for who reads what is
// committed.
func endsOfLogs() (out []edge) {
	for isolation := range int8(2) {
		for _, timestamp := range []int64{-1, -2, -3, -4, -5, 0, 1007, 1 << 40} {
			out = append(out, every(kmsg.ListOffsets, 1, func(_ *lane, _ int16, msg kmsg.Request) {
				m := msg.(*kmsg.ListOffsetsRequest)
				m.ReplicaID, m.IsolationLevel, m.TimeoutMillis = -1, isolation, 5000
				for _, name := range []string{"alpha", "beta", "empty", moved} {
					t := kmsg.NewListOffsetsRequestTopic()
					t.Topic = name
					for n := range shared[name] {
						p := kmsg.NewListOffsetsRequestTopicPartition()
						p.Partition, p.Timestamp = n, timestamp
						t.Partitions = append(t.Partitions, p)
					}
					m.Topics = append(m.Topics, t)
				}
			})...)
		}
	}
	return out
}

// reads fetch from every offset of a log with transactions.
func reads() (out []edge) {
	for isolation := range int8(2) {
		for at := range int64(24) {
			out = append(out, every(kmsg.Fetch, 4, func(l *lane, _ int16, msg kmsg.Request) {
				m := msg.(*kmsg.FetchRequest)
				m.ReplicaID, m.IsolationLevel, m.MaxBytes, m.SessionEpoch = -1, isolation, 1<<20, -1
				for _, name := range []string{"alpha", moved} {
					t, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
					p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = at, 1<<20, -1
					t.Topic, t.TopicID, t.Partitions = name, l.topics[name], append(t.Partitions, p)
					m.Topics = append(m.Topics, t)
				}
			})...)
			if at%8 != 0 { // the others in one version
				out = out[:len(out)-int(kmsg.NewPtrFetchRequest().MaxVersion()-4)]
			}
		}
	}
	return out
}

// metadata asks for all topics, none, and what is none.
func metadata() (out []edge) {
	empty, wrong, gone := "", "a b", "gone"
	topic := func(name *string, id [16]byte) []kmsg.MetadataRequestTopic {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic, t.TopicID = name, id
		return []kmsg.MetadataRequestTopic{t}
	}
	for _, names := range [][]kmsg.MetadataRequestTopic{nil, {}, topic(&empty, [16]byte{}), topic(&wrong, [16]byte{}), topic(&gone, [16]byte{})} {
		out = append(out, every(kmsg.Metadata, 0, func(_ *lane, version int16, msg kmsg.Request) {
			m := msg.(*kmsg.MetadataRequest)
			if m.Topics = names; version == 0 && names == nil {
				m.Topics = []kmsg.MetadataRequestTopic{}
			}
		})...)
	}
	out = append(out, every(kmsg.Metadata, 12, func(l *lane, _ int16, msg kmsg.Request) {
		msg.(*kmsg.MetadataRequest).Topics = append(topic(nil, l.topics["alpha"]), topic(&gone, [16]byte{})...)
	})...)
	for _, id := range [][16]byte{{}, unknownID} {
		out = append(out, every(kmsg.Metadata, 12, func(_ *lane, _ int16, msg kmsg.Request) { msg.(*kmsg.MetadataRequest).Topics = topic(nil, id) })...)
	}
	return out
}

// pages ask for topics with limits and cursors.
func pages() (out []edge) {
	cursors := []*kmsg.DescribeTopicPartitionsRequestCursor{nil}
	for _, name := range []string{"alpha", "beta", "empty", "gone"} {
		for n := range int32(4) {
			cursors = append(cursors, &kmsg.DescribeTopicPartitionsRequestCursor{Topic: name, Partition: n - 1})
		}
	}
	for _, names := range [][]string{{"alpha"}, {"beta", "alpha", moved, "empty"}, {"empty", "gone", moved, "beta", "alpha"}, {"secret"}, {"alpha", "secret"}, {"a b"}} {
		for _, limit := range []int32{-1, 0, 1, 2, 3, 4, 5, 6, 2000, 1<<31 - 1} {
			for _, cursor := range cursors {
				out = append(out, every(kmsg.DescribeTopicPartitions, 0, func(_ *lane, _ int16, msg kmsg.Request) {
					m := msg.(*kmsg.DescribeTopicPartitionsRequest)
					m.ResponsePartitionLimit, m.Cursor = limit, cursor
					for _, name := range names {
						m.Topics = append(m.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
					}
				})...)
			}
		}
	}
	return out
}

// positions are those of topics that are, are not, and may not be seen, by name.
func positions() []edge {
	return every(kmsg.OffsetFetch, 1, func(l *lane, version int16, msg kmsg.Request) {
		m := msg.(*kmsg.OffsetFetchRequest)
		m.Group = "group"
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "group"
		for _, name := range []string{"alpha", "gone", hidden} {
			if version >= 10 && name != "alpha" {
				continue // has no id
			}
			m.Topics = append(m.Topics, kmsg.OffsetFetchRequestTopic{Topic: name, Partitions: []int32{0, 1}})
			g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: name, TopicID: l.topics[name], Partitions: []int32{0, 1}})
		}
		m.Groups = append(m.Groups, g)
	})
}

// strangers fetch topics by ids that no topic has.
func strangers() (out []edge) {
	type asked struct {
		id         [16]byte
		partitions []int32
	}
	for _, list := range [][]asked{
		{{[16]byte{}, []int32{0}}}, {{[16]byte{}, []int32{2, 1}}}, {{unknownID, []int32{0, 1}}},
		{{[16]byte{}, []int32{0}}, {unknownID, []int32{0}}}, {{[16]byte{}, []int32{0}}, {unknownID, []int32{1}}}, {{unknownID, []int32{0}}, {[16]byte{}, []int32{1}}},
	} {
		out = append(out, every(kmsg.Fetch, 13, func(_ *lane, _ int16, msg kmsg.Request) {
			m := msg.(*kmsg.FetchRequest)
			m.ReplicaID, m.MaxBytes, m.SessionEpoch = -1, 1<<20, -1
			for _, a := range list {
				t := kmsg.NewFetchRequestTopic()
				t.TopicID = a.id
				for _, n := range a.partitions {
					p := kmsg.NewFetchRequestTopicPartition()
					p.Partition, p.PartitionMaxBytes, p.CurrentLeaderEpoch = n, 1<<20, -1
					t.Partitions = append(t.Partitions, p)
				}
				m.Topics = append(m.Topics, t)
			}
		})...)
	}
	return out
}

// commits name topics that are, are not, and may not be seen, with partitions and without.
func commits() (out []edge) {
	for _, asked := range [][]int32{nil, {0, 99}} {
		for _, name := range []string{"alpha", moved, "gone", hidden} {
			out = append(out, every(kmsg.OffsetCommit, 2, func(l *lane, version int16, msg kmsg.Request) {
				m := msg.(*kmsg.OffsetCommitRequest)
				m.Group = "commits"
				t := kmsg.NewOffsetCommitRequestTopic()
				t.Topic, t.TopicID = name, l.topics[name]
				if version >= 10 && t.TopicID == [16]byte{} {
					t.TopicID = unknownID
				}
				for _, n := range asked {
					p := kmsg.NewOffsetCommitRequestTopicPartition()
					p.Partition, p.Offset = n, 1
					t.Partitions = append(t.Partitions, p)
				}
				m.Topics = append(m.Topics, t)
			})...)
			out = append(out, every(kmsg.TxnOffsetCommit, 0, func(_ *lane, _ int16, msg kmsg.Request) {
				m := msg.(*kmsg.TxnOffsetCommitRequest)
				m.TransactionalID, m.Group, m.ProducerID = "commits", "commits", -1
				t := kmsg.NewTxnOffsetCommitRequestTopic()
				t.Topic = name
				for _, n := range asked {
					p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
					p.Partition, p.Offset = n, 1
					t.Partitions = append(t.Partitions, p)
				}
				m.Topics = append(m.Topics, t)
			})...)
			for _, group := range []string{"commits", "gone"} {
				out = append(out, every(kmsg.OffsetDelete, 0, func(_ *lane, _ int16, msg kmsg.Request) {
					m := msg.(*kmsg.OffsetDeleteRequest)
					m.Group = group
					t := kmsg.NewOffsetDeleteRequestTopic()
					t.Topic = name
					for _, n := range asked {
						t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: n})
					}
					m.Topics = append(m.Topics, t)
				})...)
			}
		}
	}
	return out
}

// refusals are requests that brokers refuse, one way or another.
func refusals() (out []edge) {
	for _, software := range []string{"", "-a", "a-", ".", "a b", "a_b", "ü", "a-b.c"} {
		out = append(out, every(kmsg.ApiVersions, 0, func(_ *lane, _ int16, msg kmsg.Request) {
			m := msg.(*kmsg.ApiVersionsRequest)
			m.ClientSoftwareName, m.ClientSoftwareVersion = software, "1"
		})...)
	}
	out = append(out, every(kmsg.SASLHandshake, 0, func(_ *lane, _ int16, msg kmsg.Request) { msg.(*kmsg.SASLHandshakeRequest).Mechanism = "PLAIN" })...)
	out = append(out, every(kmsg.SASLAuthenticate, 0, func(_ *lane, _ int16, msg kmsg.Request) {
		msg.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes = []byte("\x00a\x00b")
	})...)
	for _, key := range []kmsg.Key{kmsg.DescribeACLs, kmsg.CreateACLs, kmsg.DeleteACLs} {
		for _, kind := range []kmsg.ACLResourceType{kmsg.ACLResourceTypeUnknown, kmsg.ACLResourceTypeTopic} {
			from := int16(1)
			if kind == kmsg.ACLResourceTypeUnknown { // costs connections
				from = 3
			}
			out = append(out, every(key, from, func(_ *lane, _ int16, msg kmsg.Request) {
				creation, filter := kmsg.NewCreateACLsRequestCreation(), kmsg.NewDeleteACLsRequestFilter()
				creation.ResourceType, creation.ResourceName, creation.ResourcePatternType, creation.Principal, creation.Host = kind, "a", kmsg.ACLResourcePatternTypeLiteral, "User:a", "*"
				creation.Operation, creation.PermissionType = kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
				filter.ResourceType, filter.ResourcePatternType, filter.Operation, filter.PermissionType = kind, kmsg.ACLResourcePatternTypeLiteral, kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
				switch m := msg.(type) {
				case *kmsg.DescribeACLsRequest:
					m.ResourceType, m.ResourcePatternType, m.Operation, m.PermissionType = kind, kmsg.ACLResourcePatternTypeLiteral, kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
				case *kmsg.CreateACLsRequest:
					m.Creations = append(m.Creations, creation)
				case *kmsg.DeleteACLsRequest:
					m.Filters = append(m.Filters, filter)
				}
			})...)
		}
	}
	for _, of := range [][2]int64{{-1, -1}, {-1, 0}, {5, -1}, {5, 0}} {
		out = append(out, every(kmsg.InitProducerID, 3, func(_ *lane, _ int16, msg kmsg.Request) {
			m := msg.(*kmsg.InitProducerIDRequest)
			m.ProducerID, m.ProducerEpoch, m.TransactionTimeoutMillis = of[0], int16(of[1]), 1000
		})...)
	}
	out = append(out, every(kmsg.DescribeConfigs, 1, func(l *lane, _ int16, msg kmsg.Request) {
		m := msg.(*kmsg.DescribeConfigsRequest)
		m.IncludeSynonyms = true
		for _, of := range []string{strconv.Itoa(int(l.node)), ""} {
			m.Resources = append(m.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: of})
		}
	})...)
	for _, names := range [][]string{{"alpha", "beta"}, {hidden, moved}, {moved, "gone"}} {
		for _, kind := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeUnknown, 99} {
			out = append(out, every(kmsg.DescribeConfigs, 1, func(_ *lane, _ int16, msg kmsg.Request) {
				m := msg.(*kmsg.DescribeConfigsRequest)
				m.Resources = []kmsg.DescribeConfigsRequestResource{
					{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: names[0]},
					{ResourceType: kind, ResourceName: "group"},
					{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: names[1]},
				}
			})...)
			out = append(out, every(kmsg.AlterConfigs, 0, func(_ *lane, _ int16, msg kmsg.Request) {
				m := msg.(*kmsg.AlterConfigsRequest)
				m.ValidateOnly = true
				m.Resources = []kmsg.AlterConfigsRequestResource{
					{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: names[0]},
					{ResourceType: kind, ResourceName: "group"},
					{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: names[1]},
				}
			})...)
			out = append(out, every(kmsg.IncrementalAlterConfigs, 0, func(_ *lane, _ int16, msg kmsg.Request) {
				m := msg.(*kmsg.IncrementalAlterConfigsRequest)
				m.ValidateOnly = true
				m.Resources = []kmsg.IncrementalAlterConfigsRequestResource{
					{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: names[0]},
					{ResourceType: kind, ResourceName: "group"},
					{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: names[1]},
				}
			})...)
		}
	}
	out = append(out, every(kmsg.ListOffsets, 4, func(_ *lane, _ int16, msg kmsg.Request) {
		m := msg.(*kmsg.ListOffsetsRequest)
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = -9
		m.ReplicaID = -1
		m.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: hidden, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	})...)
	return append(out, func(l *lane) kmsg.Request { // of two topics, the second with another home where there are two clusters
		m := kmsg.NewPtrAddPartitionsToTxnRequest()
		m.TransactionalID, m.ProducerID = l.mine("@-tx"), 1
		for _, name := range []string{"@-a", "@-b"} {
			m.Topics = append(m.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: l.mine(name), Partitions: []int32{0}})
		}
		return m
	})
}

// produces write to one topic, and name others without partitions before it and behind it.
func produces() (out []edge) {
	for _, name := range []string{"", "gone", "alpha", hidden, moved} {
		for _, at := range []int{-1, 0, 1} { // where the topic is that is written to; -1: none
			out = append(out, every(kmsg.Produce, 3, func(l *lane, _ int16, msg kmsg.Request) {
				m := msg.(*kmsg.ProduceRequest)
				m.Acks, m.TimeoutMillis = -1, 5000
				for i := range 3 {
					t := kmsg.NewProduceRequestTopic()
					switch i {
					case at:
						p := kmsg.NewProduceRequestTopicPartition()
						p.Records = batchOf(-1, -1, -1, false)
						t.Topic = l.mine("@-a")
						t.Partitions = append(t.Partitions, p)
					case 2:
						t.Topic = "beta"
					default:
						t.Topic = name
					}
					if t.TopicID = l.topics[t.Topic]; t.TopicID == [16]byte{} {
						t.TopicID = unknownID
					}
					m.Topics = append(m.Topics, t)
				}
			})...)
		}
	}
	return out
}

// noRecords is a produce with a partition without records.
func noRecords(*lane) kmsg.Request {
	m := kmsg.NewPtrProduceRequest()
	t, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	t.Topic, t.Partitions = "alpha", append(t.Partitions, p)
	m.Acks, m.TimeoutMillis, m.Topics = -1, 1000, append(m.Topics, t)
	m.SetVersion(9)
	return m
}
