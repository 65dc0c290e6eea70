// Package bench measures the gateway against direct connections and a plain byte copy: allocations,
// CPU per request and per byte, latency, memory of idle connections.
package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// Topic is the topic that a sink has.
const Topic = "bench"

// Sink is a broker that answers at once and keeps nothing. Its loop allocates nothing per request,
// so that allocations in a process are the gateway's.
type Sink struct {
	listener net.Listener
	produced [][]byte // the bodies of Produce answers, by version
	fetched  [][]byte // the bodies of Fetch answers, with records in the first partition
	width    int32    // partitions
}

// Versions that the benchmark's clients speak, and the newest ones.
const (
	ProduceVersion = 9
	FetchVersion   = 12
	ProduceNewest  = 13
	FetchNewest    = 18
)

// NewSink starts a sink of one partition; a Fetch is answered with recordBytes of records.
func NewSink(addr string, recordBytes int) (*Sink, error) { return NewWideSink(addr, recordBytes, 1) }

// NewWideSink starts a sink with several partitions. A Fetch is answered as one that names all of
// them; the first has records.
func NewWideSink(addr string, recordBytes int, width int32) (*Sink, error) {
	return newSink(addr, kafkatest.Batch(recordBytes), width)
}

// NewRecordsSink starts a sink of one partition; a Fetch is answered with records.
func NewRecordsSink(addr string, records []byte) (*Sink, error) { return newSink(addr, records, 1) }

func newSink(addr string, records []byte, width int32) (*Sink, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Sink{listener: l, width: width}
	for v := range int16(ProduceNewest + 1) {
		s.produced = append(s.produced, producedBody(v, width))
	}
	for v := range int16(FetchNewest + 1) {
		s.fetched = append(s.fetched, fetchedBody(v, records, width))
	}
	go s.accept()
	return s, nil
}

func producedBody(version int16, width int32) []byte {
	m := kmsg.NewPtrProduceResponse()
	m.SetVersion(version)
	t := kmsg.NewProduceResponseTopic()
	t.Topic, t.TopicID = Topic, sinkID
	for i := range width {
		p := kmsg.NewProduceResponseTopicPartition()
		p.Partition, p.LogStartOffset = i, 0
		t.Partitions = append(t.Partitions, p)
	}
	m.Topics = append(m.Topics, t)
	return m.AppendTo(nil)
}

func fetchedBody(version int16, records []byte, width int32) []byte {
	m := kmsg.NewPtrFetchResponse()
	m.SetVersion(version)
	t := kmsg.NewFetchResponseTopic()
	t.Topic, t.TopicID = Topic, sinkID
	for i := range width {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.RecordBatches = i, []byte{}
		if i == 0 {
			p.RecordBatches = records
		}
		p.HighWatermark, p.LastStableOffset, p.LogStartOffset = 1, 1, 0
		t.Partitions = append(t.Partitions, p)
	}
	m.Topics = append(m.Topics, t)
	return m.AppendTo(nil)
}

// sinkID is the topic's id.
var sinkID = [16]byte{1}

// Addr is where the sink listens.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// Close ends the sink.
func (s *Sink) Close() { _ = s.listener.Close() }

func (s *Sink) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		go s.serve(c)
	}
}

func (s *Sink) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReaderSize(c, 128<<10)
	w := bufio.NewWriterSize(c, 128<<10)
	head := make([]byte, 12)
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint32(head))
		key, version := int16(binary.BigEndian.Uint16(head[4:])), int16(binary.BigEndian.Uint16(head[6:]))
		switch kmsg.Key(key) {
		case kmsg.Produce:
			if _, err := r.Discard(size - 8); err != nil {
				return
			}
			reply(w, head[8:12], version >= 9, s.produced[version])
		case kmsg.Fetch:
			if _, err := r.Discard(size - 8); err != nil {
				return
			}
			reply(w, head[8:12], version >= 12, s.fetched[version])
		default:
			rest := make([]byte, size-8)
			if _, err := io.ReadFull(r, rest); err != nil {
				return
			}
			body, flexible := s.other(kmsg.Key(key), version)
			if body == nil {
				return
			}
			reply(w, head[8:12], flexible, body)
		}
	}
}

func reply(w *bufio.Writer, corr []byte, flexible bool, body []byte) {
	n := 4 + len(body)
	if flexible {
		n++
	}
	_ = w.WriteByte(byte(n >> 24))
	_ = w.WriteByte(byte(n >> 16))
	_ = w.WriteByte(byte(n >> 8))
	_ = w.WriteByte(byte(n))
	_, _ = w.Write(corr)
	if flexible {
		_ = w.WriteByte(0)
	}
	_, _ = w.Write(body)
}

// other answers what a gateway asks before it serves.
func (s *Sink) other(key kmsg.Key, version int16) (body []byte, flexible bool) {
	switch key {
	case kmsg.ApiVersions:
		return Versions(version), false
	case kmsg.Metadata:
		host, port, _ := net.SplitHostPort(s.Addr())
		m := kmsg.NewPtrMetadataResponse()
		m.SetVersion(version)
		b := kmsg.NewMetadataResponseBroker()
		b.Host = host
		_, _ = fmt.Sscan(port, &b.Port)
		m.Brokers = append(m.Brokers, b)
		m.ClusterID = kmsg.StringPtr("sink")
		t := kmsg.NewMetadataResponseTopic()
		t.Topic, t.TopicID = kmsg.StringPtr(Topic), sinkID
		for i := range s.width {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Replicas, p.ISR = i, []int32{0}, []int32{0}
			t.Partitions = append(t.Partitions, p)
		}
		m.Topics = append(m.Topics, t)
		return m.AppendTo(nil), m.IsFlexible()
	}
	return nil, false
}

// Versions is the body of an answer to ApiVersions: everything that the gateway knows.
func Versions(version int16) []byte {
	v := kmsg.NewPtrApiVersionsResponse()
	v.SetVersion(version)
	for _, api := range kafka.APIs() {
		if api.GoesTo == kafka.Refused {
			continue
		}
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = int16(api.Key), api.MinVersion, api.MaxVersion
		v.ApiKeys = append(v.ApiKeys, k)
	}
	return v.AppendTo(nil)
}

// ProduceFrame is a Produce request of one partition with about n bytes of records.
func ProduceFrame(n int) []byte { return ProduceRecordsFrame(Topic, kafkatest.Batch(n)) }

// FetchFrame is a Fetch request of one partition.
func FetchFrame() []byte { return WideFetchFrame(1) }

// WideFetchFrame is a Fetch request of the first width partitions.
func WideFetchFrame(width int32) []byte { return FetchFrameOf(FetchVersion, [16]byte{}, width) }

// FetchFrameOf is a Fetch request of the first width partitions in a version; id is the topic's, in
// versions that carry one.
func FetchFrameOf(version int16, id [16]byte, width int32) []byte {
	m := kmsg.NewPtrFetchRequest()
	m.SetVersion(version)
	m.ReplicaID, m.MaxWaitMillis, m.MinBytes, m.MaxBytes, m.SessionEpoch = -1, 500, 1, 1<<30, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = Topic, id
	for i := range width {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes, p.CurrentLeaderEpoch = i, 1<<30, -1
		t.Partitions = append(t.Partitions, p)
	}
	m.Topics = append(m.Topics, t)
	return Frame(kmsg.Fetch, version, m.AppendTo)
}

// ProduceFrameOf is a Produce request of about 200 bytes to each of the first width partitions in a
// version; id is the topic's, in versions that carry one.
func ProduceFrameOf(version int16, id [16]byte, width int32) []byte {
	m := kmsg.NewPtrProduceRequest()
	m.SetVersion(version)
	m.Acks, m.TimeoutMillis = -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = Topic, id
	for i := range width {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = i, kafkatest.Batch(200)
		t.Partitions = append(t.Partitions, p)
	}
	m.Topics = append(m.Topics, t)
	return Frame(kmsg.Produce, version, m.AppendTo)
}

// Frame is a request with its size in front.
func Frame(key kmsg.Key, version int16, body func([]byte) []byte) []byte {
	b := kafka.AppendRequestHeader(make([]byte, 4), kafka.Header{Key: key, Version: version, CorrelationID: 1, ClientID: "bench", HasClientID: true})
	b = body(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}
