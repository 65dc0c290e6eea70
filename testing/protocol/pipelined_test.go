package protocol

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestDividedProducesKeepTheirOrder where nobody stands in the row: produces to the bootstrap
// address name partitions of two nodes, and many of them are on their way at once. Each is written
// behind the one before it.
func TestDividedProducesKeepTheirOrder(t *testing.T) {
	prod := fake(t, "prod", map[string]int32{"orders": 4})
	port, err := kafkatest.FreePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	open(t, fmt.Sprintf("clusters:\n  prod: {bootstrap: [%s], nodes: 0-1}\nvirtual_clusters:\n  vc:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {ports: %d-%d}}\n    chain: []\n",
		strings.Join(prod.Bootstrap(), ","), port, port+1, port+2))
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(eventually.Limit))
	const many = 100
	go func() {
		format := kmsg.NewRequestFormatter()
		for i := range int32(many) {
			m := kmsg.NewPtrProduceRequest()
			m.SetVersion(9)
			m.Acks, m.TimeoutMillis = -1, 30_000
			rt := kmsg.NewProduceRequestTopic()
			rt.Topic = "orders"
			for p := range int32(4) {
				rp := kmsg.NewProduceRequestTopicPartition()
				rp.Partition, rp.Records = p, kafkatest.Batch(100)
				rt.Partitions = append(rt.Partitions, rp)
			}
			m.Topics = append(m.Topics, rt)
			if _, err := conn.Write(format.AppendRequest(nil, m, i)); err != nil {
				return
			}
		}
	}()
	for i := range int64(many) {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			t.Fatal(err)
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, frame); err != nil {
			t.Fatal(err)
		}
		m := kmsg.NewPtrProduceResponse()
		m.SetVersion(9)
		if err := m.ReadFrom(frame[5:]); err != nil {
			t.Fatal(err)
		}
		for _, p := range m.Topics[0].Partitions {
			if p.ErrorCode != 0 || p.BaseOffset != i {
				t.Fatalf("request %d was written to partition %d at %d, code %d", i, p.Partition, p.BaseOffset, p.ErrorCode)
			}
		}
	}
}
