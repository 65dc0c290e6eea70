package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/bench"
)

// partitions is how many each topic has.
const partitions = 12

// cluster is a broker with many topics that are empty. Its metadata of all topics is made once for
// each version.
type cluster struct {
	net.Listener
	id     string
	port   int32
	topics []string
	number map[string]int

	mu  sync.Mutex
	all map[int16][]byte
}

// topicName names topics so that every second one lives on the second cluster.
func topicName(i int) string { return fmt.Sprintf("%c-%05d", 'a'+i%2, i) }

func newCluster(addr, id string, topics int) (*cluster, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &cluster{Listener: l, id: id, port: int32(l.Addr().(*net.TCPAddr).Port), number: map[string]int{}, all: map[int16][]byte{}}
	for i := range topics {
		c.topics = append(c.topics, topicName(i))
		c.number[topicName(i)] = i
	}
	go c.accept()
	return c, nil
}

func (c *cluster) accept() {
	for {
		conn, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			_ = c.serve(bufio.NewReader(conn), conn)
		}()
	}
}

// serve answers requests one after the other.
func (c *cluster) serve(r io.Reader, w io.Writer) error {
	var frame []byte
	for {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint32(size[:]))
		frame = append(frame[:0], make([]byte, n)...)
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		h, request, err := kafka.ParseHeader(frame, "")
		if err != nil {
			return err
		}
		body, err := c.answer(h, request)
		if err != nil {
			return err
		}
		head := kafka.AppendResponseHeader(make([]byte, 4), h.Key, h.Version, h.CorrelationID)
		binary.BigEndian.PutUint32(head, uint32(len(head)-4+len(body)))
		if _, err := (&net.Buffers{head, body}).WriteTo(w); err != nil {
			return err
		}
	}
}

// answer is the body of an answer.
func (c *cluster) answer(h kafka.Header, body []byte) ([]byte, error) {
	if h.Key == kmsg.ApiVersions {
		return bench.Versions(h.Version), nil
	}
	msg, err := kafka.NewRequestBody(h.Key, h.Version, body).Peek()
	if err != nil {
		return nil, err
	}
	switch m := msg.(type) {
	case *kmsg.MetadataRequest:
		if m.Topics == nil {
			return c.ofAll(h.Version), nil
		}
		var list []int
		for _, t := range m.Topics {
			if t.Topic != nil {
				if i, ok := c.number[*t.Topic]; ok {
					list = append(list, i)
				}
			}
		}
		return c.metadata(h.Version, list), nil
	case *kmsg.ListOffsetsRequest:
		return offsets(m).AppendTo(nil), nil
	}
	if out := ofMoves(msg); out != nil {
		out.SetVersion(h.Version)
		return out.AppendTo(nil), nil
	}
	return nil, fmt.Errorf("nobody asks for %s", h.Key.Name())
}

func (c *cluster) ofAll(version int16) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all[version] == nil {
		list := make([]int, len(c.topics))
		for i := range list {
			list[i] = i
		}
		c.all[version] = c.metadata(version, list)
	}
	return c.all[version]
}

func (c *cluster) metadata(version int16, list []int) []byte {
	m := kmsg.NewPtrMetadataResponse()
	m.SetVersion(version)
	b := kmsg.NewMetadataResponseBroker()
	b.Host, b.Port = "127.0.0.1", c.port
	m.Brokers = append(m.Brokers, b)
	m.ClusterID, m.ControllerID = &c.id, 0
	for _, i := range list {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = &c.topics[i]
		copy(t.TopicID[:], fmt.Sprintf("%8.8s%8d", c.id, i))
		for p := range int32(partitions) {
			mp := kmsg.NewMetadataResponseTopicPartition()
			mp.Partition, mp.LeaderEpoch, mp.Replicas, mp.ISR = p, 0, []int32{0}, []int32{0}
			t.Partitions = append(t.Partitions, mp)
		}
		m.Topics = append(m.Topics, t)
	}
	return m.AppendTo(nil)
}

// offsets says that every partition is empty.
func offsets(m *kmsg.ListOffsetsRequest) kmsg.Response {
	out := kmsg.NewPtrListOffsetsResponse()
	out.SetVersion(m.Version)
	for _, t := range m.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Offset = p.Partition, 0
			rt.Partitions = append(rt.Partitions, rp)
		}
		out.Topics = append(out.Topics, rt)
	}
	return out
}
