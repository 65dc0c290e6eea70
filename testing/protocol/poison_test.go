package protocol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestAPoisonousRequestHurtsItsClientAlone: a request for which brokers close the connection is
// given up after a few links, and the topic goes on for everybody else.
func TestAPoisonousRequestHurtsItsClientAlone(t *testing.T) {
	h := build(t, "orders")
	refused := make(chan struct{}, 100)
	h.prod.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		if len(p.Topics) > 0 && bytes.Contains(p.Topics[0].Partitions[0].Records, []byte("poison")) {
			select {
			case refused <- struct{}{}:
			default:
			}
			return nil, errors.New("poison"), true
		}
		return nil, nil, false
	})
	var asked atomic.Int32
	for _, c := range []*kafkatest.FakeCluster{h.prod, h.dr} {
		c.ControlKey(int16(kmsg.DescribeACLs), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			asked.Add(1)
			return nil, errors.New("poison"), true
		})
	}

	bad := h.client(h.gw.Bootstrap, kgo.ProducerBatchCompression(kgo.NoCompression()))
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	ended := make(chan error, 1)
	bad.Produce(ctx, &kgo.Record{Topic: "orders", Value: []byte("poison")}, func(_ *kgo.Record, err error) { ended <- err })
	<-refused
	good := h.client(h.gw.Bootstrap)
	h.produce(good, "orders", "x", 20) // while the other goes on
	select {
	case err := <-ended:
		t.Errorf("the poison has ended: %v", err)
	default:
	}

	acls := kmsg.NewPtrDescribeACLsRequest()
	acls.ResourceType, acls.ResourcePatternType, acls.Operation, acls.PermissionType = 1, 1, 1, 1
	resp, err := good.SeedBrokers()[0].Request(h.ctx, acls)
	if err != nil {
		t.Fatal(err)
	}
	if code := resp.(*kmsg.DescribeACLsResponse).ErrorCode; code == 0 {
		t.Error("nobody answers, but no error is told")
	}
	if n := asked.Load(); n > 10 {
		t.Errorf("asked on %d links", n)
	}

	empty := kmsg.NewPtrProduceRequest()
	empty.Acks, empty.TimeoutMillis = -1, 1000
	topic, part := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	topic.Topic, topic.TopicID, topic.Partitions = "orders", h.gw.Topic(tenant, "orders").ID, append(topic.Partitions, part)
	empty.Topics = append(empty.Topics, topic)
	if resp, err = good.SeedBrokers()[0].Request(h.ctx, empty); err != nil {
		t.Fatal(err)
	}
	if code := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 87 {
		t.Errorf("no records: code %d", code)
	}
}

// TestAGapHurtsItsClientAlone: a batch whose predecessor never comes is sent again a few times
// after a hold, then its client gets the broker's answer, and the topic goes on for everybody else.
func TestAGapHurtsItsClientAlone(t *testing.T) {
	h := build(t, "orders")
	gate := h.gw.Gate(tenant, "orders")
	held := make(chan struct{})
	var once sync.Once
	var sent atomic.Int32
	h.prod.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		if len(p.Topics) == 0 || !bytes.Contains(p.Topics[0].Partitions[0].Records, []byte("gap")) {
			return nil, nil, false
		}
		sent.Add(1)
		once.Do(func() { gate.Hold(t); close(held) })
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		topic, part := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
		topic.Topic, topic.TopicID = p.Topics[0].Topic, p.Topics[0].TopicID
		part.Partition, part.ErrorCode = p.Topics[0].Partitions[0].Partition, 45
		topic.Partitions = append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	bad := h.client(h.gw.Bootstrap, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordRetries(0))
	answered := make(chan error, 1)
	bad.Produce(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("gap")}, func(_ *kgo.Record, err error) { answered <- err })
	<-held
	gate.Release(t)
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 20)
	if err := <-answered; err == nil {
		t.Error("the batch after the gap was acknowledged")
	}
	if n := sent.Load(); n > 10 {
		t.Errorf("sent %d times", n)
	}
}

// TestABrokerThatLagsIsAskedAgain: a leader that does not know a topic yet, which its cluster has,
// is not shown to clients.
func TestABrokerThatLagsIsAskedAgain(t *testing.T) {
	h := build(t, "orders")
	var mu sync.Mutex
	lagged := 0
	h.prod.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if lagged++; lagged > 3 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range req.(*kmsg.ProduceRequest).Topics {
			topic, part := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
			part.Partition, part.ErrorCode = rt.Partitions[0].Partition, 100
			topic.Topic, topic.TopicID, topic.Partitions = rt.Topic, rt.TopicID, append(topic.Partitions, part)
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	for _, opts := range [][]kgo.Opt{nil, {kgo.DisableIdempotentWrite()}} {
		mu.Lock()
		lagged = 0
		mu.Unlock()
		c := h.client(h.gw.Bootstrap, append(opts, kgo.UnknownTopicRetries(0), kgo.RecordRetries(0))...)
		h.produce(c, "orders", "x", 3)
	}
}

// TestPartitionsThatThereAreNot are refused at once, beside those that there are, and hold nobody:
// a produce of which a partition has no leader waits, and this is none of them.
func TestPartitionsThatThereAreNot(t *testing.T) {
	for name, file := range map[string]string{
		"empty": "[]", "full": "[routing: {default: prod}, topics: {}, offsets: {}]",
	} {
		t.Run(name, func(t *testing.T) {
			ctx := eventually.Context(t)
			prod := fake(t, "prod", map[string]int32{"orders": 3})
			port, err := kafkatest.FreePorts(11)
			if err != nil {
				t.Fatal(err)
			}
			open(t, fmt.Sprintf("state: {dir: ./state}\nclusters:\n  prod: {bootstrap: [%s], nodes: 0-9}\nvirtual_clusters:\n  vc:\n"+
				"    listen: {bootstrap: 127.0.0.1:%d, brokers: {host: 127.0.0.1, ports: %d-%d}}\n    chain: %s\n", prod.Bootstrap()[0], port, port+1, port+10, file))
			c, err := kgo.NewClient(kgo.SeedBrokers(fmt.Sprintf("127.0.0.1:%d", port)), kgo.MaxVersions(kversion.V2_8_0()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			req := kmsg.NewPtrProduceRequest()
			req.Acks, req.TimeoutMillis = -1, 1000
			topic := kmsg.NewProduceRequestTopic()
			topic.Topic = "orders"
			for _, n := range []int32{0, -1, 3} {
				p := kmsg.NewProduceRequestTopicPartition()
				p.Partition, p.Records = n, kafkatest.Batch(100)
				topic.Partitions = append(topic.Partitions, p)
			}
			req.Topics = append(req.Topics, topic)
			resp, err := c.SeedBrokers()[0].Request(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			got := map[int32]int16{}
			for _, p := range resp.(*kmsg.ProduceResponse).Topics[0].Partitions {
				got[p.Partition] = p.ErrorCode
			}
			if want := map[int32]int16{0: 0, -1: 3, 3: 3}; !maps.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}
