package clients

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// SpreadKinds are the kinds of producers that fill several partitions of several topics in one
// request.
var SpreadKinds = []string{
	"idempotent", // franz-go as it comes: five requests on their way to a broker
	"batching",   // the same, which waits for more records, so that its requests name many partitions
	"plain",      // without sequence numbers, one request on its way
	"raw",        // a request that names every partition of every topic, whoever leads them
}

// GroupKinds are the kinds of groups of Consume.
var GroupKinds = []string{
	"cooperative", // franz-go as it comes: partitions are handed over while others are read
	"eager",       // all partitions are given up in a rebalance
	"static",      // members with an id of their own, who come back to what they had
	"next",        // KIP-848: the cluster assigns
}

// Spread are topics that a client uses at once, each with its number of partitions and its
// recorder.
type Spread struct {
	Bootstrap  string
	Rate       time.Duration // between the records of a producer
	Topics     []string
	Partitions map[string][]int32
	Of         map[string]*Recorder
	Committed  bool // is read alone
	// Cuts says that the gateway is killed at times: that connections end is no fault then.
	Cuts bool
	// Took, if not nil, is told how long each record took to be acknowledged.
	Took func(time.Duration)
}

// Produce writes to partitions and topics at random until ctx ends, then waits for what is on its
// way. The records of a topic have the value "name-counter", the counter rising by one.
func (s Spread) Produce(ctx context.Context, kind, name string) error {
	if kind == "raw" {
		return s.raw(ctx, name)
	}
	opts := []kgo.Opt{kgo.SeedBrokers(s.Bootstrap), kgo.ClientID(name), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0)}
	switch kind {
	case "batching":
		opts = append(opts, kgo.ProducerLinger(20*time.Millisecond))
	case "plain":
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer c.Close()
	random := rand.New(rand.NewPCG(uint64(crc32.ChecksumIEEE([]byte(name))), 0))
	next := map[string]int{}
	var wg sync.WaitGroup
	Paced(ctx, s.Rate, name, func(int, string) {
		topic := s.Topics[random.IntN(len(s.Topics))]
		parts := s.Partitions[topic]
		id := fmt.Sprintf("%s-%d", name, next[topic])
		next[topic]++
		wg.Add(1)
		sent := time.Now()
		c.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: topic, Partition: parts[random.IntN(len(parts))], Value: []byte(id)}, func(rec *kgo.Record, err error) {
			defer wg.Done()
			if err != nil {
				s.Of[topic].Error(name, "%s: %v", id, err)
				return
			}
			s.Of[topic].Acked(name, id, Place{rec.Partition, rec.Offset})
			if s.Took != nil {
				s.Took(time.Since(sent))
			}
		})
	})
	wg.Wait()
	return nil
}

// raw sends one request after the other that holds a batch for every partition of its topics, with
// sequence numbers, to the bootstrap address: the gateway divides it among the nodes that lead
// them.
func (s Spread) raw(ctx context.Context, name string) error {
	byName := kversion.Stable()
	byName.SetMaxKeyVersion(int16(kmsg.Produce), 12)
	c, err := kgo.NewClient(kgo.SeedBrokers(s.Bootstrap), kgo.ClientID(name), kgo.MaxVersions(byName))
	if err != nil {
		return err
	}
	defer c.Close()
	got, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, c)
	if err != nil {
		return err
	}
	if got.ErrorCode != 0 {
		return fmt.Errorf("InitProducerID: %s", kafka.Code(got.ErrorCode).Name())
	}
	next, seq := map[string]int{}, map[string]int32{} // by topic; by topic and partition
	Paced(ctx, 4*s.Rate, name, func(n int, _ string) {
		m := kmsg.NewPtrProduceRequest()
		m.Acks, m.TimeoutMillis = -1, 30_000
		sent := map[string]map[int32]string{}
		for _, topic := range s.Topics {
			rt := kmsg.NewProduceRequestTopic()
			rt.Topic = topic
			sent[topic] = map[int32]string{}
			for _, part := range s.Partitions[topic] {
				id, key := fmt.Sprintf("%s-%d", name, next[topic]), fmt.Sprintf("%s/%d", topic, part)
				rp := kmsg.NewProduceRequestTopicPartition()
				rp.Partition, rp.Records = part, batchOfOne(got.ProducerID, got.ProducerEpoch, seq[key], id)
				rt.Partitions = append(rt.Partitions, rp)
				sent[topic][part] = id
				next[topic]++
				seq[key]++
			}
			m.Topics = append(m.Topics, rt)
		}
		resp, err := c.SeedBrokers()[0].Request(context.WithoutCancel(ctx), m)
		if err != nil {
			s.Of[s.Topics[0]].Error(name, "request %d: %v", n, err)
			return
		}
		for _, t := range resp.(*kmsg.ProduceResponse).Topics {
			for _, part := range t.Partitions {
				id := sent[t.Topic][part.Partition]
				if part.ErrorCode != 0 {
					s.Of[t.Topic].Error(name, "%s: %s", id, kafka.Code(part.ErrorCode).Name())
					continue
				}
				s.Of[t.Topic].Acked(name, id, Place{part.Partition, part.BaseOffset})
			}
		}
	})
	return nil
}

// batchOfOne makes a batch of one record.
func batchOfOne(producer int64, epoch int16, seq int32, value string) []byte {
	rec := []byte{0, 0, 0, 1} // attributes, deltas, a null key
	rec = append(binary.AppendVarint(rec, int64(len(value))), value...)
	rec = append(rec, 0)
	b := binary.AppendVarint(make([]byte, kafka.BatchHeader), int64(len(rec)))
	b = append(b, rec...)
	now := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	binary.BigEndian.PutUint64(b[27:], now)
	binary.BigEndian.PutUint64(b[35:], now)
	binary.BigEndian.PutUint64(b[43:], uint64(producer))
	binary.BigEndian.PutUint16(b[51:], uint16(epoch))
	binary.BigEndian.PutUint32(b[53:], uint32(seq))
	binary.BigEndian.PutUint32(b[57:], 1)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// Consume reads every topic from its start until ctx ends; as member number i of a group of a kind,
// if there is one.
func (s Spread) Consume(ctx context.Context, name, group string, i int) error {
	opts := []kgo.Opt{kgo.SeedBrokers(s.Bootstrap), kgo.ConsumeTopics(s.Topics...), kgo.ClientID(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500 * time.Millisecond)}
	if s.Committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if group != "" {
		// What was received is committed before others may read from there: else a rebalance alone
		// delivers records twice.
		opts = append(opts, kgo.ConsumerGroup(name), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll())
	}
	switch group {
	case "eager":
		opts = append(opts, kgo.Balancers(kgo.RoundRobinBalancer()))
	case "static":
		opts = append(opts, kgo.Balancers(kgo.StickyBalancer()), kgo.InstanceID(fmt.Sprintf("%s-%d", name, i)))
	case "next":
		opts = append(opts, kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer c.CloseAllowingRebalance()
	for {
		f := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		f.EachError(func(topic string, p int32, err error) {
			if !s.Cuts || !isCut(err) {
				s.recorder(topic).Error(name, "%s/%d: %v", topic, p, err)
			}
		})
		f.EachRecord(func(r *kgo.Record) {
			s.Of[r.Topic].Received(name, string(r.Value), Place{r.Partition, r.Offset})
		})
		if group != "" {
			// Also of one that leaves. What can't be committed comes twice, which is seen.
			_ = c.CommitUncommittedOffsets(context.WithoutCancel(ctx))
			c.AllowRebalance()
		}
	}
}

// isCut reports that an error is only the end of a connection, or that there was none to be had.
func isCut(err error) bool {
	var first *kgo.ErrFirstReadEOF
	var failed *net.OpError
	return errors.As(err, &first) || errors.As(err, &failed) || errors.Is(err, io.EOF)
}

// recorder is that of a topic; errors that name none are the first one's.
func (s Spread) recorder(topic string) *Recorder {
	if r := s.Of[topic]; r != nil {
		return r
	}
	return s.Of[s.Topics[0]]
}
