package protocol

import (
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestAHeaderMakesNoBatchTooLong: records whose batches are as long as their topic allows stay as
// they are, also beside others in one request that get a header, and the limit is that of each
// topic.
func TestAHeaderMakesNoBatchTooLong(t *testing.T) {
	const limit, overhead = 1000, 61 + 10 // of a batch and of its one record
	h, _ := traced(t, "", "payments")
	narrow := strconv.Itoa(limit)
	if _, err := h.admin(h.prod).AlterTopicConfigs(h.ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &narrow}}, "orders"); err != nil {
		t.Fatal(err)
	}
	if err := h.gw.Edit("- offsets: {}", "- traces: {inject: missing}\n      - offsets: {}"); err != nil {
		t.Fatal(err)
	}
	h.wait("the interceptor", func() bool { return strings.Contains(string(h.gw.Snapshot().Source), "inject") })
	p := h.client(h.gw.Bootstrap, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(1<<20))
	header := map[string]bool{} // by key
	for round, size := range []int{10, limit - overhead, limit - overhead - 1, limit - overhead - 50, limit - overhead - 90, limit - overhead - 300} {
		for part := range int32(3) {
			key := strconv.Itoa(round*3 + int(part))
			header[key] = size+90 <= limit-overhead
			r := &kgo.Record{Topic: "orders", Partition: part, Key: []byte(key), Value: make([]byte, size-len(key))}
			wide := &kgo.Record{Topic: "payments", Partition: part, Value: make([]byte, 5*limit)}
			if err := p.ProduceSync(h.ctx, r, wide).FirstErr(); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	}
	for topic, n := range map[string]int{"orders": 18, "payments": 18} {
		c := h.client(h.prod.Bootstrap()[0], kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for n > 0 {
			c.PollFetches(h.ctx).EachRecord(func(r *kgo.Record) {
				n--
				if got, want := len(r.Headers) == 1, topic == "payments" || header[string(r.Key)]; got != want {
					t.Errorf("%s, record %s of %d bytes: has the header %t, want %t", topic, r.Key, len(r.Value), got, want)
				}
			})
			if h.ctx.Err() != nil {
				t.Fatalf("%d records of %s are missing", n, topic)
			}
		}
		c.Close()
	}
}
