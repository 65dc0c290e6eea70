package kafka

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestSplicedIsEncoded: in every version the bytes are those that the message encodes to, whichever
// records are large.
func TestSplicedIsEncoded(t *testing.T) {
	sizes := []int{0, 10, SpanMin, 3, SpanMin + 7, -1, 2 * SpanMin}
	records := func(n int) []byte {
		if n < 0 {
			return nil
		}
		return bytes.Repeat([]byte{byte(n)}, n)
	}
	check := func(what string, version int16, msg message) {
		t.Helper()
		var o Out
		o.message(msg, 0)
		if len(o.spans) != 3 || o.Len() != len(o.Bytes()) {
			t.Errorf("%s %d: %d pieces are referenced, %d bytes counted of %d", what, version, len(o.spans), o.Len(), len(o.Bytes()))
		}
		if !bytes.Equal(o.Bytes(), msg.AppendTo(nil)) {
			t.Errorf("%s %d is encoded in another way", what, version)
		}
	}
	produce, fetch := kmsg.NewPtrProduceRequest(), kmsg.NewPtrFetchResponse()
	id := "a transaction"
	produce.TransactionID = &id
	for topic := range 2 {
		pt, ft := kmsg.NewProduceRequestTopic(), kmsg.NewFetchResponseTopic()
		pt.Topic, pt.TopicID, ft.Topic, ft.TopicID = "orders", [16]byte{1}, "orders", [16]byte{1}
		for i, n := range sizes {
			if i%2 != topic {
				continue
			}
			pp, fp := kmsg.NewProduceRequestTopicPartition(), kmsg.NewFetchResponseTopicPartition()
			pp.Partition, pp.Records, fp.Partition, fp.RecordBatches = int32(i), records(n), int32(i), records(n)
			fp.AbortedTransactions = append(fp.AbortedTransactions, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: 7, FirstOffset: 9})
			fp.UnknownTags.Set(100, []byte("tag"))
			pp.UnknownTags.Set(100, []byte("tag"))
			pt.Partitions, ft.Partitions = append(pt.Partitions, pp), append(ft.Partitions, fp)
		}
		produce.Topics, fetch.Topics = append(produce.Topics, pt), append(fetch.Topics, ft)
	}
	for v := int16(3); v <= produce.MaxVersion(); v++ {
		produce.SetVersion(v)
		check("Produce", v, produce)
	}
	for v := int16(4); v <= fetch.MaxVersion(); v++ {
		fetch.SetVersion(v)
		check("Fetch", v, fetch)
	}
	for _, msg := range []message{kmsg.NewPtrMetadataRequest(), kmsg.NewPtrProduceRequest(), kmsg.NewPtrFetchResponse()} {
		var o Out
		if o.message(msg, 0); len(o.spans) > 0 || !bytes.Equal(o.Bytes(), msg.AppendTo(nil)) {
			t.Errorf("%T, which has no large records, is encoded in another way", msg)
		}
	}
}
