// Package hostile sends a gateway what no client and no broker would: every API and version with
// counts, lengths, nulls, tags and ends that are wrong.
package hostile

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// Broker is a strict broker: it closes a connection on which a request is no message of Kafka, and
// answers everything else with success, item by item. It is its own cluster and leads every
// partition.
type Broker struct {
	l      net.Listener
	topic  string
	mutate atomic.Pointer[func(key kmsg.Key, frame []byte) []byte]

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// NewBroker starts a broker that has one topic with three partitions.
func NewBroker(topic string) (*Broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &Broker{l: l, topic: topic, conns: map[net.Conn]struct{}{}}
	b.wg.Go(b.accept)
	return b, nil
}

// Address is where the broker listens.
func (b *Broker) Address() string { return b.l.Addr().String() }

// Mutate has f change the next response to an API, once; frame is without its size.
func (b *Broker) Mutate(key kmsg.Key, f func(frame []byte) []byte) {
	var once func(k kmsg.Key, frame []byte) []byte
	once = func(k kmsg.Key, frame []byte) []byte {
		if k != key || !b.mutate.CompareAndSwap(&once, nil) {
			return frame
		}
		return f(frame)
	}
	b.mutate.Store(&once)
}

// Mutated reports that the response that Mutate has asked for was sent.
func (b *Broker) Mutated() bool { return b.mutate.Load() == nil }

// Close ends the broker.
func (b *Broker) Close() {
	_ = b.l.Close()
	b.mu.Lock()
	for c := range b.conns {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.wg.Wait()
}

func (b *Broker) accept() {
	for {
		c, err := b.l.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		b.conns[c] = struct{}{}
		b.mu.Unlock()
		b.wg.Go(func() {
			b.serve(c)
			_ = c.Close()
			b.mu.Lock()
			delete(b.conns, c)
			b.mu.Unlock()
		})
	}
}

// serve answers until a request is none.
func (b *Broker) serve(c net.Conn) {
	for {
		frame, err := kafka.ReadFrame(c, 100<<20, nil)
		if err != nil {
			return
		}
		h, body, err := kafka.ParseHeader(frame, "")
		if err != nil {
			return
		}
		resp := b.answer(kafka.NewRequestBody(h.Key, h.Version, body))
		if resp == nil {
			return
		}
		if p, ok := resp.(*kmsg.ProduceResponse); ok && p == nil { // acks=0
			continue
		}
		out := resp.AppendTo(kafka.AppendResponseHeader(nil, h.Key, h.Version, h.CorrelationID))
		if f := b.mutate.Load(); f != nil {
			out = (*f)(h.Key, out)
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(out))), out...)); err != nil {
			return
		}
	}
}

// answer is nil for a request that is none, and a nil *kmsg.ProduceResponse for one that wants no
// answer.
func (b *Broker) answer(body *kafka.RequestBody) kmsg.Response {
	if body.Clean() != nil {
		return nil
	}
	msg, err := body.Peek()
	if err != nil {
		return nil
	}
	if p, ok := msg.(*kmsg.ProduceRequest); ok && p.Acks == 0 {
		return (*kmsg.ProduceResponse)(nil)
	}
	answer, err := kafka.ErrorResponse(body, 0, "")
	if err != nil {
		return nil
	}
	resp, err := answer.Peek()
	if err != nil {
		return nil
	}
	host, port := b.l.Addr().(*net.TCPAddr).IP.String(), int32(b.l.Addr().(*net.TCPAddr).Port)
	switch r := resp.(type) {
	case *kmsg.ApiVersionsResponse:
		for _, api := range kafka.APIs() {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MaxVersion = int16(api.Key), api.MaxVersion
			r.ApiKeys = append(r.ApiKeys, k)
		}
		r.FinalizedFeatures = []kmsg.ApiVersionsResponseFinalizedFeature{
			{Name: "group.version", MaxVersionLevel: 1, MinVersionLevel: 1}, {Name: "share.version", MaxVersionLevel: 1, MinVersionLevel: 1},
		}
	case *kmsg.MetadataResponse:
		b.metadata(r, host, port)
	case *kmsg.FindCoordinatorResponse:
		r.NodeID, r.Host, r.Port = 0, host, port
		for i := range r.Coordinators {
			k := &r.Coordinators[i]
			k.NodeID, k.Host, k.Port = 0, host, port
		}
	}
	return resp
}

func (b *Broker) metadata(r *kmsg.MetadataResponse, host string, port int32) {
	r.ClusterID, r.ControllerID = kmsg.StringPtr("hostile"), 0
	r.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: host, Port: port}}
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.TopicID = &b.topic, [16]byte{1}
	for i := range int32(3) {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Replicas, p.ISR = i, []int32{0}, []int32{0}
		t.Partitions = append(t.Partitions, p)
	}
	r.Topics = []kmsg.MetadataResponseTopic{t}
}
