package topics

import (
	"context"
	"github.com/sluice-gateway/sluice/core/kafka"
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
	case *kmsg.ConsumerGroupHeartbeatResponse:
		n.assignment(m)
		return nil
	case *kmsg.ShareGroupHeartbeatResponse:
		n.shareAssignment(m)
		return nil
	case *kmsg.ListGroupsResponse:
		m.Groups = slices.DeleteFunc(m.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return !strings.HasPrefix(g.Group, n.cfg.Prefix) })
	case *kmsg.ListTransactionsResponse:
		m.TransactionStates = slices.DeleteFunc(m.TransactionStates, func(t kmsg.ListTransactionsResponseTransactionState) bool {
			return !strings.HasPrefix(t.TransactionalID, n.cfg.Prefix)
		})
	case *kmsg.DescribeConfigsResponse:
		for i := range m.Resources {
			r := &m.Resources[i]
			was := r.ResourceName
			n.resourceBack(r.ResourceType, &r.ResourceName)
			quote(reflect.ValueOf(r).Elem(), was, r.ResourceName)
			for j := range r.Configs {
				setting(r.ResourceType, r.Configs[j].Name, &r.Configs[j].Value, n.memberTopic)
			}
		}
	case *kmsg.AlterConfigsResponse:
		for i := range m.Resources {
			r := &m.Resources[i]
			was := r.ResourceName
			n.resourceBack(r.ResourceType, &r.ResourceName)
			quote(reflect.ValueOf(r).Elem(), was, r.ResourceName)
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for i := range m.Resources {
			r := &m.Resources[i]
			was := r.ResourceName
			n.resourceBack(r.ResourceType, &r.ResourceName)
			quote(reflect.ValueOf(r).Elem(), was, r.ResourceName)
		}
	case *kmsg.ListConfigResourcesResponse:
		m.ConfigResources = slices.DeleteFunc(m.ConfigResources, func(r kmsg.ListConfigResourcesResponseConfigResource) bool {
			switch kmsg.ConfigResourceType(r.Type) {
			case kmsg.ConfigResourceTypeTopic:
				_, _, ok := n.virtual(r.Name)
				return !ok
			case kmsg.ConfigResourceTypeGroupConfig:
				return !strings.HasPrefix(r.Name, n.cfg.Prefix)
			case kmsg.ConfigResourceTypeClientMetrics:
				return n.cfg.Prefix != "" // of everybody's clients
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
					quote(reflect.ValueOf(t).Elem(), *t.Topic, name)
					t.Topic, t.TopicID = &name, [16]byte{}
					if known != nil {
						t.TopicID = known.ID
					}
				}
			} else if id, ok := n.asked[t.TopicID]; ok {
				t.TopicID = id
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

// assignment translates the topics of a member's partitions (KIP-848). What clients may not see is
// left out: a client asks for the metadata of an id that it does not know until it is told. One
// that no broker tells the name of yet is another matter, since the coordinator says what a member
// is to have but once: the member has to ask again for all of it.
func (n *names) assignment(m *kmsg.ConsumerGroupHeartbeatResponse) {
	if m.Assignment == nil {
		return
	}
	if !assigned(n, &m.Assignment.Topics, func(t *kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic) *topicID { return &t.TopicID }) {
		m.ErrorCode, m.Assignment = int16(kafka.NotCoordinator), nil
	}
}

// assigned translates the topics of an assignment; false if no broker tells the name of one.
func assigned[T any](n *names, all *[]T, id func(*T) *topicID) bool {
	kept := []T{}
	for _, t := range *all {
		virtual, found := n.virtualID(*id(&t), resolveWait)
		if !found {
			return false
		}
		if virtual != (topicID{}) {
			*id(&t) = virtual
			kept = append(kept, t)
		}
	}
	*all = kept
	return true
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
	m.Topics = append(kept, n.unknown...)
	if err := n.env.Catalog.Ensure(ctx, seen...); err != nil {
		return err
	}
	for i := range m.Topics {
		if m.Topics[i].Topic == nil {
			continue // asked for by an id that nobody knows
		}
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
			if t.ErrorCode == 0 && t.TopicID != (topicID{}) { // there may be more partitions on another page: it grows when they are seen
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

// shownID turns the id of a topic, by its virtual name, into the virtual one. A topic that the
// cluster gives no id has none.
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
			quote(reflect.ValueOf(t).Elem(), t.Topic, name)
			t.Topic = name
			if t.ErrorCode == 0 && !n.dry && t.NumPartitions > 0 && t.TopicID != ([16]byte{}) {
				seen = append(seen, catalog.Seen{Name: name, Cluster: n.cluster.Name(), ID: t.TopicID, Partitions: int(t.NumPartitions)})
			}
		}
	}
	if err := n.env.Catalog.Ensure(ctx, seen...); err != nil {
		return err
	}
	for i := range m.Topics {
		t := &m.Topics[i]
		known := n.env.Catalog.Topic(t.Topic)
		switch {
		case t.ErrorCode != 0:
			t.TopicID = topicID{}
		case known != nil && !n.dry:
			t.TopicID = known.ID
		case t.TopicID != (topicID{}): // nobody's, as a broker's is that only says that it would work
			t.TopicID = n.stranger(t.TopicID)
		}
	}
	return nil
}

// up walks a response and turns names and ids back. Items of topics that clients may not see, or
// that are no more, are dropped.
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
			if !identify(v.Index(i), n) {
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
		case "Topic", "TopicID": // of an item, which is identified
		case "SubscribedTopicRegex":
			if p, ok := f.Addr().Interface().(**string); ok {
				*p = n.patternBack(*p)
			}
		case "Group", "GroupID", "TransactionalID":
			text(f, func(s string) string { return strings.TrimPrefix(s, n.cfg.Prefix) })
		case "SubscribedTopics", "SubscribedTopicNames":
			if l, ok := f.Interface().([]string); ok {
				kept := l[:0]
				for _, s := range l {
					if _, name, ok := n.virtual(s); ok {
						kept = append(kept, name)
					}
				}
				f.Set(reflect.ValueOf(kept))
			}
		default:
			up(f, n)
		}
	}
}

// quote changes a name where the messages of an item quote it.
func quote(item reflect.Value, was, now string) {
	if was == now || was == "" {
		return
	}
	for i := range item.NumField() {
		f := item.Field(i)
		if text, ok := f.Addr().Interface().(**string); ok && item.Type().Field(i).Name == "ErrorMessage" && *text != nil {
			said := strings.ReplaceAll(**text, was, now)
			*text = &said
		}
		if f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct {
			for j := range f.Len() {
				quote(f.Index(j), was, now)
			}
		}
	}
}

// identify gives an item its topic's name and id for clients, and reports whether they may see it.
func identify(item reflect.Value, n *names) bool {
	var known *catalog.Topic
	shown := true
	if f := item.FieldByName("Topic"); f.IsValid() {
		text(f, func(s string) string {
			if s == "" {
				return s
			}
			was := s
			if known, s, shown = n.virtual(s); shown {
				quote(item, was, s)
			}
			return s
		})
	}
	for _, name := range []string{"Group", "GroupID"} {
		if f := item.FieldByName(name); f.IsValid() && f.Kind() == reflect.String {
			quote(item, f.String(), strings.TrimPrefix(f.String(), n.cfg.Prefix))
		}
	}
	f := item.FieldByName("TopicID")
	if !shown || !f.IsValid() {
		return shown
	}
	id, ok := f.Addr().Interface().(*topicID)
	if !ok || *id == (topicID{}) { // a version without ids
		return true
	}
	if known != nil {
		*id = known.ID
		return true
	}
	*id, _ = n.virtualID(*id, 0)
	return *id != (topicID{})
}
