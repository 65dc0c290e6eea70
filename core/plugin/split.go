package plugin

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

// branchWait is how long, in milliseconds, a part of a divided Fetch waits for records: what one part has
// must not wait for another that has none.
const branchWait = 100

// Split divides a request that lists partitions by what key says of each. It returns the keys in
// the order of their first partition, each with a body that holds its partitions alone; a request
// with a single key keeps its body. A request without partitions has no keys. The parts of a Fetch wait
// for records for a moment only.
func Split[K comparable](body *kafka.RequestBody, key func(Part) K) ([]K, []*kafka.RequestBody, error) {
	msg, err := body.Peek()
	if err != nil {
		return nil, nil, err
	}
	var keys []K
	var parts []kmsg.Request
	switch m := msg.(type) {
	case *kmsg.ProduceRequest:
		keys, parts = each(m, m.Topics, key,
			func(t *kmsg.ProduceRequestTopic) (Part, *[]kmsg.ProduceRequestTopicPartition) {
				return Part{Topic: t.Topic, ID: t.TopicID}, &t.Partitions
			}, func(p *kmsg.ProduceRequestTopicPartition) int32 { return p.Partition },
			func(c *kmsg.ProduceRequest, t []kmsg.ProduceRequestTopic) { c.Topics = t })
	case *kmsg.FetchRequest:
		keys, parts = each(m, m.Topics, key,
			func(t *kmsg.FetchRequestTopic) (Part, *[]kmsg.FetchRequestTopicPartition) {
				return Part{Topic: t.Topic, ID: t.TopicID}, &t.Partitions
			}, func(p *kmsg.FetchRequestTopicPartition) int32 { return p.Partition },
			func(c *kmsg.FetchRequest, t []kmsg.FetchRequestTopic) {
				c.Topics, c.MaxWaitMillis = t, min(c.MaxWaitMillis, branchWait)
			})
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
