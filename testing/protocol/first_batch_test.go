package protocol

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// sequenced is a produce of one record of an idempotent producer to partition 0 of orders.
func (h *house) sequenced(producer int64, sequence int32) *kmsg.ProduceRequest {
	b := kafka.Batch(kafkatest.Batch(100))
	binary.BigEndian.PutUint64(b[43:], uint64(producer))
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	topic, part := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	part.Records = b
	topic.Topic, topic.TopicID, topic.Partitions = "orders", h.gw.Topic(tenant, "orders").ID, append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	return req
}

// TestTheFirstBatchOnANewHomeGoesAlone: a broker takes any sequence for the first batch of a
// producer that it does not know. A successor that overtakes the first, because that one is refused
// once or its connection is slower, makes a gap that nothing can close.
func TestTheFirstBatchOnANewHomeGoesAlone(t *testing.T) {
	for _, name := range []string{"refused", "slower", "late"} {
		t.Run(name, func(t *testing.T) {
			h := build(t, "orders")
			h.copier(kafkatest.Faults{}, "orders")
			one, two := h.client(h.gw.Bootstrap), h.client(h.gw.Bootstrap)
			id := kmsg.NewPtrInitProducerIDRequest()
			resp, err := one.SeedBrokers()[0].Request(h.ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			producer := resp.(*kmsg.InitProducerIDResponse).ProducerID
			send := func(c *kgo.Client, sequence int32) error {
				resp, err := c.SeedBrokers()[0].Request(h.ctx, h.sequenced(producer, sequence))
				if err != nil {
					return err
				}
				if p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
					return fmt.Errorf("batch %d: error %d", sequence, p.ErrorCode)
				}
				return nil
			}
			for _, c := range []*kgo.Client{one, two} {
				if _, err := c.SeedBrokers()[0].Request(h.ctx, kmsg.NewPtrApiVersionsRequest()); err != nil {
					t.Fatal(err)
				}
			}
			if err := send(one, 0); err != nil {
				t.Fatal(err)
			}
			if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
				t.Fatal(err)
			}
			h.moved(1)

			gate := h.gw.Gate(tenant, "orders")
			var mu sync.Mutex
			var seen []int32
			var once sync.Once
			h.dr.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (resp kmsg.Response, err error, ok bool) {
				h.dr.KeepControl()
				p := req.(*kmsg.ProduceRequest)
				b := kafka.Batch(p.Topics[0].Partitions[0].Records)
				if b.ProducerID() < 0 {
					return nil, nil, false
				}
				mu.Lock()
				seen = append(seen, b.BaseSequence())
				mu.Unlock()
				if b.BaseSequence() != 1 {
					return nil, nil, false
				}
				once.Do(func() {
					switch name {
					case "refused":
						r := req.ResponseKind().(*kmsg.ProduceResponse)
						topic, part := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
						part.ErrorCode = 6
						topic.Topic, topic.TopicID, topic.Partitions = p.Topics[0].Topic, p.Topics[0].TopicID, append(topic.Partitions, part)
						r.Topics = append(r.Topics, topic)
						resp, ok = r, true
					case "slower":
						h.dr.SleepControl(func() { // until the second waits in the gate, or is here
							eventually.True(func() bool {
								mu.Lock()
								defer mu.Unlock()
								return gate.Waiting() > 0 || slices.Contains(seen, 2)
							})
						})
					}
				})
				return resp, err, ok
			})
			gate.Hold(t)
			first, second := make(chan error, 1), make(chan error, 1)
			if name == "late" { // what was sent first is read last
				go func() { second <- send(two, 2) }()
				h.wait("the second batch", func() bool { return gate.Waiting() == 1 })
				go func() { first <- send(one, 1) }()
			} else {
				go func() { first <- send(one, 1) }()
				h.wait("the first batch", func() bool { return gate.Waiting() == 1 })
				go func() { second <- send(two, 2) }()
			}
			h.wait("both batches", func() bool { return gate.Waiting() == 2 })
			gate.Release(t)
			for _, c := range []chan error{first, second} {
				if err := <-c; err != nil {
					t.Error(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if at := slices.Index(seen, 2); at < 1 || seen[at-1] != 1 {
				t.Errorf("batches reached the new home in the order %v", seen)
			}
		})
	}
}

// TestABatchThatOvertakesAnother over a client's two connections waits for it: a broker's 45 would
// be the end of some clients.
func TestABatchThatOvertakesAnother(t *testing.T) {
	h := build(t, "orders")
	one, two := h.client(h.gw.Bootstrap), h.client(h.gw.Bootstrap)
	overtaken := make(chan struct{})
	var once sync.Once
	h.prod.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		if b := kafka.Batch(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records); b.BaseSequence() == 2 {
			once.Do(func() { close(overtaken) })
		}
		return nil, nil, false
	})
	resp, err := one.SeedBrokers()[0].Request(h.ctx, kmsg.NewPtrInitProducerIDRequest())
	if err != nil {
		t.Fatal(err)
	}
	producer := resp.(*kmsg.InitProducerIDResponse).ProducerID
	codes := make(chan int16, 3)
	send := func(c *kgo.Client, sequence int32) {
		resp, err := c.SeedBrokers()[0].Request(h.ctx, h.sequenced(producer, sequence))
		if err != nil {
			t.Error(err)
			codes <- -1
			return
		}
		codes <- resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
	}
	send(one, 0)
	go send(two, 2)
	<-overtaken
	go send(one, 1)
	for range 3 {
		if code := <-codes; code != 0 {
			t.Errorf("code %d", code)
		}
	}
}
