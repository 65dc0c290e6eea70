package topics

import (
	"reflect"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// request turns every name and id of a message into the cluster's.
func (n *names) request(msg kmsg.Request) {
	switch m := msg.(type) {
	case *kmsg.MetadataRequest:
		n.metadataByName(m)
	case *kmsg.DeleteTopicsRequest:
		for i := range m.Topics {
			if known := n.env.Catalog.ByID(m.Topics[i].TopicID); known != nil {
				m.Topics[i].Topic, m.Topics[i].TopicID = &known.Name, topicID{}
			}
		}
		for i := range m.TopicNames {
			m.TopicNames[i] = n.physical(m.TopicNames[i])
		}
	case *kmsg.DescribeTopicPartitionsRequest:
		// All topics are those that clients may see: a cursor must not stand at another one.
		var all []kmsg.DescribeTopicPartitionsRequestTopic
		for _, known := range n.env.Catalog.Topics() {
			if len(m.Topics) == 0 && known.Home == n.cluster.Name() && !n.Hides(known.Name) {
				all = append(all, kmsg.DescribeTopicPartitionsRequestTopic{Topic: known.Name})
			}
		}
		m.Topics = append(m.Topics, all...)
	case *kmsg.FindCoordinatorRequest:
		own := n.group
		if m.CoordinatorType == kafka.TransactionCoordinator {
			own = n.transaction
		}
		m.CoordinatorKey = own(m.CoordinatorKey)
		for i := range m.CoordinatorKeys {
			m.CoordinatorKeys[i] = own(m.CoordinatorKeys[i])
		}
		return
	case *kmsg.DescribeConfigsRequest:
		for i := range m.Resources {
			n.resource(m.Resources[i].ResourceType, &m.Resources[i].ResourceName)
		}
	case *kmsg.AlterConfigsRequest:
		for i := range m.Resources {
			r := &m.Resources[i]
			n.resource(r.ResourceType, &r.ResourceName)
			for j := range r.Configs {
				setting(r.ResourceType, r.Configs[j].Name, &r.Configs[j].Value, n.physical)
			}
		}
	case *kmsg.IncrementalAlterConfigsRequest:
		for i := range m.Resources {
			r := &m.Resources[i]
			n.resource(r.ResourceType, &r.ResourceName)
			for j := range r.Configs {
				setting(r.ResourceType, r.Configs[j].Name, &r.Configs[j].Value, n.physical)
			}
		}
	case *kmsg.ConsumerGroupHeartbeatRequest:
		n.subscription(m)
		if m.MemberEpoch == 0 {
			break // who joins owns nothing, or is refused
		}
		// What it owns of a topic that is gone, it will be told to give up.
		m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.ConsumerGroupHeartbeatRequestTopic) bool {
			_, ok := n.onCluster(t.TopicID)
			return !ok
		})
	case *kmsg.ShareGroupHeartbeatRequest:
		for i := range m.SubscribedTopicNames {
			m.SubscribedTopicNames[i] = n.physical(m.SubscribedTopicNames[i])
		}
	case *kmsg.CreateTopicsRequest:
		n.dry = m.ValidateOnly
	case *kmsg.ListTransactionsRequest:
		m.TransactionalIDPattern = n.pattern(m.TransactionalIDPattern)
		return
	}
	n.members(msg)
	down(reflect.ValueOf(msg).Elem(), n)
}

// metadataByName asks by name alone: brokers drop the names of a request that has ids as well. Ids
// that nobody knows are answered here.
func (n *names) metadataByName(m *kmsg.MetadataRequest) {
	m.Topics = slices.DeleteFunc(m.Topics, func(t kmsg.MetadataRequestTopic) bool {
		if t.TopicID == (topicID{}) || n.env.Catalog.ByID(t.TopicID) != nil {
			return false
		}
		rt := kmsg.NewMetadataResponseTopic()
		rt.TopicID, rt.ErrorCode = t.TopicID, int16(kafka.UnknownTopicID)
		n.unknown = append(n.unknown, rt)
		return true
	})
	for i := range m.Topics {
		if known := n.env.Catalog.ByID(m.Topics[i].TopicID); known != nil {
			m.Topics[i].Topic, m.Topics[i].TopicID = &known.Name, topicID{}
		}
	}
}

func (n *names) resource(kind kmsg.ConfigResourceType, name *string) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		*name = n.physical(*name)
	case kmsg.ConfigResourceTypeGroupConfig:
		*name = n.group(*name)
	}
}

// setting gives the topic that the value of a setting names another name.
func setting(kind kmsg.ConfigResourceType, name string, value **string, to func(string) string) {
	if *value != nil && **value != "" && kafka.ConfigValueOf(kind, name) == kafka.TopicName {
		topic := to(**value)
		*value = &topic
	}
}

// down walks a request and turns the fields that Kafka's schemas name alike in all APIs.
func down(v reflect.Value, n *names) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Elem().Kind() == reflect.Struct {
			down(v.Elem(), n)
		}
		return
	case reflect.Slice:
		if k := v.Type().Elem().Kind(); k == reflect.Struct {
			for i := range v.Len() {
				down(v.Index(i), n)
			}
		}
		return
	case reflect.Struct:
	default:
		return
	}
	for i := range v.NumField() {
		f := v.Field(i)
		switch v.Type().Field(i).Name {
		case "Topic":
			text(f, func(s string) string {
				if s == "" {
					return s
				}
				return n.physical(s)
			})
		case "TopicID":
			if id, ok := f.Addr().Interface().(*topicID); ok {
				*id = n.asks(*id)
			}
		case "Group", "GroupID":
			text(f, n.group)
		case "TransactionalID", "TransactionID":
			text(f, n.transaction)
		case "Groups", "GroupIDs":
			each(f, n, n.group)
		case "TransactionalIDs":
			each(f, n, n.transaction)
		default:
			down(f, n)
		}
	}
}

// each changes a list of texts, or goes down one of something else.
func each(f reflect.Value, n *names, change func(string) string) {
	l, ok := f.Interface().([]string)
	if !ok {
		down(f, n)
	}
	for i := range l {
		l[i] = change(l[i])
	}
}

// text changes a text or an optional one.
func text(f reflect.Value, change func(string) string) {
	switch p := f.Addr().Interface().(type) {
	case *string:
		*p = change(*p)
	case **string:
		if *p != nil {
			s := change(**p)
			*p = &s
		}
	}
}
