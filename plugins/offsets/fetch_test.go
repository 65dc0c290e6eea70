package offsets

import (
	"testing"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// TestAnswersInAnyOrder: an answer finds the lineage of its partition, whatever was looked for
// before.
func TestAnswersInAnyOrder(t *testing.T) {
	h := &kafka.RequestView{}
	a := asked{h: h}
	for i, topic := range []string{"a", "a", "b", "b"} {
		h.Partitions = append(h.Partitions, kafka.RequestPartition{Topic: []byte(topic), Partition: int32(i % 2)})
		a.topics = append(a.topics, &catalog.Topic{Name: topic, Generation: int32(i)})
	}
	for _, want := range []int{0, 1, 2, 3, 1, 1, 3, 0, 2} {
		if got := a.sentTo([]byte{"aabb"[want]}, [16]byte{}, int32(want%2)); got != a.topics[want] {
			t.Errorf("partition %d: %v", want, got)
		}
		if got := a.sentTo([]byte("c"), [16]byte{}, 0); got != nil {
			t.Errorf("nobody asked for %v", got)
		}
	}
}
