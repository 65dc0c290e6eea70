package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/core/telemetry"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// traceparent is the n-th context.
func traceparent(n int, sampled bool) string {
	flags := "00"
	if sampled {
		flags = "01"
	}
	return fmt.Sprintf("00-%032x-%016x-%s", n+1, n+1, flags)
}

func carrying(headers ...string) (r kafka.Record) {
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, kmsg.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

// batched is a batch of records, in a codec.
func batched(t *testing.T, codec byte, offset int64, records ...kafka.Record) []byte {
	t.Helper()
	b, err := kafka.NewBatch(records)
	if err != nil {
		t.Fatal(err)
	}
	if codec != 0 {
		b[22] = codec
		if list, err := kafka.Records(plain(b)); err != nil {
			t.Fatal(err)
		} else if b, err = kafka.Rebuild(b, list, kafka.CloseGaps); err != nil {
			t.Fatal(err)
		}
	}
	b.SetBaseOffset(offset)
	return b
}

func plain(b kafka.Batch) kafka.Batch {
	p := append(kafka.Batch{}, b...)
	p[22] = 0
	return p
}

// found looks into the records of partitions that a fetch from offset 0 on has delivered, or into
// those of a produce.
func found(s *session, produced bool, partitions ...[]byte) *telemetry.Origins {
	name := func([16]byte) string { return "" }
	var body kafka.RequestBody
	req := &plugin.Request{Body: &body}
	if produced {
		msg := &kmsg.ProduceRequest{Version: 9, Topics: []kmsg.ProduceRequestTopic{{Topic: "a"}}}
		for i, p := range partitions {
			msg.Topics[0].Partitions = append(msg.Topics[0].Partitions, kmsg.ProduceRequestTopicPartition{Partition: int32(i), Records: p})
		}
		body.Reset(kmsg.Produce, 9, msg.AppendTo(nil))
		return s.origins(req, nil, name)
	}
	msg, resp := &kmsg.FetchRequest{Version: 12, Topics: []kmsg.FetchRequestTopic{{Topic: "a"}}}, &kmsg.FetchResponse{Version: 12, Topics: []kmsg.FetchResponseTopic{{Topic: "a"}}}
	for i, p := range partitions {
		msg.Topics[0].Partitions = append(msg.Topics[0].Partitions, kmsg.FetchRequestTopicPartition{Partition: int32(i), FetchOffset: 2})
		resp.Topics[0].Partitions = append(resp.Topics[0].Partitions, kmsg.FetchResponseTopicPartition{Partition: int32(i), RecordBatches: p})
	}
	body.Reset(kmsg.Fetch, 12, msg.AppendTo(nil))
	var answer kafka.ResponseBody
	answer.Reset(kmsg.Fetch, 12, resp.AppendTo(nil))
	return s.origins(req, &answer, name)
}

// looking is a session that has no more memory, decoded batches of a size, and nothing else.
func looking(t *testing.T, memory, batch int64) *session {
	t.Helper()
	return &session{server: &Server{memory: NewMemory(memory)}, limits: config.Limits{BatchBytes: batch}, ctx: t.Context()}
}

// TestWhereRecordsComeFrom: contexts of records, each once, whatever the codec, and nothing of what
// is none.
func TestWhereRecordsComeFrom(t *testing.T) {
	s := looking(t, 0, 0)
	many := carrying()
	many.Headers = make([]kmsg.Header, 10_000)
	many.Headers = append(many.Headers, kmsg.Header{Key: "traceparent", Value: []byte(traceparent(1, true))})
	old := make([]byte, 100)
	old[16] = 1
	marker := batched(t, 0, 0, carrying("traceparent", traceparent(1, true)))
	marker[22] = 32
	for name, c := range map[string]struct {
		records []byte
		links   int
		unread  int64
	}{
		"one":                   {batched(t, 0, 0, carrying("traceparent", traceparent(1, true))), 1, 0},
		"the same twice":        {batched(t, 0, 0, carrying("traceparent", traceparent(1, true)), carrying("traceparent", traceparent(2, true)), carrying("traceparent", traceparent(1, true))), 2, 0},
		"the last of several":   {batched(t, 0, 0, carrying("traceparent", "none", "traceparent", traceparent(1, true))), 1, 0},
		"no headers":            {batched(t, 0, 0, carrying()), 0, 0},
		"a null value":          {batched(t, 0, 0, kafka.Record{Headers: []kmsg.Header{{Key: "traceparent"}}}), 0, 0},
		"an empty value":        {batched(t, 0, 0, carrying("traceparent", "")), 0, 0},
		"broken bytes":          {batched(t, 0, 0, carrying("traceparent", "\xff\xfe"), carrying("traceparent", traceparent(1, true)[:54]), carrying("traceparent", strings.Repeat("0", 1<<20))), 0, 0},
		"zero ids":              {batched(t, 0, 0, carrying("traceparent", traceparent(-1, true))), 0, 0},
		"another spelling":      {batched(t, 0, 0, carrying("Traceparent", traceparent(1, true), "b3", "1-2-1")), 0, 0},
		"10,000 headers before": {batched(t, 0, 0, many), 1, 0},
		"old records":           {old, 0, 0},
		"a marker":              {marker, 0, 0},
		"cut":                   {batched(t, 0, 0, carrying("traceparent", traceparent(1, true)))[:70], 0, 0},
		"a broken batch":        {append(batched(t, 0, 0, carrying("traceparent", traceparent(1, true)), carrying())[:61], make([]byte, 100)...), 0, 2},
	} {
		for codec := range byte(5) {
			records := c.records
			if len(records) > 61 && records[16] == 2 && records[22] == 0 {
				if list, err := kafka.Records(records); err == nil {
					records = batched(t, codec, 0, list...)
				}
			}
			o := found(s, true, records)
			links, _ := o.Links()
			if len(links) != c.links || o.Unread != c.unread {
				t.Errorf("%s, codec %d: %d links, %d unread", name, codec, len(links), o.Unread)
			}
		}
	}
	if n := s.server.memory.Used(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// TestLinksSayWhichRecord they are from, and keep flags and state.
func TestLinksSayWhichRecord(t *testing.T) {
	s := looking(t, 0, 0)
	first := batched(t, 0, 1, carrying("traceparent", traceparent(7, true)), carrying("traceparent", traceparent(8, false), "tracestate", "vendor=a"))
	o := found(s, false, nil, first)
	links, leftOut := o.Links()
	if len(links) != 1 || leftOut != 0 || o.Unread != 0 { // that at offset 1 was not asked for
		t.Fatalf("%d links, %d left out, %d unread", len(links), leftOut, o.Unread)
	}
	c := links[0].SpanContext
	about := fact.Of(t, "the link is %v", c)
	fact.Equal(about, "c.TraceID().String()", c.TraceID().String(), traceparent(8, false)[3:35])
	fact.False(about, "c.IsSampled()", c.IsSampled())
	fact.Equal(about, "c.TraceState().String()", c.TraceState().String(), "vendor=a")
	fact.True(about, "c.IsRemote()", c.IsRemote())
	var told []string
	for _, kv := range links[0].Attributes {
		told = append(told, fmt.Sprintf("%s=%s", kv.Key, kv.Value.String()))
	}
	if got := strings.Join(told, " "); got != "messaging.destination.name=a messaging.destination.partition.id=1 messaging.kafka.offset=2" {
		t.Errorf("it says %s", got)
	}
	if o.Sampled() {
		t.Error("nobody has sampled it")
	}
	if o := found(s, true, first); !o.Sampled() {
		t.Error("a producer has sampled the first record")
	}
}

// TestLinksAreBounded: of 5,000 contexts in several partitions, the first are linked and the others
// counted.
func TestLinksAreBounded(t *testing.T) {
	s := looking(t, 0, 0)
	var partitions [][]byte
	for p := range 5 {
		var records []kafka.Record
		for i := range 1000 {
			records = append(records, carrying("a", "b", "traceparent", traceparent(1000*p+i, true)))
		}
		partitions = append(partitions, batched(t, byte(p), 2, records...))
	}
	o := found(s, false, partitions...)
	if links, leftOut := o.Links(); len(links) != 100 || leftOut != 4900 || o.Unread != 0 {
		t.Errorf("%d links, %d left out, %d unread", len(links), leftOut, o.Unread)
	}
}

// TestLookingIsBounded: records and headers past the bound, what takes more bytes than it may, and
// what there is no memory for are counted as unread.
func TestLookingIsBounded(t *testing.T) {
	var records []kafka.Record
	for i := range 2 * mostRead {
		records = append(records, carrying("traceparent", traceparent(i, true)))
	}
	if o := found(looking(t, 0, 0), true, batched(t, 0, 0, records...)); o.Unread != 3*mostRead/2 {
		t.Errorf("of %d records with a header each %d were not read", len(records), o.Unread)
	}
	large := carrying("traceparent", traceparent(1, true))
	large.Value = make([]byte, 3<<20)
	small := carrying("traceparent", traceparent(2, true))
	for codec := byte(1); codec < 5; codec++ {
		bombs := [][]byte{batched(t, codec, 0, large), batched(t, codec, 0, large), batched(t, codec, 0, small), batched(t, 0, 0, small)}
		o := found(looking(t, 0, 0), true, bombs...)
		if links, _ := o.Links(); len(links) != 2 || o.Unread == 0 {
			t.Errorf("codec %d: %d links, %d unread", codec, len(links), o.Unread)
		}
		for name, s := range map[string]*session{"no memory": looking(t, 1000, 0), "limits.batch_bytes": looking(t, 0, 1000)} {
			o = found(s, true, bombs[0], bombs[3])
			if links, _ := o.Links(); len(links) != 1 || o.Unread != 1 {
				t.Errorf("codec %d, %s: %d links, %d unread", codec, name, len(links), o.Unread)
			}
			if n := s.server.memory.Used(); n != 0 {
				t.Errorf("codec %d, %s: %d bytes are still counted", codec, name, n)
			}
		}
	}
}
