package main

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func TestConfigure(t *testing.T) {
	for in, want := range map[string]string{
		`{}`: "",
		`{"interval": "5m", "topics": ["orders*"], "topic": "audit", "partition": 1, "log": false}`: "",
		`{"interval": "10ms"}`: "at least 1s",
		`{"interval": 5}`:      "config: ",
		`{"log": false}`:       "nobody is told",
		`{"every": "1m"}`:      "unknown field",
	} {
		err := sdk.New("audit", newAudit()).Configure([]byte(in))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func guest(t testing.TB, h sdk.Host, config string) *sdk.Guest {
	t.Helper()
	a := newAudit()
	a.now = func() time.Time { return time.UnixMilli(1700000000000) }
	g := sdk.New("audit", a)
	g.SetHost(h)
	if err := g.Configure([]byte(config)); err != nil {
		t.Fatal(err)
	}
	return g
}

var alice = sdktest.Client{ID: "app-1", Principal: "User:alice", VirtualCluster: "prod", Address: "10.0.0.1:5000"}

func record(topic string) sdktest.Record {
	return sdktest.Record{Topic: topic, Key: []byte("k"), Value: []byte("value")}
}

func fetch(t *testing.T, g *sdk.Guest, c sdktest.Client, topics ...string) {
	t.Helper()
	var in []sdktest.Record
	for _, topic := range topics {
		in = append(in, record(topic))
	}
	got, err := sdktest.Fetch(g, c, in...)
	if err != nil || got.Refused != nil || len(got.Records) != len(in) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestCountsAndLogs(t *testing.T) {
	m := sdk.NewMemory()
	config := `{"topics": ["orders*"]}`
	g, other := guest(t, m, config), guest(t, m, config)
	fetch(t, g, alice, "orders", "orders", "orders.eu", "logs")
	fetch(t, other, alice, "orders")
	fetch(t, other, sdktest.Client{ID: "app-2"}, "orders")
	want := []string{
		`"app-1" (principal "User:alice", 10.0.0.1:5000) reads orders`,
		`"app-1" (principal "User:alice", 10.0.0.1:5000) reads orders.eu`,
		`"app-2" (principal "", ) reads orders`,
	}
	if got := m.Lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("lines %q", got)
	}
	labels := `"labels":{"client":"app-1","principal":"User:alice","topic":"orders"}}`
	if n := m.Metric(`{"name":"audit_records_total",` + labels); n != 3 {
		t.Errorf("%v records", n)
	}
	if n := m.Metric(`{"name":"audit_bytes_total",` + labels); n != 18 {
		t.Errorf("%v bytes", n)
	}
}

// TestManyReaders: who invents client ids does not fill the gateway with series.
func TestManyReaders(t *testing.T) {
	m := sdk.NewMemory()
	g := guest(t, m, `{}`)
	for i := range maxReaders + 7 {
		fetch(t, g, sdktest.Client{ID: fmt.Sprint("c", i)}, "orders")
	}
	if n := m.Metric(`{"name":"audit_records_total","labels":{"client":"others","principal":"","topic":""}}`); n != 7 {
		t.Errorf("%v records of others", n)
	}
}

// cluster keeps what is produced.
func cluster(t *testing.T, code int16, sent *[]string) *sdk.Memory {
	m := sdk.NewMemory()
	m.Send = func(block []byte) ([]byte, int32) {
		req := kmsg.NewProduceRequest()
		req.Version = int16(binary.LittleEndian.Uint16(block[2:]))
		if err := req.ReadFrom(block[abi.SendHead:]); err != nil {
			t.Fatal(err)
		}
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(req.Topics[0].Partitions[0].Records); err != nil {
			t.Fatal(err)
		}
		var r kmsg.Record
		if err := r.ReadFrom(batch.Records); err != nil {
			t.Fatal(err)
		}
		*sent = append(*sent, fmt.Sprintf("%s-%d %s %s", req.Topics[0].Topic, req.Topics[0].Partitions[0].Partition, r.Key, r.Value))
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		p := kmsg.NewProduceResponseTopicPartition()
		p.ErrorCode = code
		resp.Topics = []kmsg.ProduceResponseTopic{{Partitions: []kmsg.ProduceResponseTopicPartition{p}}}
		return resp.AppendTo(nil), 0
	}
	return m
}

func TestAuditTopic(t *testing.T) {
	var sent []string
	m := cluster(t, 0, &sent)
	g := guest(t, m, `{"topic": "audit", "partition": 1, "log": false, "interval": "1h"}`)
	fetch(t, g, alice, "orders", "audit")
	fetch(t, g, alice, "orders", "audit")
	want := `audit-1 orders {"time":"2023-11-14T22:13:20Z","client":"app-1","principal":"User:alice","topic":"orders","address":"10.0.0.1:5000","virtual_cluster":"prod","interval":"1h0m0s"}`
	if len(sent) != 1 || sent[0] != want {
		t.Errorf("sent %q", sent)
	}
	if lines := m.Lines(); len(lines) != 0 {
		t.Errorf("logged %q", lines)
	}
}

// TestReadersDoNotWaitForTheAuditTopic also sees that the failure is told.
func TestReadersDoNotWaitForTheAuditTopic(t *testing.T) {
	var sent []string
	m := cluster(t, 3, &sent)
	fetch(t, guest(t, m, `{"topic": "audit"}`), alice, "orders")
	if lines := m.Lines(); len(lines) != 2 || !strings.Contains(lines[1], "no audit record") || m.Metric(`{"name":"audit_failed_total"}`) != 1 {
		t.Errorf("logged %q", lines)
	}
}

func BenchmarkFetch(b *testing.B) {
	records := make([]sdktest.Record, 500)
	for i := range records {
		records[i] = record("orders")
	}
	g := guest(b, sdk.NewMemory(), `{}`)
	block := sdktest.Block(2, 1, 12, alice, records)
	b.ReportAllocs()
	for b.Loop() {
		g.Call(block)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/record")
}
