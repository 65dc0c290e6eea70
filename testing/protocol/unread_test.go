package protocol

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

const (
	unreadSessions = 3
	unreadRequests = 40
)

// unread is a client that sends requests and does not read.
type unread struct {
	net.Conn
	corr int32
}

func (u *unread) send(t *testing.T, req kmsg.Request) {
	t.Helper()
	u.corr++
	b := kafka.AppendRequestHeader([]byte{0, 0, 0, 0}, kafka.Header{Key: kmsg.Key(req.Key()), Version: req.GetVersion(), CorrelationID: u.corr, ClientID: "unread", HasClientID: true})
	b = req.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err := u.Write(b); err != nil {
		t.Fatal(err)
	}
}

// next reads an answer and returns its correlation id, its size, and the first bytes behind the id.
func (u *unread) next(t *testing.T) (corr int32, size int, begin []byte) {
	t.Helper()
	head := make([]byte, 8)
	if _, err := io.ReadFull(u, head); err != nil {
		t.Fatal(err)
	}
	size = int(binary.BigEndian.Uint32(head))
	begin = make([]byte, min(size-4, 64))
	if _, err := io.ReadFull(u, begin); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, u, int64(size-4-len(begin))); err != nil {
		t.Fatal(err)
	}
	return int32(binary.BigEndian.Uint32(head[4:])), size, begin
}

// fetchAll names four partitions of a topic, which two brokers lead.
func fetchAll(session, epoch int32) *kmsg.FetchRequest {
	f := kmsg.NewPtrFetchRequest()
	f.SetVersion(12)
	f.MaxBytes, f.SessionID, f.SessionEpoch = 50<<20, session, epoch
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = "large"
	for p := range int32(4) {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.PartitionMaxBytes = p, 10<<20
		topic.Partitions = append(topic.Partitions, part)
	}
	f.Topics = append(f.Topics, topic)
	return f
}

func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// TestClientsThatDoNotRead send many requests whose answers are large. The gateway takes no more of
// them than the limits say, other clients go on, and when they read they get everything in order.
func TestClientsThatDoNotRead(t *testing.T) {
	metadata := func(*unread) kmsg.Request {
		m := kmsg.NewPtrMetadataRequest()
		m.SetVersion(9)
		return m
	}
	configs := func(*unread) kmsg.Request {
		d := kmsg.NewPtrDescribeConfigsRequest()
		d.SetVersion(4)
		for range 200 {
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, "large"
			d.Resources = append(d.Resources, r)
		}
		return d
	}
	for name, request := range map[string]func(*unread) kmsg.Request{
		"fetches":             func(*unread) kmsg.Request { return fetchAll(0, -1) },
		"fetches of sessions": nil, // see below
		"metadata":            metadata,
		"configurations":      configs,
	} {
		for _, chain := range []string{"[]", "[routing: {default: prod}, topics: {prefix: \"\"}, offsets: {}]"} {
			t.Run(name+" "+chain, func(t *testing.T) { clientsThatDoNotRead(t, chain, request) })
		}
	}
}

func clientsThatDoNotRead(t *testing.T, chain string, request func(*unread) kmsg.Request) {
	ctx := eventually.Context(t)
	prod, err := kafkatest.Fake("prod", 2, map[string]int32{"large": 4, "small": 1, "wide": 2000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prod.Close() })
	h := &house{t: t, ctx: ctx, prod: prod}
	port, err := kafkatest.FreePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	h.gw = open(t, fmt.Sprintf("admin: {listen: 127.0.0.1:%d}\nlimits: {session_bytes: 2MiB, process_bytes: 24MiB}\nclusters:\n  prod: {bootstrap: [%s], nodes: 0-1}\nvirtual_clusters:\n  vc:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {ports: %d-%d}}\n    chain: %s\n",
		port+3, strings.Join(prod.Bootstrap(), ","), port, port+1, port+2, chain))
	h.gw.Admin = fmt.Sprintf("http://127.0.0.1:%d", port+3)
	bootstrap := fmt.Sprintf("127.0.0.1:%d", port)
	writer := h.client(bootstrap, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(1<<20))
	for i := range 8 {
		if err := writer.ProduceSync(ctx, &kgo.Record{Topic: "large", Partition: int32(i % 4), Value: make([]byte, 400<<10)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}

	before := heap()
	var clients []*unread
	for range unreadSessions {
		conn, err := net.Dial("tcp", bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(eventually.Limit))
		u := &unread{Conn: conn}
		next := request
		if next == nil {
			u.send(t, fetchAll(0, 0))
			_, _, head := u.next(t)
			session := int32(binary.BigEndian.Uint32(head[7:])) // behind the tags, the throttle time and the code
			next = func(u *unread) kmsg.Request { return fetchAll(session, u.corr+1) }
			u.corr = 0
		}
		for range unreadRequests {
			u.send(t, next(u))
		}
		clients = append(clients, u)
	}
	// Others go on, and give the gateway time to take too much.
	most := uint64(0)
	other := h.client(bootstrap, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"small": {0: kgo.NewOffset().AtStart()}}), kgo.FetchMaxWait(50*time.Millisecond))
	for range 40 {
		if err := other.ProduceSync(ctx, &kgo.Record{Topic: "small", Value: []byte("goes on")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if f := other.PollFetches(ctx); f.Err0() != nil {
			t.Fatal(f.Err0())
		}
		most = max(most, heap())
	}
	for _, path := range []string{"/metrics", "/api/v1/clients", "/console/clients", "/readyz"} {
		if status, body := h.call("GET", path, ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if err := h.gw.Edit("process_bytes: 24MiB", "process_bytes: 25MiB"); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool { return h.gw.Snapshot().Limits.ProcessBytes == 25<<20 })
	if grown := (int64(most) - int64(before)) >> 20; grown > 100 {
		t.Errorf("%d MiB for clients that do not read, of 24 MiB", grown)
	}
	for _, u := range clients {
		var first int
		for want := int32(1); want <= unreadRequests; want++ {
			corr, size, _ := u.next(t)
			if corr != want {
				t.Fatalf("answer %d, want %d", corr, want)
			}
			if first == 0 {
				first = size
			}
			if size != first {
				t.Fatalf("answer %d has %d bytes, the first had %d", corr, size, first)
			}
		}
	}
}
