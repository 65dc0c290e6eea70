package fork

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// Part names one partition of a request: by Topic or, in versions that carry ids, by ID.
type Part struct {
	Topic     string
	ID        [16]byte
	Partition int32
}

// branchWait is how long, in milliseconds, a part of a divided Fetch waits for records: what one
// part has must not wait for another that has none.
const branchWait = 100

// Split divides a request that lists partitions by what key says of each. It returns the keys in
// the order of their first partition, each with a body that holds its partitions alone; a request
// with a single key keeps its body. A request without partitions has no keys. The parts of a Fetch
// wait for records for a moment only.
func Split[K comparable](body *kafka.RequestBody, key func(Part) K) ([]K, []*kafka.RequestBody, error) {
	if body.Key() == kmsg.Produce || body.Key() == kmsg.Fetch {
		keys, bodies := splitView(body, key)
		return keys, bodies, nil
	}
	msg, err := body.Peek()
	if err != nil {
		return nil, nil, err
	}
	var keys []K
	var parts []kmsg.Request
	switch m := msg.(type) {
	case *kmsg.ListOffsetsRequest:
		keys, parts = each(m, m.Topics, key,
			func(t *kmsg.ListOffsetsRequestTopic) (Part, *[]kmsg.ListOffsetsRequestTopicPartition) {
				return Part{Topic: t.Topic}, &t.Partitions
			}, func(p *kmsg.ListOffsetsRequestTopicPartition) int32 { return p.Partition },
			func(c *kmsg.ListOffsetsRequest, t []kmsg.ListOffsetsRequestTopic) { c.Topics = t })
	case *kmsg.OffsetForLeaderEpochRequest:
		keys, parts = each(m, m.Topics, key,
			func(t *kmsg.OffsetForLeaderEpochRequestTopic) (Part, *[]kmsg.OffsetForLeaderEpochRequestTopicPartition) {
				return Part{Topic: t.Topic}, &t.Partitions
			}, func(p *kmsg.OffsetForLeaderEpochRequestTopicPartition) int32 { return p.Partition },
			func(c *kmsg.OffsetForLeaderEpochRequest, t []kmsg.OffsetForLeaderEpochRequestTopic) { c.Topics = t })
	case *kmsg.DeleteRecordsRequest:
		keys, parts = each(m, m.Topics, key,
			func(t *kmsg.DeleteRecordsRequestTopic) (Part, *[]kmsg.DeleteRecordsRequestTopicPartition) {
				return Part{Topic: t.Topic}, &t.Partitions
			}, func(p *kmsg.DeleteRecordsRequestTopicPartition) int32 { return p.Partition },
			func(c *kmsg.DeleteRecordsRequest, t []kmsg.DeleteRecordsRequestTopic) { c.Topics = t })
	case *kmsg.DescribeProducersRequest:
		keys, parts = each(m, m.Topics, key,
			func(t *kmsg.DescribeProducersRequestTopic) (Part, *[]int32) {
				return Part{Topic: t.Topic}, &t.Partitions
			}, func(p *int32) int32 { return *p },
			func(c *kmsg.DescribeProducersRequest, t []kmsg.DescribeProducersRequestTopic) { c.Topics = t })
	default:
		return nil, nil, fmt.Errorf("%s can't be split by partition", kmsg.NameForKey(int16(body.Key())))
	}
	if len(keys) == 1 {
		return keys, []*kafka.RequestBody{body}, nil
	}
	bodies := make([]*kafka.RequestBody, len(parts))
	for i, p := range parts {
		bodies[i] = kafka.RequestBodyOf(p)
	}
	return keys, bodies, nil
}

// PartsOf are the partitions of a Produce or Fetch.
func PartsOf(body *kafka.RequestBody) (out []Part) {
	var name string
	for p := range body.Partitions() {
		if name != string(p.Topic) {
			name = string(p.Topic)
		}
		out = append(out, Part{Topic: name, ID: p.ID, Partition: p.Partition})
	}
	return out
}

// splitView is Split for a Produce or Fetch: the bodies share its bytes.
func splitView[K comparable](body *kafka.RequestBody, key func(Part) K) (keys []K, bodies []*kafka.RequestBody) {
	parts := PartsOf(body)
	of := map[K][]int{}
	for i, p := range parts {
		k := key(p)
		if of[k] == nil {
			keys = append(keys, k)
		}
		of[k] = append(of[k], i)
	}
	if len(keys) == 1 {
		return keys, []*kafka.RequestBody{body}
	}
	for _, k := range keys {
		b := body.Only(of[k])
		if body.Key() == kmsg.Fetch {
			b.SetMaxWait(min(body.View().MaxWaitMillis, branchWait))
		}
		bodies = append(bodies, b)
	}
	return keys, bodies
}

// each divides the topics of one kind of message.
func each[K comparable, T, P any, M any, PM interface {
	*M
	kmsg.Request
}](msg PM, topics []T, key func(Part) K, topic func(*T) (Part, *[]P), number func(*P) int32, set func(PM, []T)) ([]K, []kmsg.Request) {
	var keys []K
	split := map[K][]T{}
	for i := range topics {
		name, parts := topic(&topics[i])
		at := map[K]int{}
		for j := range *parts {
			name.Partition = number(&(*parts)[j])
			k := key(name)
			if _, ok := split[k]; !ok {
				keys = append(keys, k)
			}
			n, ok := at[k]
			if !ok {
				t := topics[i]
				_, p := topic(&t)
				*p = nil
				n = len(split[k])
				at[k] = n
				split[k] = append(split[k], t)
			}
			_, p := topic(&split[k][n])
			*p = append(*p, (*parts)[j])
		}
	}
	out := make([]kmsg.Request, len(keys))
	for i, k := range keys {
		c := *msg
		set(PM(&c), split[k])
		out[i] = PM(&c)
	}
	return keys, out
}
