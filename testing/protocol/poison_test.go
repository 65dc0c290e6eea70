package protocol

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAPoisonousRequestHurtsItsClientAlone: a request for which brokers close the connection is given up
// after a few links, and the topic goes on for everybody else.
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
	h.prod.ControlKey(int16(kmsg.DescribeACLs), func(kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		return nil, errors.New("poison"), true
	})
	h.dr.ControlKey(int16(kmsg.DescribeACLs), func(kmsg.Request) (kmsg.Response, error, bool) {
		h.dr.KeepControl()
		return nil, errors.New("poison"), true
	})

	bad := h.client(h.gw.Bootstrap, kgo.ProducerBatchCompression(kgo.NoCompression()))
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	bad.Produce(ctx, &kgo.Record{Topic: "orders", Value: []byte("poison")}, nil)
	<-refused
	good := h.client(h.gw.Bootstrap)
	began := time.Now()
	h.produce(good, "orders", "x", 20)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("another client waited for %s", took)
	}

	acls := kmsg.NewPtrDescribeACLsRequest()
	acls.ResourceType, acls.ResourcePatternType, acls.Operation, acls.PermissionType = 1, 1, 1, 1
	began = time.Now()
	resp, err := good.SeedBrokers()[0].Request(h.ctx, acls)
	if err != nil {
		t.Fatal(err)
	}
	if code := resp.(*kmsg.DescribeACLsResponse).ErrorCode; code == 0 || time.Since(began) > 10*time.Second {
		t.Errorf("code %d after %s", code, time.Since(began))
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

// TestAGapHurtsItsClientAlone: a batch whose predecessor never comes is sent again a few times after a hold,
// then its client gets the broker's answer, and the topic goes on for everybody else.
func TestAGapHurtsItsClientAlone(t *testing.T) {
	h := build(t, "orders")
	gate := h.gw.Gate(tenant, "orders")
	held := make(chan struct{})
	var once sync.Once
	h.prod.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.prod.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		if len(p.Topics) == 0 || !bytes.Contains(p.Topics[0].Partitions[0].Records, []byte("gap")) {
			return nil, nil, false
		}
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
	began := time.Now()
	bad.Produce(h.ctx, &kgo.Record{Topic: "orders", Value: []byte("gap")}, func(_ *kgo.Record, err error) { answered <- err })
	<-held
	gate.Release(t)
	h.produce(h.client(h.gw.Bootstrap), "orders", "x", 20)
	if err := <-answered; err == nil {
		t.Error("the batch after the gap was acknowledged")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("clients waited for %s", took)
	}
}

// TestABrokerThatLagsIsAskedAgain: a leader that does not know a topic yet, which its cluster has, is not
// shown to clients.
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
