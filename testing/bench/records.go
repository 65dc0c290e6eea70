package bench

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// RecordBytes is the size of the values of Records.
const RecordBytes = 1000

// Records is a batch of n JSON values of RecordBytes each, with letters and a card number.
func Records(n int) (kafka.Batch, error) {
	var list []kafka.Record
	for i := range n {
		v := fmt.Sprintf(`{"id":%d,"card":"4111111111111111","note":"`, 100_000+i)
		v += strings.Repeat("the quick brown fox, ", RecordBytes)[:RecordBytes-len(v)-2] + `"}`
		list = append(list, kafka.Record{Key: []byte("key"), Value: []byte(v)})
	}
	return kafka.NewBatch(list)
}

// ProduceRecordsFrame is a Produce request of one partition of a topic.
func ProduceRecordsFrame(topic string, records []byte) []byte {
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(ProduceVersion)
	m.Acks, m.TimeoutMillis = -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = records
	t.Partitions = append(t.Partitions, p)
	m.Topics = append(m.Topics, t)
	return Frame(kmsg.Produce, ProduceVersion, m.AppendTo)
}
