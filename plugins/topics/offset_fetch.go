package topics

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// unseen are the topics of an OffsetFetch that clients may not see, by group. They are answered as
// brokers answer for topics that there are not, with no position: Kafka's clients take an answer
// without a topic that they asked for to be broken.
type unseen map[string][]kmsg.OffsetFetchResponseGroupTopic

// takeUnseen takes them out of a request; other requests have none.
func (t *Topics) takeUnseen(msg kmsg.Request) unseen {
	m, ok := msg.(*kmsg.OffsetFetchRequest)
	if !ok {
		return nil
	}
	out := unseen{}
	m.Topics = slices.DeleteFunc(m.Topics, func(topic kmsg.OffsetFetchRequestTopic) bool {
		return t.takes(out, m.Group, topic.Topic, topic.Partitions)
	})
	for i := range m.Groups {
		g := &m.Groups[i]
		g.Topics = slices.DeleteFunc(g.Topics, func(topic kmsg.OffsetFetchRequestGroupTopic) bool {
			return t.takes(out, g.Group, topic.Topic, topic.Partitions)
		})
	}
	return out
}

// takes reports a topic that clients may not see, and adds the answer for it.
func (t *Topics) takes(into unseen, group, name string, partitions []int32) bool {
	if name == "" || !t.Hides(name) {
		return false
	}
	none := ""
	answer := kmsg.NewOffsetFetchResponseGroupTopic()
	answer.Topic = name
	for _, n := range partitions {
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = n, -1, -1, &none
		answer.Partitions = append(answer.Partitions, p)
	}
	into[group] = append(into[group], answer)
	return true
}

// answer adds what was taken out of the request to its answer, but for groups that failed.
func (u unseen) answer(msg kmsg.Response) {
	m, ok := msg.(*kmsg.OffsetFetchResponse)
	if !ok {
		return
	}
	if !kafka.Has(kmsg.OffsetFetch, m.Version, kafka.Batched) && m.ErrorCode == 0 {
		for _, list := range u { // of the one group
			for _, t := range list {
				topic := kmsg.NewOffsetFetchResponseTopic()
				topic.Topic = t.Topic
				for _, p := range t.Partitions {
					topic.Partitions = append(topic.Partitions, kmsg.OffsetFetchResponseTopicPartition{Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata})
				}
				m.Topics = append(m.Topics, topic)
			}
		}
	}
	for i := range m.Groups {
		if g := &m.Groups[i]; g.ErrorCode == 0 {
			g.Topics = append(g.Topics, u[g.Group]...)
		}
	}
}
