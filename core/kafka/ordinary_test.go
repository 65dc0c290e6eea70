package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestTheNormalRunOfTheProtocolIsNoError: an ordinary code is shown only where an answer says no
// other, wherever the other stands.
func TestTheNormalRunOfTheProtocolIsNoError(t *testing.T) {
	commit := func(codes ...int16) *ResponseBody {
		m := kmsg.NewPtrOffsetCommitResponse()
		m.Version = 8
		for i, c := range codes {
			topic := kmsg.NewOffsetCommitResponseTopic()
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = int32(i), c
			topic.Topic, topic.Partitions = "orders", append(topic.Partitions, p)
			m.Topics = append(m.Topics, topic)
		}
		return NewResponseBody(kmsg.OffsetCommit, 8, m.AppendTo(nil))
	}
	for name, c := range map[string]struct {
		codes []int16
		want  int16
		error bool
	}{
		"none":               {[]int16{0, 0}, 0, false},
		"rebalance":          {[]int16{0, 27}, 27, false},
		"an error behind it": {[]int16{27, 0, 29}, 29, true},
		"an error before it": {[]int16{12, 27}, 12, true},
		"moved coordinator":  {[]int16{16, 16}, 16, false},
	} {
		got := commit(c.codes...).ErrorCode()
		if got != Code(c.want) || got != 0 && Ordinary(kmsg.OffsetCommit, got) == c.error {
			t.Errorf("%s: code %d, an error %t", name, got, !Ordinary(kmsg.OffsetCommit, got))
		}
	}
	if Ordinary(kmsg.Produce, 27) || Ordinary(kmsg.Fetch, 1) {
		t.Error("what is ordinary for one API is not for others")
	}
}
