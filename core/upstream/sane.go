package upstream

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// What a cluster says of itself is believed up to these; Kafka's own limits lie far below.
const (
	mostBrokers = 10_000
	mostTopics  = 1_000_000
)

// sane looks at what a response says of its cluster as a whole: numbers that are indexes are dense
// and bounded, ids are in range and stand once, addresses can be dialled. Nobody acts on a response
// that says nonsense. An error is a *kafka.MalformedError.
func sane(msg kmsg.Response) error {
	var err error
	switch m := msg.(type) {
	case *kmsg.MetadataResponse:
		err = saneMetadata(m)
	case *kmsg.DescribeClusterResponse:
		err = saneCluster(m)
	case *kmsg.FindCoordinatorResponse:
		err = saneCoordinators(m)
	case *kmsg.DescribeTopicPartitionsResponse:
		err = saneTopicPartitions(m)
	case *kmsg.ApiVersionsResponse:
		err = saneVersions(m)
	case *kmsg.ConsumerGroupHeartbeatResponse:
		err = saneAssignment(m)
	case *kmsg.ShareFetchResponse:
		err = saneNumber("brokers", len(m.NodeEndpoints), mostBrokers)
	case *kmsg.ShareAcknowledgeResponse:
		err = saneNumber("brokers", len(m.NodeEndpoints), mostBrokers)
	}
	if err != nil {
		return &kafka.MalformedError{Key: kmsg.Key(msg.Key()), Version: msg.GetVersion(), Response: true, Err: err}
	}
	return nil
}

// saneControl is sane for a response to a request of the gateway's own, of any API: whoever asked
// uses the numbers of its partitions as indexes.
func saneControl(msg kmsg.Response) error {
	if err := sane(msg); err != nil {
		return err
	}
	v := reflect.ValueOf(msg).Elem()
	if err := numbersIn(v.Type()).sane(v); err != nil {
		return &kafka.MalformedError{Key: kmsg.Key(msg.Key()), Version: msg.GetVersion(), Response: true, Err: err}
	}
	return nil
}

// numbers says where in a message partitions stand, so that large answers are not searched for them
// field by field.
type numbers struct {
	partition int // the field, -1: none
	inside    []numbersInside
}

type numbersInside struct {
	field int
	list  bool
	of    *numbers
}

var numbersOf sync.Map // reflect.Type -> *numbers

// numbersIn is what a type of structs has; lists of anything but structs are of assignments, and
// nobody's index.
func numbersIn(t reflect.Type) *numbers {
	if known, ok := numbersOf.Load(t); ok {
		return known.(*numbers)
	}
	n := &numbers{partition: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		of, list := f.Type, f.Type.Kind() == reflect.Slice
		if list {
			of = of.Elem()
		}
		if f.Type.Kind() == reflect.Int32 && f.Name == "Partition" {
			n.partition = i
		}
		if of.Kind() != reflect.Struct {
			continue
		}
		if in := numbersIn(of); in.partition >= 0 || len(in.inside) > 0 {
			n.inside = append(n.inside, numbersInside{i, list, in})
		}
	}
	numbersOf.Store(t, n)
	return n
}

// sane looks at the partitions at every place of a message.
func (n *numbers) sane(v reflect.Value) error {
	if n.partition >= 0 {
		if p := v.Field(n.partition).Int(); p < 0 || p >= catalog.MostPartitions {
			return fmt.Errorf("partition %d", p)
		}
	}
	for _, in := range n.inside {
		f := v.Field(in.field)
		if !in.list {
			if err := in.of.sane(f); err != nil {
				return err
			}
			continue
		}
		for i := range f.Len() {
			if err := in.of.sane(f.Index(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuse counts a response that is no message, or says nonsense, and logs how it begins.
func (c *Cluster) refuse(err error, body []byte) {
	c.refused.Add(1)
	c.log.Warn("a broker's response is refused, and what it is about stays as it was known", "error", err, "bytes", len(body), "begins", hex.EncodeToString(body[:min(len(body), 48)]))
}

// Refused is how many responses of brokers were refused since they were no messages or said
// nonsense.
func (c *Cluster) Refused() int64 { return c.refused.Load() }

func saneNumber(what string, n, most int) error {
	if n > most {
		return fmt.Errorf("%d %s, at most %d", n, what, most)
	}
	return nil
}

// seen says what stands twice.
type seen[K comparable] map[K]struct{}

func (s seen[K]) twice(k K) bool {
	n := len(s)
	s[k] = struct{}{}
	return len(s) == n
}

// saneBroker checks one of a list of brokers.
func saneBroker(ids seen[int32], id int32, host string, port int32) error {
	switch {
	case id < 0:
		return fmt.Errorf("a broker has the id %d", id)
	case ids.twice(id):
		return fmt.Errorf("broker %d stands twice", id)
	}
	return saneAddress(host, port)
}

func saneAddress(host string, port int32) error {
	strange := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._:%-", r)
	}
	if host == "" || len(host) > 255 || strings.ContainsFunc(host, strange) || port < 1 || port > 65535 {
		return fmt.Errorf("the address of a broker is %.100q, port %d", host, port)
	}
	return nil
}

func saneMetadata(m *kmsg.MetadataResponse) error {
	err := errors.Join(saneNumber("brokers", len(m.Brokers), mostBrokers), saneNumber("topics", len(m.Topics), mostTopics))
	if err != nil {
		return err
	}
	nodes := seen[int32]{}
	for i := range m.Brokers {
		if err := saneBroker(nodes, m.Brokers[i].NodeID, m.Brokers[i].Host, m.Brokers[i].Port); err != nil {
			return err
		}
	}
	if kafka.Has(kmsg.Metadata, m.Version, kafka.ControllerAndInternal) && m.ControllerID < -1 {
		return fmt.Errorf("the controller is %d", m.ControllerID)
	}
	names, ids := seen[string]{}, seen[[16]byte]{}
	for i := range m.Topics {
		t := &m.Topics[i]
		if t.ErrorCode != 0 && len(t.Partitions) == 0 { // it may quote what the client asked for
			continue
		}
		switch {
		case t.Topic == nil || !validTopic(*t.Topic):
			return errors.New("a topic has no name that Kafka allows")
		case names.twice(*t.Topic):
			return fmt.Errorf("topic %s stands twice", *t.Topic)
		case t.TopicID != [16]byte{} && ids.twice(t.TopicID):
			return fmt.Errorf("the id of topic %s stands twice", *t.Topic)
		}
		if err := sanePartitions(t); err != nil {
			return fmt.Errorf("topic %s: %w", *t.Topic, err)
		}
	}
	return nil
}

// validTopic is Kafka's rule for names of topics.
func validTopic(name string) bool {
	strange := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}
	return name != "" && name != "." && name != ".." && len(name) <= 249 && !strings.ContainsFunc(name, strange)
}

// sanePartitions checks that the partitions of a topic are all from 0 on, in any order.
func sanePartitions(t *kmsg.MetadataResponseTopic) error {
	if err := saneNumber("partitions", len(t.Partitions), catalog.MostPartitions); err != nil {
		return err
	}
	there := make([]bool, len(t.Partitions))
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if p.Partition < 0 || int(p.Partition) >= len(there) || there[p.Partition] {
			return fmt.Errorf("partition %d of %d, or twice", p.Partition, len(there))
		}
		there[p.Partition] = true
		if err := saneLeader(p.Leader, p.LeaderEpoch, p.Replicas, p.ISR, p.OfflineReplicas); err != nil {
			return fmt.Errorf("partition %d: %w", p.Partition, err)
		}
	}
	return nil
}

func saneLeader(leader, epoch int32, replicas ...[]int32) error {
	if leader < -1 || epoch < -1 {
		return fmt.Errorf("leader %d, epoch %d", leader, epoch)
	}
	for _, list := range replicas {
		if err := saneNumber("replicas", len(list), mostBrokers); err != nil {
			return err
		}
		for _, id := range list {
			if id < -1 {
				return fmt.Errorf("replica %d", id)
			}
		}
	}
	return nil
}

func saneCluster(m *kmsg.DescribeClusterResponse) error {
	if err := saneNumber("brokers", len(m.Brokers), mostBrokers); err != nil || m.ErrorCode != 0 {
		return err
	}
	nodes := seen[int32]{}
	for i := range m.Brokers {
		if err := saneBroker(nodes, m.Brokers[i].NodeID, m.Brokers[i].Host, m.Brokers[i].Port); err != nil {
			return err
		}
	}
	return nil
}

func saneCoordinators(m *kmsg.FindCoordinatorResponse) error {
	if !kafka.Has(kmsg.FindCoordinator, m.Version, kafka.Batched) {
		if m.ErrorCode == 0 {
			return saneCoordinator(m.NodeID)
		}
		return nil
	}
	for i := range m.Coordinators {
		if k := &m.Coordinators[i]; k.ErrorCode == 0 {
			if err := saneCoordinator(k.NodeID); err != nil {
				return err
			}
		}
	}
	return nil
}

// saneCoordinator checks the id alone: the address is that of the virtual node for clients, and the
// one in the metadata for us.
func saneCoordinator(id int32) error {
	if id < 0 {
		return fmt.Errorf("the coordinator is broker %d", id)
	}
	return nil
}

// saneTopicPartitions checks a page of partitions, which need not begin with 0.
func saneTopicPartitions(m *kmsg.DescribeTopicPartitionsResponse) error {
	for i := range m.Topics {
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			if p.Partition < 0 || p.Partition >= catalog.MostPartitions {
				return fmt.Errorf("partition %d is out of range", p.Partition)
			}
			if err := saneLeader(p.LeaderID, p.LeaderEpoch, p.Replicas, p.ISR, p.EligibleLeaderReplicas, p.LastKnownELR, p.OfflineReplicas); err != nil {
				return fmt.Errorf("partition %d: %w", p.Partition, err)
			}
		}
	}
	return nil
}

func saneVersions(m *kmsg.ApiVersionsResponse) error {
	keys := seen[int16]{}
	for _, k := range m.ApiKeys {
		switch {
		case k.MinVersion < 0 || k.MaxVersion < k.MinVersion:
			return fmt.Errorf("API %d has versions %d to %d", k.ApiKey, k.MinVersion, k.MaxVersion)
		case keys.twice(k.ApiKey):
			return fmt.Errorf("API %d stands twice", k.ApiKey)
		}
	}
	return nil
}

func saneAssignment(m *kmsg.ConsumerGroupHeartbeatResponse) error {
	if m.Assignment == nil {
		return nil
	}
	for _, t := range m.Assignment.Topics {
		for _, p := range t.Partitions {
			if p < 0 || p >= catalog.MostPartitions {
				return fmt.Errorf("partition %d is assigned", p)
			}
		}
	}
	return nil
}
