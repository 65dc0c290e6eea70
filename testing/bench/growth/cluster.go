package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/bench"
)

// partitions is how many each topic has.
const partitions = 12

// cluster is a broker with many topics. Its metadata of all topics is made once for each version.
type cluster struct {
	net.Listener
	id       string
	port     int32
	distance time.Duration // that each answer takes on its way, beside others
	logs     *logs

	mu    sync.Mutex
	all   map[int16][]byte
	asked map[kmsg.Key]int
}

// topicName names topics so that every second one lives on the second cluster.
func topicName(i int) string { return fmt.Sprintf("%c-%05d", 'a'+i%2, i) }

// newPair starts a cluster at each address. They have the same topics and records.
func newPair(addrs [2]string, topics, records int, distance time.Duration) (pair [2]*cluster, err error) {
	logs, err := newLogs(topics, records)
	for i, id := range []string{"prod", "dr"} {
		if err == nil {
			pair[i], err = newCluster(addrs[i], id, logs, distance)
		}
	}
	return pair, err
}

func newCluster(addr, id string, logs *logs, distance time.Duration) (*cluster, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &cluster{
		Listener: l, id: id, port: int32(l.Addr().(*net.TCPAddr).Port), distance: distance, logs: logs,
		all: map[int16][]byte{}, asked: map[kmsg.Key]int{},
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
			answers := make(chan onItsWay, 200)
			defer close(answers)
			go deliver(conn, answers)
			_ = c.serve(bufio.NewReader(conn), answers)
		}()
	}
}

// onItsWay is an answer, and when it comes in.
type onItsWay struct {
	parts net.Buffers
	at    time.Time
}

// deliver writes answers when they come in.
func deliver(w net.Conn, answers <-chan onItsWay) {
	for a := range answers {
		time.Sleep(time.Until(a.at))
		if _, err := a.parts.WriteTo(w); err != nil {
			_ = w.Close() // serve ends
		}
	}
}

// serve answers requests one after the other.
func (c *cluster) serve(r io.Reader, answers chan<- onItsWay) error {
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
		answers <- onItsWay{net.Buffers{head, body}, time.Now().Add(c.distance)}
	}
}

// count is how often a kind of request was answered.
func (c *cluster) count(key kmsg.Key) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[key]
}

// answer is the body of an answer.
func (c *cluster) answer(h kafka.Header, body []byte) ([]byte, error) {
	c.mu.Lock()
	c.asked[h.Key]++
	c.mu.Unlock()
	if h.Key == kmsg.ApiVersions {
		return bench.Versions(h.Version), nil
	}
	msg, err := kafka.NewRequestBody(h.Key, h.Version, body).Peek()
	if err != nil {
		return nil, err
	}
	if m, ok := msg.(*kmsg.MetadataRequest); ok {
		if m.Topics == nil {
			return c.ofAll(h.Version), nil
		}
		var list []int
		for _, t := range m.Topics {
			if i, known := c.logs.find(t.Topic, t.TopicID); known {
				list = append(list, i)
			}
		}
		return c.metadata(h.Version, list), nil
	}
	out := c.logs.answer(msg)
	if out == nil {
		return nil, fmt.Errorf("nobody asks for %s", h.Key.Name())
	}
	out.SetVersion(h.Version)
	return out.AppendTo(nil), nil
}

func (c *cluster) ofAll(version int16) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all[version] == nil {
		list := make([]int, len(c.logs.names))
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
		t.Topic, t.TopicID = &c.logs.names[i], topicID(i)
		for p := range int32(partitions) {
			mp := kmsg.NewMetadataResponseTopicPartition()
			mp.Partition, mp.LeaderEpoch, mp.Replicas, mp.ISR = p, 0, []int32{0}, []int32{0}
			t.Partitions = append(t.Partitions, mp)
		}
		m.Topics = append(m.Topics, t)
	}
	return m.AppendTo(nil)
}
