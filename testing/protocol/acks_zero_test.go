package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// refusedBatch is a produce with acks=0 that a broker, or the gateway, refuses.
type refusedBatch struct {
	topic   string
	records []byte
	id      bool  // by a topic id that nobody knows
	code    int16 // of the brokers, for what they are made to refuse
}

// refusal answers a request with a code.
func refusal(req kmsg.Request, code kafka.Code) (kmsg.Response, error) {
	body, err := kafka.ErrorResponse(kafka.RequestBodyOf(req), code, "")
	if err != nil {
		return nil, err
	}
	return body.Peek()
}

func refusedBatches() map[string]refusedBatch {
	torn := slices.Clone(kafkatest.Batch(100))
	torn[len(torn)-1]++
	return map[string]refusedBatch{
		"unknown topic":      {topic: "unknown", records: kafkatest.Batch(100)},
		"unknown topic id":   {id: true, records: kafkatest.Batch(100)},
		"hidden topic":       {topic: "__hidden", records: kafkatest.Batch(100)},
		"broken CRC":         {topic: "orders", records: torn},
		"no batch":           {topic: "orders", records: []byte("not a batch")},
		"no records":         {topic: "orders"},
		"too large":          {topic: "orders", records: kafkatest.Batch(100), code: 10},
		"another one leads":  {topic: "orders", records: kafkatest.Batch(100), code: 6},
		"not allowed":        {topic: "orders", records: kafkatest.Batch(100), code: 29},
		"refused by policy":  {topic: "orders", records: kafkatest.Batch(100), code: 44},
		"deleted and made":   {topic: "orders", records: kafkatest.Batch(100), code: 100},
		"topic without home": {topic: "nowhere", records: kafkatest.Batch(100)},
	}
}

func (b refusedBatch) request() *kmsg.ProduceRequest {
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(9)
	m.TimeoutMillis = 1000
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	if rt.Topic, rp.Records = b.topic, b.records; b.id {
		m.SetVersion(13)
		rt.TopicID = [16]byte{1, 2, 3}
	}
	rt.Partitions = append(rt.Partitions, rp)
	m.Topics = append(m.Topics, rt)
	return m
}

// TestAcksZeroThatFailsEndsTheConnection, as it does at a broker: what was asked before is
// answered, what comes behind is not.
func TestAcksZeroThatFailsEndsTheConnection(t *testing.T) {
	h := build(t, "orders", "nowhere")
	if err := h.gw.Edit("nowhere: {cluster: prod}", "nowhere: {cluster: none}"); err != nil {
		t.Fatal(err)
	}
	h.wait("the edit", func() bool {
		c := h.client(h.gw.Bootstrap)
		resp, err := c.Request(h.ctx, kmsg.NewPtrMetadataRequest())
		return err == nil && !slices.ContainsFunc(resp.(*kmsg.MetadataResponse).Topics, func(x kmsg.MetadataResponseTopic) bool { return *x.Topic == "nowhere" })
	})
	plain := passing(t, h.prod)
	for name, b := range refusedBatches() {
		for chain, addr := range map[string]string{"full": h.gw.Bootstrap, "empty": plain} {
			if chain == "empty" && (b.topic == "__hidden" || b.topic == "nowhere") {
				continue // it hides nothing
			}
			if chain == "full" && b.code == 100 {
				continue // the gateway sees that the topic is there, and sends it again
			}
			t.Run(name+", chain "+chain, func(t *testing.T) {
				if b.code != 0 {
					h.prod.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
						resp, err := refusal(req, kafka.Code(b.code))
						return resp, err, true
					})
				}
				c := rawDial(t, addr)
				c.send(kmsg.NewPtrListGroupsRequest())
				c.send(b.request())
				c.send(kmsg.NewPtrListGroupsRequest())
				if got := c.corrs(); !slices.Equal(got, []int32{1}) {
					t.Errorf("answers %v before the end, want [1]", got)
				}
			})
		}
	}
}

// TestAcksZeroGoesOn: what worked is not answered, the connection stays, and every record has
// arrived.
func TestAcksZeroGoesOn(t *testing.T) {
	h := build(t, "orders")
	for chain, addr := range map[string]string{"full": h.gw.Bootstrap, "empty": passing(t, h.prod)} {
		t.Run(chain, func(t *testing.T) {
			from := h.end("orders")
			c := rawDial(t, addr)
			for range 20 {
				c.send(refusedBatch{topic: "orders", records: kafkatest.Batch(100)}.request())
			}
			c.send(kmsg.NewPtrListGroupsRequest())
			if corr, err := c.next(); err != nil || corr != 21 {
				t.Errorf("answer %d, %v; want 21", corr, err)
			}
			if n := h.end("orders") - from; n != 20 {
				t.Errorf("%d of 20 records arrived", n)
			}
		})
	}
}

// end is the end of partition 0 of a topic at prod.
func (h *house) end(topic string) int64 {
	h.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	resp, err := h.client(strings.Join(h.prod.Bootstrap(), ","), kgo.SeedBrokers(h.prod.Bootstrap()...)).Request(h.ctx, req)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset
}

// passing is the bootstrap address of a gateway with an empty chain.
func passing(t *testing.T, c *kafkatest.FakeCluster) string {
	t.Helper()
	port, err := kafkatest.FreePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	open(t, fmt.Sprintf("clusters:\n  prod: {bootstrap: [%s], nodes: 0-1}\nvirtual_clusters:\n  vc:\n    listen: {bootstrap: 127.0.0.1:%d, brokers: {ports: %d-%d}}\n    chain: []\n",
		strings.Join(c.Bootstrap(), ","), port, port+1, port+2))
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// raw is a connection whose requests are numbered from 1.
type raw struct {
	t *testing.T
	net.Conn
	corr int32
}

func rawDial(t *testing.T, addr string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(eventually.Limit))
	return &raw{t: t, Conn: c}
}

func (c *raw) send(req kmsg.Request) {
	c.corr++
	_, _ = c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, c.corr)) // it may be closed by now
}

func (c *raw) next() (int32, error) {
	frame, err := kafka.ReadFrame(c, 1<<20, nil)
	if err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(frame)), nil
}

// corrs lists the answers until the connection ends.
func (c *raw) corrs() (out []int32) {
	c.t.Helper()
	for {
		corr, err := c.next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			c.t.Errorf("the connection does not end: %v", err)
			return out
		}
		out = append(out, corr)
	}
}
