package topics

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
)

// response turns every name and id of a message back and drops what clients may not see.
func (n *names) response(ctx context.Context, msg kmsg.Response) error {
	switch m := msg.(type) {
	case *kmsg.MetadataResponse:
		return n.metadata(ctx, m)
	case *kmsg.DescribeTopicPartitionsResponse:
		return n.describeTopicPartitions(ctx, m)
	case *kmsg.CreateTopicsResponse:
		return n.createTopics(ctx, m)
	case *kmsg.FindCoordinatorResponse:
		for i := range m.Coordinators {
			m.Coordinators[i].Key = strings.TrimPrefix(m.Coordinators[i].Key, n.cfg.Prefix)
		}
		return nil
	case *kmsg.ListGroupsResponse:
		m.Groups = slices.DeleteFunc(m.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return !strings.HasPrefix(g.Group, n.cfg.Prefix) })
	case *kmsg.ListTransactionsResponse:
		m.TransactionStates = slices.DeleteFunc(m.TransactionStates, func(t kmsg.ListTransactionsResponseTransactionState) bool {
			return !strings.HasPrefix(t.TransactionalID, n.cfg.Prefix)
		})
	case *kmsg.DescribeConfigsResponse:
		for i := range m.Resources {
			n.resourceBack(m.Resources[i].ResourceType, &m.Resources[i].ResourceName)
		}
	case *kmsg.AlterConfigsResponse:
		for i := range m.Resources {
			n.resourceBack(m.Resources[i].ResourceType, &m.Resources[i].ResourceName)
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for i := range m.Resources {
			n.resourceBack(m.Resources[i].ResourceType, &m.Resources[i].ResourceName)
		}
	case *kmsg.ListConfigResourcesResponse:
		m.ConfigResources = slices.DeleteFunc(m.ConfigResources, func(r kmsg.ListConfigResourcesResponseConfigResource) bool {
			switch kmsg.ConfigResourceType(r.Type) {
			case kmsg.ConfigResourceTypeTopic:
				_, _, ok := n.virtual(r.Name)
				return !ok
			case kmsg.ConfigResourceTypeGroupConfig:
				return !strings.HasPrefix(r.Name, n.cfg.Prefix)
			}
			return false
		})
		for i := range m.ConfigResources {
			n.resourceBack(kmsg.ConfigResourceType(m.ConfigResources[i].Type), &m.ConfigResources[i].Name)
		}
	case *kmsg.DeleteTopicsResponse:
		for i := range m.Topics {
			if t := &m.Topics[i]; t.Topic != nil {
				if known, name, ok := n.virtual(*t.Topic); ok {
					t.Topic, t.TopicID = &name, [16]byte{}
					if known != nil {
						t.TopicID = known.ID
					}
				}
			}
		}
		return nil
	}
	up(reflect.ValueOf(msg).Elem(), n)
	return nil
}

func (n *names) resourceBack(kind kmsg.ConfigResourceType, name *string) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		if _, v, ok := n.virtual(*name); ok {
			*name = v
		}
	case kmsg.ConfigResourceTypeGroupConfig:
		*name = strings.TrimPrefix(*name, n.cfg.Prefix)
	}
}

// metadata makes the catalog know what the cluster shows, and shows virtual names and ids.
func (n *names) metadata(ctx context.Context, m *kmsg.MetadataResponse) error {
	var seen []catalog.Seen
	kept := m.Topics[:0]
	for _, t := range m.Topics {
		if t.Topic == nil {
			kept = append(kept, t)
			continue
		}
		_, name, ok := n.virtual(*t.Topic)
		if !ok {
			continue
		}
		t.Topic = &name
		if t.ErrorCode == 0 {
			seen = append(seen, catalog.Seen{Name: name, Cluster: n.cluster.Name(), ID: t.TopicID, Partitions: len(t.Partitions)})
		}
		kept = append(kept, t)
	}
	m.Topics = kept
	if err := n.env.Catalog.Ensure(ctx, seen...); err != nil {
		return err
	}
	for i := range m.Topics {
		n.shownID(m.Topics[i].Topic, &m.Topics[i].TopicID)
	}
	return nil
}

func (n *names) describeTopicPartitions(ctx context.Context, m *kmsg.DescribeTopicPartitionsResponse) error {
	var seen []catalog.Seen
	kept := m.Topics[:0]
	for _, t := range m.Topics {
		if t.Topic != nil {
			_, name, ok := n.virtual(*t.Topic)
			if !ok {
				continue
			}
			t.Topic = &name
			if t.ErrorCode == 0 && m.NextCursor == nil {
				seen = append(seen, catalog.Seen{Name: name, Cluster: n.cluster.Name(), ID: t.TopicID, Partitions: len(t.Partitions)})
			}
		}
		kept = append(kept, t)
	}
	m.Topics = kept
	if c := m.NextCursor; c != nil {
		_, name, ok := n.virtual(c.Topic)
		if c.Topic = name; !ok {
			m.NextCursor = nil
		}
	}
	if err := n.env.Catalog.Ensure(ctx, seen...); err != nil {
		return err
	}
	for i := range m.Topics {
		n.shownID(m.Topics[i].Topic, &m.Topics[i].TopicID)
	}
	return nil
}

// shownID turns the id of a topic, by its virtual name, into the virtual one. A topic that the cluster gives no id has none.
func (n *names) shownID(name *string, id *[16]byte) {
	shown := [16]byte{}
	if name != nil && *id != shown {
		if known := n.env.Catalog.Topic(*name); known != nil {
			shown = known.ID
		}
	}
	*id = shown
}

func (n *names) createTopics(ctx context.Context, m *kmsg.CreateTopicsResponse) error {
	var seen []catalog.Seen
	for i := range m.Topics {
		t := &m.Topics[i]
		if _, name, ok := n.virtual(t.Topic); ok {
			t.Topic = name
			if t.ErrorCode == 0 && t.NumPartitions > 0 && t.TopicID != ([16]byte{}) {
				seen = append(seen, catalog.Seen{Name: name, Cluster: n.cluster.Name(), ID: t.TopicID, Partitions: int(t.NumPartitions)})
			}
		}
	}
	if err := n.env.Catalog.Ensure(ctx, seen...); err != nil {
		return err
	}
	for i := range m.Topics {
		t := &m.Topics[i]
		t.TopicID = [16]byte{}
		if known := n.env.Catalog.Topic(t.Topic); known != nil && t.ErrorCode == 0 {
			t.TopicID = known.ID
		}
	}
	return nil
}

// up walks a response and turns names and ids back. Items of hidden topics are dropped.
func up(v reflect.Value, n *names) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Elem().Kind() == reflect.Struct {
			up(v.Elem(), n)
		}
		return
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return
		}
		kept := 0
		for i := range v.Len() {
			if hidden(v.Index(i), n) {
				continue
			}
			up(v.Index(i), n)
			if kept != i {
				v.Index(kept).Set(v.Index(i))
			}
			kept++
		}
		v.SetLen(kept)
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
				if _, name, ok := n.virtual(s); ok {
					return name
				}
				return s
			})
		case "TopicID":
			if id, ok := f.Addr().Interface().(*[16]byte); ok && *id != ([16]byte{}) {
				*id = n.virtualID(*id)
			}
		case "Group", "GroupID", "TransactionalID":
			text(f, func(s string) string { return strings.TrimPrefix(s, n.cfg.Prefix) })
		case "SubscribedTopics":
			if l, ok := f.Interface().([]string); ok {
				for i := range l {
					if _, name, ok := n.virtual(l[i]); ok {
						l[i] = name
					}
				}
			}
		default:
			up(f, n)
		}
	}
}

// hidden reports an item of a topic that clients may not see.
func hidden(item reflect.Value, n *names) bool {
	f := item.FieldByName("Topic")
	if !f.IsValid() {
		return false
	}
	hide := false
	text(f, func(s string) string {
		if s != "" {
			_, _, ok := n.virtual(s)
			hide = !ok
		}
		return s
	})
	return hide
}
