package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
	"github.com/sluice-gateway/sluice/testing/fact"
)

func guest(t testing.TB, h sdk.Host, rules string) *sdk.Guest {
	t.Helper()
	g := sdk.New("quality", &quality{})
	g.SetHost(h)
	if err := g.Configure([]byte(`{"rules": [` + rules + `]}`)); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestConfigure(t *testing.T) {
	for in, want := range map[string]string{
		`{"name": "a", "expr": "value.n > 0", "action": "reject"}`:                            "",
		`{"name": "a", "expr": "true", "action": "dead_letter", "dead_letter_topic": "dead"}`: "",
		``:                                     "config.rules is missing",
		`{"expr": "true", "action": "reject"}`: "name is missing",
		`{"name": "a", "expr": "true", "action": "drop"}, {"name": "a", "expr": "true", "action": "drop"}`: "is there twice",
		`{"name": "a", "expr": "true", "action": "explode"}`:                                               "config.rules[0].action",
		`{"name": "a", "expr": "true", "action": "dead_letter"}`:                                           "belong together",
		`{"name": "a", "expr": "true", "action": "drop", "dead_letter_topic": "d"}`:                        "belong together",
		`{"name": "a", "expr": "value.n >", "action": "drop"}`:                                             "config.rules[0].expr",
		`{"name": "a", "expr": "valeu.n > 1", "action": "drop"}`:                                           "unknown name valeu",
		`{"name": "a", "expr": "size(key)", "action": "drop"}`:                                             "expected bool",
		`{"name": "a", "expr": "", "action": "drop"}`:                                                      "config.rules[0].expr",
		`{"name": "a", "expr": "true", "action": "drop", "topics": "["}`:                                   "not a glob",
		`{"name": "a", "exp": "true"}`:                                                                     "unknown field",
	} {
		err := sdk.New("quality", &quality{}).Configure([]byte(`{"rules": [` + in + `]}`))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func TestExpressions(t *testing.T) {
	record := sdktest.Record{
		Topic: "orders", Key: []byte("k1"), Headers: []sdktest.Header{{Key: "source", Value: []byte("web")}},
		Value: []byte(`{"id":"8a1f","amount":12.5,"paid":true,"items":[{"n":1},{"n":2}],"note":null,"name":"Änn"}`),
	}
	for in, want := range map[string]string{
		`value.amount > 0 && size(value.id) == 4`:            "",
		`value.amount > 12 and value.paid`:                   "",
		`all(value.items, .n > 0) && size(value.items) == 2`: "",
		`size(value) == 6 && size(value.name) == 3`:          "",
		`value.id matches "^[0-9a-f]{4}$"`:                   "",
		`key startsWith "k" && topic == "orders"`:            "",
		`headers.source in ["web", "app"]`:                   "",
		`value.note == nil && value?.a?.b == nil`:            "",
		`value.amount > 100`:                                 "not true: value.amount > 100",
		`value.missing > 0`:                                  "can't be told",
		`size(value.missing) == 1`:                           "can't be told",
		`value.id.x == 1`:                                    "can't be told",
		`value.paid`:                                         "",
		`value.amount`:                                       "can't be told",
		`headers.absent == "x"`:                              "not true",
	} {
		g := guest(t, sdk.NewMemory(), fmt.Sprintf(`{"name": "r", "action": "reject", "expr": %q}`, in))
		got, err := sdktest.Produce(g, sdktest.Client{}, record)
		if err != nil {
			t.Fatal(err)
		}
		e := got.Rejected[0]
		about := fact.Of(t, "%s: %v, want %q", in, e, want)
		fact.Equal(about, "rejected", e != nil, want != "")
		if e != nil {
			fact.Equal(about, "code", e.Code, sdk.InvalidRecord)
			fact.Has(about, e.Message, want)
			fact.HasNo(about, e.Message, "\n")
		}
	}
}

// TestValuesThatAreNotJSON break the rules that read them, whatever these say, and no others.
func TestValuesThatAreNotJSON(t *testing.T) {
	for in, broken := range map[string]bool{
		`value.n > 0`: true, `value?.n != 1`: true, `value == nil`: true, `key != "x" || value.n == 1`: true, `key == ""`: false,
	} {
		got, err := sdktest.Produce(guest(t, sdk.NewMemory(), fmt.Sprintf(`{"name": "r", "action": "reject", "expr": %q}`, in)), sdktest.Client{}, value("n=1"))
		if e := got.Rejected[0]; err != nil || (e != nil) != broken || e != nil && !strings.Contains(e.Message, "not JSON") {
			t.Errorf("%s: %v, %v", in, e, err)
		}
	}
}

func value(v string) sdktest.Record { return sdktest.Record{Topic: "orders", Value: []byte(v)} }

func TestActions(t *testing.T) {
	g := guest(t, sdk.NewMemory(), `{"name": "known", "topics": "orders*", "action": "header", "expr": "value.kind in [1, 2]"},
		{"name": "low", "topics": "orders*", "action": "drop", "expr": "value.n > 0"},
		{"name": "high", "topics": "orders*", "action": "reject", "expr": "value.n < 100"}`)
	other := value(`{"n":0}`)
	other.Topic = "other"
	got, err := sdktest.Produce(g, sdktest.Client{},
		value(`{"n":1,"kind":1}`), value(`{"n":1,"kind":3}`), value(`{"n":0,"kind":1}`), sdktest.Record{Topic: "orders", Key: []byte("k")}, other)
	if err != nil || got.Refused != nil || len(got.Rejected) > 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if !slices.Equal(got.Dropped, []int{2}) {
		t.Errorf("dropped %v", got.Dropped)
	}
	for i, r := range got.Records {
		if marked := len(r.Headers) == 1; marked != (i == 1) || marked && string(r.Headers[0].Value) != "known" {
			t.Errorf("record %d: %v", i, r.Headers)
		}
	}
	for _, v := range []string{`{"n":100,"kind":1}`, "text"} {
		got, err := sdktest.Produce(g, sdktest.Client{}, value(`{"n":1,"kind":1}`), value(v))
		if err != nil || v == "text" && !slices.Equal(got.Dropped, []int{1}) || v != "text" && got.Rejected[1] == nil {
			t.Errorf("%s: %+v, %v", v, got, err)
		}
	}
}

// cluster answers Produce requests and keeps them.
func cluster(t *testing.T, code int16, sent *[]kmsg.ProduceRequestTopic) *sdk.Memory {
	m := sdk.NewMemory()
	m.Send = func(block []byte) ([]byte, int32) {
		req := kmsg.NewProduceRequest()
		req.Version = int16(binary.LittleEndian.Uint16(block[2:]))
		if err := req.ReadFrom(block[abi.SendHead:]); err != nil {
			t.Fatal(err)
		}
		*sent = append(*sent, req.Topics...)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		p := kmsg.NewProduceResponseTopicPartition()
		p.ErrorCode = code
		resp.Topics = []kmsg.ProduceResponseTopic{{Topic: req.Topics[0].Topic, Partitions: []kmsg.ProduceResponseTopicPartition{p}}}
		return resp.AppendTo(nil), 0
	}
	return m
}

const letters = `{"name": "positive", "action": "dead_letter", "dead_letter_topic": "dead", "expr": "value.n > 0"}`

func TestDeadLetters(t *testing.T) {
	var sent []kmsg.ProduceRequestTopic
	m := cluster(t, 0, &sent)
	bad := sdktest.Record{Topic: "orders", Partition: 2, Key: []byte("k"), Value: []byte(`{"n":0}`), Timestamp: time.UnixMilli(1234), Headers: []sdktest.Header{{Key: "a", Value: []byte("b")}, {Key: "null"}}}
	good := bad
	good.Value = []byte(`{"n":1}`)
	got, err := sdktest.Produce(guest(t, m, letters), sdktest.Client{}, good, bad, good, bad)
	about := fact.Must(t, "%+v, %v", got, err)
	fact.NoError(about, err)
	fact.True(about, "got.Refused == nil", got.Refused == nil)
	fact.List(about, "got.Dropped", got.Dropped, []int{1, 3})
	fact.Equal(about, "len(got.Records)", len(got.Records), 2)
	if len(sent) != 1 || sent[0].Topic != "dead" {
		t.Fatalf("sent %+v", sent)
	}
	var batch kmsg.RecordBatch
	if err := batch.ReadFrom(sent[0].Partitions[0].Records); err != nil {
		t.Fatal(err)
	}
	var r kmsg.Record
	n, skip := binary.Varint(batch.Records)
	if err := r.ReadFrom(batch.Records[:skip+int(n)]); err != nil {
		t.Fatal(err)
	}
	var hs []string
	for _, h := range r.Headers {
		hs = append(hs, h.Key+"="+string(h.Value))
	}
	want := "a=b null= sluice-rule=positive sluice-reason=not true: value.n > 0 sluice-topic=orders sluice-partition=2"
	about = fact.Of(t, "%d records, key %s, value %s, headers %v", batch.NumRecords, r.Key, r.Value, hs)
	fact.Equal(about, "batch.NumRecords", batch.NumRecords, 2)
	fact.Equal(about, "batch.FirstTimestamp", batch.FirstTimestamp, 1234)
	fact.Equal(about, "string(r.Key)", string(r.Key), "k")
	fact.Equal(about, "string(r.Value)", string(r.Value), `{"n":0}`)
	fact.Equal(about, `strings.Join(hs, " ")`, strings.Join(hs, " "), want)
}

func TestDeadLettersThatCannotBeSent(t *testing.T) {
	var sent []kmsg.ProduceRequestTopic
	m := cluster(t, 3, &sent)
	got, err := sdktest.Produce(guest(t, m, letters), sdktest.Client{}, value(`{"n":0}`))
	about := fact.Of(t, "%+v, %v: a record is lost", got, err)
	if fact.NoError(about, err) && fact.True(about, "got.Refused != nil", got.Refused != nil) {
		fact.Equal(about, "got.Refused.Code", got.Refused.Code, requestTimedOut)
		fact.Has(about, got.Refused.Message, "dead: error 3")
	}
}

func TestRejectedBatchesSendNoDeadLetters(t *testing.T) {
	var sent []kmsg.ProduceRequestTopic
	m := cluster(t, 0, &sent)
	g := guest(t, m, `{"name": "known", "action": "reject", "expr": "value.kind == 1"}, `+letters)
	got, err := sdktest.Produce(g, sdktest.Client{}, value(`{"n":0,"kind":1}`), value(`{"n":0,"kind":2}`))
	about := fact.Of(t, "%+v, %v, sent %v", got, err, sent)
	if fact.NoError(about, err) && fact.True(about, "got.Rejected[1] != nil", got.Rejected[1] != nil) && fact.Equal(about, "len(got.Dropped)", len(got.Dropped), 0) {
		fact.Equal(about, "len(sent)", len(sent), 0)
	}
}

func TestWithoutConfig(t *testing.T) {
	got, err := sdktest.Produce(sdk.New("quality", &quality{}), sdktest.Client{}, value(`{}`))
	if err != nil || got.Refused == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func BenchmarkProduce(b *testing.B) {
	records := make([]sdktest.Record, 500)
	for i := range records {
		records[i] = value(`{"id":"8a1f","amount":12.5,"card":"4111111111111111","customer":{"name":"Ann","email":"ann@example.com"},"items":[{"sku":"a","n":1},{"sku":"b","n":2}]}`)
	}
	g := guest(b, sdk.NewMemory(), `{"name": "r", "action": "reject", "expr": "value.amount > 0 && size(value.id) == 4"}`)
	block := sdktest.Block(1, 0, 9, sdktest.Client{}, records)
	b.ReportAllocs()
	for b.Loop() {
		if g.Call(block) != nil {
			b.Fatal("a record is refused")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
}
