package protocol

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// origin is a traceparent of a producer.
func origin(n int, flags string) string { return fmt.Sprintf("00-%032x-%016x-%s", n, n, flags) }

func carrying(traceparent string, more ...kgo.RecordHeader) *kgo.Record {
	return &kgo.Record{Topic: "orders", Value: []byte("x"), Headers: append(more, kgo.RecordHeader{Key: "traceparent", Value: []byte(traceparent)})}
}

// links are what a span links to, in words.
func links(s *traces.Span) (out []string) {
	for _, l := range s.Links {
		at := attributes(&traces.Span{Attributes: l.Attributes})
		flags := l.Flags & 1
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %d %s %s-%s %s", hex.EncodeToString(l.TraceId)[30:], flags, l.TraceState, at["messaging.destination.name"], at["messaging.destination.partition.id"], at["messaging.kafka.offset"])))
	}
	return out
}

// client are the spans of requests to clusters.
func client(spans []*traces.Span) []*traces.Span {
	return slices.DeleteFunc(slices.Clone(spans), func(s *traces.Span) bool { return s.Kind != traces.Span_SPAN_KIND_CLIENT })
}

// says checks attributes of a span; "" is one that it does not have. Offsets stand in the order of
// the answer, and kfake lists topics in any.
func says(t *testing.T, s *traces.Span, want map[string]string) {
	t.Helper()
	a := attributes(s)
	if list, ok := a["sluice.offsets"]; ok {
		a["sluice.offsets"] = strings.Join(slices.Sorted(strings.SplitSeq(list, ", ")), ", ")
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if a[k] != want[k] {
			t.Errorf("%s: %s is %q, not %q", s.Name, k, a[k], want[k])
		}
	}
}

// TestARecordIsFollowed from its producer through both requests: each links to the different
// contexts of the records that it sends or delivers, with state and flags, and the request to the
// cluster says which records.
func TestARecordIsFollowed(t *testing.T) {
	for name, codec := range map[string]kgo.CompressionCodec{"plain": kgo.NoCompression(), "zstd": kgo.ZstdCompression()} {
		t.Run(name, func(t *testing.T) {
			h, rec := traced(t, "")
			p := h.client(h.gw.Bootstrap, kgo.ProducerLinger(time.Second), kgo.ProducerBatchCompression(codec))
			err := p.ProduceSync(h.ctx, carrying(origin(1, "01"), kgo.RecordHeader{Key: "tracestate", Value: []byte("vendor=a")}),
				carrying(origin(2, "00")), carrying(origin(1, "01")), carrying("broken"), carrying("")).FirstErr()
			if err != nil {
				t.Fatal(err)
			}
			h.read(h.gw.Bootstrap, "orders", 1, 4)
			all := h.spans(rec)
			if got := strings.Join(links(server(all["send orders"])[0]), "; "); got != "01 1 vendor=a orders-0; 02 0  orders-0" {
				t.Errorf("the produce is linked to %s", got)
			}
			i := slices.IndexFunc(all["poll orders"], func(s *traces.Span) bool { return len(s.Links) > 0 })
			if i < 0 {
				t.Fatal("no fetch is linked")
			}
			fetch := all["poll orders"][i]
			if got := strings.Join(links(fetch), "; "); fetch.Kind != traces.Span_SPAN_KIND_SERVER || got != "02 0  orders-0 1; 01 1  orders-0 2" {
				t.Errorf("the fetch is linked to %s", got)
			}
			want := map[string]string{
				"messaging.operation.name": "poll", "messaging.operation.type": "receive", "messaging.destination.name": "orders", "messaging.destination.partition.id": "0",
				"messaging.batch.message_count": "4", "sluice.offsets": "orders-0: 1-4", "messaging.kafka.offset": "", "sluice.records.unread": "",
			}
			says(t, fetch, want)
			for _, c := range client(all["poll orders"]) {
				if string(c.ParentSpanId) == string(fetch.SpanId) {
					want["sluice.cluster"], want["sluice.cluster.id"], want["server.address"] = "prod", "fake-prod", "127.0.0.1"
					says(t, c, want)
				}
			}
		})
	}
}

// TestProducersDecideWhatIsTraced where the sampler is parent-based, also of the fetches that
// deliver their records.
func TestProducersDecideWhatIsTraced(t *testing.T) {
	for flags, settings := range map[string]string{"01": ", sample_ratio: 0, errors: false, parent_based: true", "00": ", sample_ratio: 1, parent_based: true"} {
		h, rec := traced(t, settings)
		p := h.client(h.gw.Bootstrap)
		if err := p.ProduceSync(h.ctx, carrying(origin(1, flags))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		h.read(h.gw.Bootstrap, "orders", 0, 1)
		all := h.spans(rec)
		if flags == "00" {
			if n := len(all["send orders"]); n > 0 {
				t.Errorf("of a produce that is not sampled there are %d spans", n)
			}
			continue
		}
		for _, name := range []string{"send orders", "poll orders"} {
			requests := server(all[name])
			if len(requests) != 1 || len(requests[0].Links) != 1 || len(client(all[name])) != 1 {
				t.Errorf("%s: %d requests, %d trips", name, len(requests), len(client(all[name])))
			}
		}
		for name := range all {
			if len(server(all[name])) > 0 && name != "send orders" && name != "poll orders" {
				t.Errorf("%s is traced too", name)
			}
		}
	}
}

// produceOf is a produce to partitions of topics.
func (h *house) produceOf(partitions map[string][]int32) *kmsg.ProduceRequest {
	m := kmsg.NewPtrProduceRequest()
	m.Acks, m.TimeoutMillis = -1, 5000
	for _, name := range slices.Sorted(maps.Keys(partitions)) {
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic, topic.TopicID = name, h.gw.Topic(tenant, name).ID
		for _, n := range partitions[name] {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = n, kafkatest.Batch(100)
			topic.Partitions = append(topic.Partitions, p)
		}
		m.Topics = append(m.Topics, topic)
	}
	return m
}

// TestRequestsOfSeveralTopics have the operation for a name, and lists in place of a destination. A
// request has failed if one of its partitions has.
func TestRequestsOfSeveralTopics(t *testing.T) {
	h, rec := traced(t, "", "payments")
	c := h.client(h.gw.Bootstrap)
	h.produce(c, "orders", "x", 1)
	h.produce(c, "payments", "x", 1)
	if _, err := c.SeedBrokers()[0].Request(h.ctx, h.produceOf(map[string][]int32{"orders": {0, 1}, "payments": {0}})); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SeedBrokers()[0].Request(h.ctx, h.produceOf(map[string][]int32{"payments": {0, 77}})); err != nil {
		t.Fatal(err)
	}
	h.fetch(0, map[string][]int32{"orders": {0}, "payments": {0}})
	h.fetch(0, map[string][]int32{"orders": {0, 77}})
	all := h.spans(rec)
	find := func(name, key, value string) *traces.Span {
		t.Helper()
		for _, s := range server(all[name]) {
			if attributes(s)[key] == value {
				return s
			}
		}
		t.Fatalf("no %s with %s %s", name, key, value)
		return nil
	}
	says(t, find("send", "messaging.batch.message_count", "3"), map[string]string{
		"messaging.destination.name": "", "messaging.destination.partition.id": "", "sluice.topics": "orders, payments", "messaging.kafka.offset": "",
		"sluice.offsets": "orders-0: 1, orders-1: 0, payments-0: 1", "error.type": "", "sluice.failures": "",
	})
	says(t, find("send payments", "messaging.batch.message_count", "2"), map[string]string{
		"messaging.destination.name": "payments", "messaging.destination.partition.id": "", "sluice.offsets": "payments-0: 2",
		"error.type": "UNKNOWN_TOPIC_OR_PARTITION", "sluice.failures": "payments-77: UNKNOWN_TOPIC_OR_PARTITION",
	})
	says(t, find("poll", "messaging.batch.message_count", "5"), map[string]string{
		"messaging.destination.name": "", "sluice.topics": "orders, payments", "sluice.offsets": "orders-0: 0-1, payments-0: 0-2", "error.type": "",
	})
	says(t, find("poll orders", "sluice.failures", "orders-77: UNKNOWN_TOPIC_OR_PARTITION"), map[string]string{
		"messaging.destination.name": "orders", "messaging.destination.partition.id": "0", "sluice.offsets": "orders-0: 0-1", "error.type": "UNKNOWN_TOPIC_OR_PARTITION",
	})
}

// TestSizesAreOfWhatWasSent: an answer that the gateway has made itself has its size, and none has
// none.
func TestSizesAreOfWhatWasSent(t *testing.T) {
	h, rec := traced(t, "")
	c := rawDial(t, h.gw.Bootstrap)
	c.send(refusedBatch{topic: "orders", records: kafkatest.Batch(100)}.request()) // with acks=0, and not refused
	refused := refusedBatch{topic: "unknown", records: kafkatest.Batch(100)}.request()
	refused.Acks = 1
	c.send(refused)
	if corr, err := c.next(); err != nil || corr != 2 {
		t.Fatalf("answer %d, %v", corr, err)
	}
	all := h.spans(rec)
	i := slices.IndexFunc(all["send orders"], func(s *traces.Span) bool {
		a := attributes(s)
		return s.Kind == traces.Span_SPAN_KIND_SERVER && a["messaging.kafka.offset"] == "0"
	})
	if i < 0 {
		t.Fatal("no span of the produce with acks=0 that tells its offset")
	}
	says(t, all["send orders"][i], map[string]string{"sluice.response.size": "", "error.type": ""})
	for name, list := range all {
		for _, s := range server(list) {
			if size := attributes(s)["sluice.response.size"]; s != all["send orders"][i] && (size == "" || size == "0") {
				t.Errorf("%s has an answer of %q bytes", name, size)
			}
		}
	}
	if len(server(all["send unknown"])) != 1 {
		t.Fatal("no span of the produce that is refused")
	}
	says(t, server(all["send unknown"])[0], map[string]string{"error.type": "UNKNOWN_TOPIC_OR_PARTITION"})
}

// TestCallsOfGuestsAreSpans whichever interceptors have spans.
func TestCallsOfGuestsAreSpans(t *testing.T) {
	h, rec := traced(t, ", spans: none")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", filepath.Join(h.gw.Dir, "header.wasm"), "../../sdk/examples/header")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h.edit("      - routing:", "      - wasm: {file: header.wasm, limits: {timeout: 5m}, config: {key: via, value: sluice}}\n      - routing:")
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 1)
	all := h.spans(rec)
	if len(all["sluice_on_records"]) != 1 || len(server(all["send orders"])) != 1 {
		t.Fatalf("%d calls, %d requests", len(all["sluice_on_records"]), len(server(all["send orders"])))
	}
	call, request := all["sluice_on_records"][0], server(all["send orders"])[0]
	says(t, call, map[string]string{"sluice.guest": "header"})
	if string(call.ParentSpanId) != string(request.SpanId) {
		t.Error("the call is not below its request")
	}
	if attributes(request)["sluice.interceptor.duration_ms.wasm.header"] == "" {
		t.Errorf("the request does not tell the guest's time: %v", attributes(request))
	}
	for _, name := range []string{"wasm header", "routing", "topics", "offsets"} {
		if len(all[name]) > 0 {
			t.Errorf("%s has a span", name)
		}
	}
}
