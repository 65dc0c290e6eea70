package topics

import (
	"fmt"
	"reflect"
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// request turns every name and id of a message into the cluster's.
func (n *names) request(msg kmsg.Request) error {
	switch m := msg.(type) {
	case *kmsg.MetadataRequest:
		// Brokers drop the name entries of a request that mixes them with ids: ask by name alone.
		for i := range m.Topics {
			if known := n.env.Catalog.ByID(m.Topics[i].TopicID); known != nil {
				m.Topics[i].Topic = &known.Name
			}
			m.Topics[i].TopicID = [16]byte{}
		}
	case *kmsg.DeleteTopicsRequest:
		for i := range m.Topics {
			if known := n.env.Catalog.ByID(m.Topics[i].TopicID); known != nil {
				m.Topics[i].Topic = &known.Name
			}
			m.Topics[i].TopicID = [16]byte{}
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
		return nil
	case *kmsg.DescribeConfigsRequest:
		for i := range m.Resources {
			n.resource(m.Resources[i].ResourceType, &m.Resources[i].ResourceName)
		}
	case *kmsg.AlterConfigsRequest:
		for i := range m.Resources {
			n.resource(m.Resources[i].ResourceType, &m.Resources[i].ResourceName)
		}
	case *kmsg.IncrementalAlterConfigsRequest:
		for i := range m.Resources {
			n.resource(m.Resources[i].ResourceType, &m.Resources[i].ResourceName)
		}
	case *kmsg.ConsumerGroupHeartbeatRequest:
		if err := n.subscription(m); err != nil {
			return err
		}
	case *kmsg.ListTransactionsRequest:
		return nil
	}
	down(reflect.ValueOf(msg).Elem(), n)
	return nil
}

// subscription translates the topics that a KIP-848 member subscribes to. A regular expression is
// matched by the broker against physical names: where names differ it is resolved here.
func (n *names) subscription(m *kmsg.ConsumerGroupHeartbeatRequest) error {
	if m.SubscribedTopicRegex != nil && *m.SubscribedTopicRegex != "" && n.cfg.Prefix != "" {
		re, err := regexp.Compile("^(?:" + *m.SubscribedTopicRegex + ")$")
		if err != nil {
			return fmt.Errorf("subscription: %w", err)
		}
		for _, t := range n.env.Catalog.Topics() {
			if re.MatchString(t.Name) {
				m.SubscribedTopicNames = append(m.SubscribedTopicNames, t.Name)
			}
		}
		empty := ""
		m.SubscribedTopicRegex = &empty
	}
	for i := range m.SubscribedTopicNames {
		m.SubscribedTopicNames[i] = n.physical(m.SubscribedTopicNames[i])
	}
	return nil
}

func (n *names) resource(kind kmsg.ConfigResourceType, name *string) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		*name = n.physical(*name)
	case kmsg.ConfigResourceTypeGroupConfig:
		*name = n.group(*name)
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
			if id, ok := f.Addr().Interface().(*[16]byte); ok && *id != ([16]byte{}) {
				*id = n.physicalID(*id)
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
