package upstream

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/wire"
	"github.com/sluice-gateway/sluice/testing/eventually"
)

// TestAnOldClientsMetadataKeepsTopicIDs: versions below 10 carry none, which does not mean that a
// topic has none. Other clients' requests by id are translated with these maps.
func TestAnOldClientsMetadataKeepsTopicIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, e := house(t)
		c := e.clusters[0]
		for v := range int16(14) {
			m := kmsg.NewPtrMetadataRequest()
			m.Version, m.Topics = v, []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("orders")}}
			if _, err := e.Handle(t.Context(), request(session(t, 0), m)); err != nil {
				t.Fatal(err)
			}
			topo := c.Topology()
			if topo.Topics["orders"].ID != topicID("orders") || topo.IDs[topicID("orders")] == nil || topo.Controller != 0 {
				t.Errorf("version %d: id %x, by id %v, controller %d", v, topo.Topics["orders"].ID, topo.IDs[topicID("orders")], topo.Controller)
			}
			if _, err := c.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestLastKnownMetadataLeavesTheTopologyAlone: a view is immutable, and every answer the same.
func TestLastKnownMetadataLeavesTheTopologyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, e := house(t)
		f.all(func(b *broker) { b.down = true })
		e.clusters[0].setReachable(false, nil)
		m := newest(kmsg.Metadata).(*kmsg.MetadataRequest)
		m.Topics = nil
		for range 2 {
			resp, err := e.Handle(t.Context(), request(session(t, 0), m))
			if err != nil {
				t.Fatal(err)
			}
			msg, _ := resp.Body.Peek()
			equal(t, msg.(*kmsg.MetadataResponse).Topics[0].Partitions[1].Replicas, []int32{1<<20 + 1})
		}
		equal(t, e.clusters[0].Topology().Topics["orders"].Partitions[1].Replicas, []int32{1})
	})
}

// TestUpgradedVersionsAreRemembered: an upgrade in place changes no broker's address.
func TestUpgradedVersionsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, 0)
		f.produce = 7
		c := f.known()
		f.list(func() { f.produce = 11 })
		if _, err := c.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, f.open(0).version(kmsg.Produce, 13), 11)
	})
}

// TestALinkReadsWhileItWritesWhatWaited: a broker answers one request of a connection before it
// reads the next. A link that reads only after it has written all that waited for its connection
// waits for ever if neither fits into the sockets.
func TestALinkReadsWhileItWritesWhatWaited(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	const large = 32 << 20
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		for corr := int32(1); ; corr++ {
			if _, err := kafka.ReadFrame(conn, 2*large, nil); err != nil {
				return
			}
			p := kmsg.NewFetchResponseTopicPartition()
			if corr == 1 {
				p.RecordBatches = make([]byte, large)
			}
			m := &kmsg.FetchResponse{Version: 11, Topics: []kmsg.FetchResponseTopic{{Partitions: []kmsg.FetchResponseTopicPartition{p}}}}
			if _, err := conn.Write(reply(kmsg.Fetch, 11, corr, m)); err != nil {
				return
			}
		}
	}()
	up := make(chan struct{})
	lk := newLink(func(context.Context) (net.Conn, error) {
		<-up
		return net.Dial("tcp", l.Addr().String())
	}, &wire.Buffers{}, 2*large, nil)
	defer func() { _ = lk.Close() }()
	ended := make(chan error, 2)
	for _, size := range []int{0, large} {
		c := &call{key: kmsg.Fetch, version: 11, done: func(_, _ []byte, err error) { ended <- err }}
		c.encode = func(o *kafka.Out) {
			o.AppendHeader(kafka.Header{Key: kmsg.Fetch, Version: 11})
			o.Append(make([]byte, size))
		}
		lk.send(c, true)
	}
	close(up)
	for range 2 {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(eventually.Limit):
			t.Fatal("neither side goes on")
		}
	}
}

// TestEndpointsAreListedOnce: nodes outside of the range are all presented as its first, and the
// Java client refuses a node that is listed twice.
func TestEndpointsAreListedOnce(t *testing.T) {
	m := kmsg.NewPtrProduceResponse()
	m.Version = 12
	m.Brokers = []kmsg.ProduceResponseBroker{{NodeID: 3, Host: "hidden"}, {NodeID: 4, Host: "hidden"}, {NodeID: 700, Host: "hidden"}}
	equal(t, len(shown[*kmsg.ProduceResponse](t, m, false).Brokers), 1)
}
