package failover

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

const (
	outOfRange = 1 // Kafka's error codes
	notLeader  = 6
	noTopic    = 3
)

// fake is a cluster in memory. It answers what a move asks as a broker would, without waiting, so
// that time limits can be tested with synctest.
type fake struct {
	name string

	mu   sync.Mutex
	down bool
	// trouble is why, if it is down; nil is that it can't be reached.
	trouble error
	topo    *plugin.Topology
	topics  map[string]*fakeTopic
	groups  map[string]map[int32]int64 // offsets committed for "orders", by group
	before  func(kmsg.Request)         // called before a request is answered
	asked   map[kmsg.Key]int
	broken  int // calls of BreakLinks
	// refreshed counts how often all metadata was asked for.
	refreshed int
	listed    []int32 // the brokers that the cluster names
	// keeps is what DeleteRecords is refused with.
	keeps int16
	// refuses is what a produce is refused with, and why.
	refuses int16
	because string
	// allowed is what a Metadata response calls authorized operations.
	allowed int32
}

type fakeTopic struct {
	logs    []*fakeLog
	made    byte // how often it was made again
	configs map[string]string
}

// fakeLog is one partition. Partition p of a topic is led by node p%2.
type fakeLog struct {
	start, end int64
	epoch      int32
	batches    []fakeBatch
	producers  []kmsg.DescribeProducersResponseTopicPartitionActiveProducer
}

type fakeBatch struct {
	last int64
	raw  kafka.Batch
}

func newFake(name string) *fake {
	f := &fake{name: name, listed: []int32{0, 1}, allowed: math.MinInt32, topics: map[string]*fakeTopic{}, groups: map[string]map[int32]int64{}, asked: map[kmsg.Key]int{}}
	f.topo = &plugin.Topology{}
	return f
}

// topic makes a topic of n partitions and returns their logs.
func (f *fake) topic(name string, n int) []*fakeLog {
	f.fill(n, name)
	return f.topics[name].logs
}

// fill makes topics of n partitions.
func (f *fake) fill(n int, names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		t := &fakeTopic{configs: map[string]string{"max.message.bytes": "1048588", "message.timestamp.type": "CreateTime"}}
		for range n {
			t.logs = append(t.logs, &fakeLog{epoch: 7})
		}
		f.topics[name] = t
	}
	f.topo = f.view()
}

func (f *fake) view() *plugin.Topology {
	topo := &plugin.Topology{
		ClusterID: f.name, Brokers: []plugin.Broker{{ID: 0}, {ID: 1}},
		Topics: map[string]*plugin.Topic{}, IDs: map[[16]byte]*plugin.Topic{},
	}
	for name, t := range f.topics {
		pt := &plugin.Topic{Name: name}
		copy(pt.ID[:], f.name+"/"+name)
		pt.ID[15] += t.made
		for p, l := range t.logs {
			pt.Partitions = append(pt.Partitions, plugin.Partition{Leader: int32(p % 2), Epoch: l.epoch})
		}
		topo.Topics[name], topo.IDs[pt.ID] = pt, pt
	}
	return topo
}

// set changes the cluster under its lock.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) count(k kmsg.Key) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[k]
}

func (f *fake) Name() string                 { return f.name }
func (f *fake) Slot() int                    { return 0 }
func (f *fake) Learn(*kmsg.MetadataResponse) { f.set(func() { f.topo = f.view() }) }
func (f *fake) BreakLinks()                  { f.set(func() { f.broken++ }) }

func (f *fake) Coordinator(context.Context, int8, string) (int32, error) { return 0, nil }

func (f *fake) Topology() *plugin.Topology {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.topo
}

func (f *fake) Reachable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.down
}

func (f *fake) Trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.down {
		return nil
	}
	if f.trouble != nil {
		return f.trouble
	}
	return plugin.ErrUnreachable
}

func (f *fake) Refresh(ctx context.Context) (*plugin.Topology, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, plugin.ErrUnreachable
	}
	f.refreshed++
	f.topo = f.view()
	return f.topo, ctx.Err()
}

func (f *fake) Do(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	f.mu.Lock()
	before := f.before
	f.asked[kmsg.Key(req.Key())]++
	f.mu.Unlock()
	if before != nil {
		before(req)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, fmt.Errorf("%s: %w", f.name, plugin.ErrUnreachable)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	switch r := req.(type) {
	case *kmsg.ListOffsetsRequest:
		return f.listOffsets(node, r), nil
	case *kmsg.FetchRequest:
		return f.fetch(node, r), nil
	case *kmsg.DescribeConfigsRequest:
		resp := kmsg.NewPtrDescribeConfigsResponse()
		for _, res := range r.Resources {
			out := kmsg.NewDescribeConfigsResponseResource()
			out.ResourceName = res.ResourceName
			t := f.topics[res.ResourceName]
			if t == nil {
				t = &fakeTopic{}
			}
			for k, v := range t.configs {
				c := kmsg.NewDescribeConfigsResponseResourceConfig()
				c.Name, c.Value = k, &v
				out.Configs = append(out.Configs, c)
			}
			resp.Resources = append(resp.Resources, out)
		}
		return resp, nil
	case *kmsg.MetadataRequest:
		resp := kmsg.NewPtrMetadataResponse()
		for _, n := range f.listed {
			b := kmsg.NewMetadataResponseBroker()
			b.NodeID = n
			resp.Brokers = append(resp.Brokers, b)
		}
		for _, rt := range r.Topics {
			t := kmsg.NewMetadataResponseTopic()
			t.Topic, t.AuthorizedOperations = rt.Topic, f.allowed
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil
	case *kmsg.DescribeProducersRequest:
		resp := kmsg.NewPtrDescribeProducersResponse()
		for _, rt := range r.Topics {
			t := kmsg.NewDescribeProducersResponseTopic()
			t.Topic = rt.Topic
			for _, n := range rt.Partitions {
				p := kmsg.NewDescribeProducersResponseTopicPartition()
				p.Partition = n
				var l *fakeLog
				if l, p.ErrorCode = f.find(node, rt.Topic, p.Partition); l != nil {
					p.ActiveProducers = l.producers
				}
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil
	case *kmsg.ListTransactionsRequest:
		resp := kmsg.NewPtrListTransactionsResponse()
		if node == 1 { // the coordinator
			x := kmsg.NewListTransactionsResponseTransactionState()
			x.TransactionalID, x.ProducerID = "billing", r.ProducerIDFilters[0]
			resp.TransactionStates = append(resp.TransactionStates, x)
		}
		return resp, nil
	case *kmsg.DeleteRecordsRequest:
		return f.deleteRecords(node, r), nil
	case *kmsg.ProduceRequest:
		return f.produce(node, r), nil
	case *kmsg.ListGroupsRequest:
		resp := kmsg.NewPtrListGroupsResponse()
		for _, g := range slices.Sorted(maps.Keys(f.groups)) {
			x := kmsg.NewListGroupsResponseGroup()
			x.Group = g
			resp.Groups = append(resp.Groups, x)
		}
		return resp, nil
	case *atMost:
		resp := kmsg.NewPtrOffsetFetchResponse()
		g := kmsg.NewOffsetFetchResponseGroup()
		g.Group = r.Groups[0].Group
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic = "orders"
		for p, o := range f.groups[g.Group] {
			x := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			x.Partition, x.Offset = p, o
			t.Partitions = append(t.Partitions, x)
		}
		g.Topics = append(g.Topics, t)
		resp.Groups = append(resp.Groups, g)
		return resp, nil
	}
	return nil, fmt.Errorf("%s is not asked %T", f.name, req)
}

func (f *fake) find(node int32, topic string, p int32) (*fakeLog, int16) {
	t := f.topics[topic]
	switch {
	case t == nil || int(p) >= len(t.logs):
		return nil, noTopic
	case node != p%2:
		return nil, notLeader
	}
	return t.logs[p], 0
}

// produce refuses a batch whose checksum is not its own, as a broker does, after what refuses
// produces to a partition.
func (f *fake) produce(node int32, r *kmsg.ProduceRequest) kmsg.Response {
	resp := kmsg.NewPtrProduceResponse()
	for _, t := range r.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition = p.Partition
			_, rp.ErrorCode = f.find(node, t.Topic, p.Partition)
			switch {
			case rp.ErrorCode != 0:
			case f.refuses != 0:
				rp.ErrorCode, rp.ErrorMessage = f.refuses, &f.because
			case kafka.Batch(p.Records).ValidCRC():
				panic("a batch that a broker would append")
			default:
				rp.ErrorCode = kerr.CorruptMessage.Code
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (f *fake) deleteRecords(node int32, r *kmsg.DeleteRecordsRequest) kmsg.Response {
	resp := kmsg.NewPtrDeleteRecordsResponse()
	for _, t := range r.Topics {
		rt := kmsg.NewDeleteRecordsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewDeleteRecordsResponseTopicPartition()
			rp.Partition = p.Partition
			var l *fakeLog
			switch l, rp.ErrorCode = f.find(node, t.Topic, p.Partition); {
			case rp.ErrorCode != 0:
			case f.keeps != 0:
				rp.ErrorCode = f.keeps
			case p.Offset > l.end:
				rp.ErrorCode = outOfRange
			default:
				l.start = max(l.start, p.Offset)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (f *fake) listOffsets(node int32, r *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := kmsg.NewPtrListOffsetsResponse()
	for _, t := range r.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition = p.Partition
			var l *fakeLog
			if l, rp.ErrorCode = f.find(node, t.Topic, p.Partition); l != nil {
				rp.Offset = map[int64]int64{-2: l.start, -1: l.end}[p.Timestamp]
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// shape is what a batch has besides its records.
type shape struct {
	codec      kgo.CompressionCodec
	packed     bool // codec is set
	control    bool
	appendTime int64 // the broker's time, for LogAppendTime
	producer   int64 // 0: none
	sequence   int32
}

// batch appends one batch. Offsets of records are relative to its first one and may have gaps, as
// compaction leaves them; without any they are counted.
func (l *fakeLog) batch(s shape, records ...kafka.Record) {
	b := kmsg.RecordBatch{FirstOffset: l.end, PartitionLeaderEpoch: l.epoch, Magic: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(records))}
	if s.producer != 0 {
		b.ProducerID, b.ProducerEpoch, b.FirstSequence = s.producer, 0, s.sequence
	}
	if len(records) > 0 {
		b.FirstTimestamp = records[0].Timestamp
	}
	var body []byte
	for i, r := range records {
		at := int32(i)
		if n := len(records); records[n-1].Offset != 0 {
			at = int32(r.Offset)
		}
		x := kmsg.Record{TimestampDelta64: r.Timestamp - b.FirstTimestamp, OffsetDelta: at, Key: r.Key, Value: r.Value, Headers: r.Headers}
		x.Length = int32(len(x.AppendTo(nil)) - 1) // the length itself is one byte while it is 0
		body = x.AppendTo(body)
		b.LastOffsetDelta, b.MaxTimestamp = at, max(b.MaxTimestamp, r.Timestamp)
	}
	if s.packed {
		c, err := kgo.DefaultCompressor(s.codec)
		if err != nil {
			panic(err)
		}
		packed, codec := c.Compress(&bytes.Buffer{}, body)
		body, b.Attributes = slices.Clone(packed), int16(codec)
	}
	if s.control {
		b.Attributes |= 32 | 16
	}
	if s.appendTime > 0 {
		b.Attributes, b.MaxTimestamp = b.Attributes|8, s.appendTime
	}
	b.Records = body
	raw := kafka.Batch(b.AppendTo(nil))
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	last := l.end + int64(b.LastOffsetDelta)
	l.batches = append(l.batches, fakeBatch{last, raw})
	l.end = last + 1
}

// add appends records in batches of five.
func (l *fakeLog) add(records ...kafka.Record) {
	for b := range slices.Chunk(records, 5) {
		l.batch(shape{}, b...)
	}
}

// skip leaves out n offsets: a log that begins later, or records that were deleted.
func (l *fakeLog) skip(n int64) {
	if l.end += n; len(l.batches) == 0 {
		l.start = l.end
	}
}

// record is the i-th of a log, unlike every other.
func record(i int) kafka.Record {
	return kafka.Record{
		Timestamp: 1_700_000_000_000 + int64(i), Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "value-%d", i),
		Headers: []kmsg.Header{{Key: "trace", Value: fmt.Appendf(nil, "%d", i)}},
	}
}

// records are those from first up to, without, end.
func records(first, end int) (out []kafka.Record) {
	for i := first; i < end; i++ {
		out = append(out, record(i))
	}
	return out
}

// pair makes prod and dr with one topic of one partition.
func pair() (prod, dr *fake, ours, theirs *fakeLog) {
	prod, dr = newFake("prod"), newFake("dr")
	return prod, dr, prod.topic("orders", 1)[0], dr.topic("orders", 1)[0]
}

func sides(t *testing.T, prod, dr *fake) (old, copied *side) {
	t.Helper()
	old, err := newSide(prod, "orders")
	if err != nil {
		t.Fatal(err)
	}
	if copied, err = newSide(dr, "orders"); err != nil {
		t.Fatal(err)
	}
	return old, copied
}
