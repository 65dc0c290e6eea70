package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestARefusedShareFetchHasRecords, if none: Java's share consumer dies of null ones.
func TestARefusedShareFetchHasRecords(t *testing.T) {
	for v := range int16(3) {
		m := kmsg.NewPtrShareFetchRequest()
		m.Version = v
		m.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: [16]byte{1}, Partitions: []kmsg.ShareFetchRequestTopicPartition{{Partition: 3}}}}
		body, err := ErrorResponse(NewRequestBody(kmsg.ShareFetch, v, m.AppendTo(nil)), ShareSessionNotFound, "")
		if err != nil {
			t.Fatal(err)
		}
		var o Out
		body.AppendTo(&o)
		msg, err := NewResponseBody(kmsg.ShareFetch, v, o.Bytes()).Peek()
		if err != nil {
			t.Fatal(err)
		}
		r := msg.(*kmsg.ShareFetchResponse)
		if Code(r.ErrorCode) != ShareSessionNotFound {
			t.Errorf("version %d: code %d", v, r.ErrorCode)
		}
		if p := r.Topics[0].Partitions[0]; p.Records == nil || p.Partition != 3 {
			t.Errorf("version %d: %+v", v, p)
		}
	}
}
