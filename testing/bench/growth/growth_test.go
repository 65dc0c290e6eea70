package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fact"
)

// over starts a gateway over two clusters in this process, whose answers about all topics are made
// before they are asked for.
func over(t *testing.T, topics int) *gateway {
	t.Helper()
	pair, err := newPair([2]string{"127.0.0.1:0", "127.0.0.1:0"}, topics, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range pair {
		t.Cleanup(func() { _ = c.Close() })
	}
	g, err := openGateway(t.Context(), t.TempDir(), pair[0].Addr().String(), pair[1].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Stop() })
	return g
}

// TestMetadataGrowsWithWhatItShows: with eight times as many topics an answer with all of them
// allocates eight times as much, and one with one of them no more than before.
func TestMetadataGrowsWithWhatItShows(t *testing.T) {
	few, many := &row{topics: 100}, &row{topics: 800}
	small, large := over(t, few.topics), over(t, many.topics)
	var err error
	for range 50 { // both gateways do other things as well: the best of many single answers is one beside which they did not
		was := [2]row{*few, *many}
		if err := errors.Join(few.ofAll(small, 3, 1), few.ofOne(small, 10, 1), many.ofAll(large, 3, 1), many.ofOne(large, 10, 1)); err != nil {
			t.Fatal(err)
		}
		for i, r := range []*row{few, many} {
			if was[i].all.mallocs > 0 {
				r.all, r.one = r.all.or(was[i].all), r.one.or(was[i].one)
			}
		}
		if err = many.linear(few, false); err == nil {
			return
		}
	}
	t.Error(err)
}

// TestWhatIsMeasured is an answer with every topic and every partition, led by its home.
func TestWhatIsMeasured(t *testing.T) {
	const topics = 30
	g := over(t, topics)
	for _, c := range []struct {
		request []byte
		want    int
	}{{metadata(), topics}, {metadata(topicName(7)), 1}} {
		m := ask(t, g.addr, c.request)
		if len(m.Topics) != c.want {
			t.Errorf("%d topics, want %d", len(m.Topics), c.want)
		}
		for _, topic := range m.Topics {
			if n := len(topic.Partitions); n != partitions {
				t.Errorf("%s has %d partitions", *topic.Topic, n)
			}
			slot := int32((*topic.Topic)[0]-'a') + 1
			if leader := topic.Partitions[0].Leader; leader>>20 != slot {
				t.Errorf("%s is led by %d, want a node of cluster %d", *topic.Topic, leader, slot)
			}
		}
	}
}

func ask(t *testing.T, addr string, request []byte) *kmsg.MetadataResponse {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var size [4]byte
	_, err = c.Write(request)
	if _, e := io.ReadFull(c, size[:]); e != nil {
		t.Fatal(errors.Join(err, e))
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatal(err)
	}
	head := kafka.AppendResponseHeader(nil, kmsg.Metadata, version, 1)
	if !bytes.HasPrefix(body, head) {
		t.Fatalf("the answer begins with %x, want %x", body[:len(head)], head)
	}
	msg, err := kafka.NewResponseBody(kmsg.Metadata, version, body[len(head):]).Peek()
	if err != nil {
		t.Fatal(err)
	}
	return msg.(*kmsg.MetadataResponse)
}

// TestWhatIsNotLinear is told.
func TestWhatIsNotLinear(t *testing.T) {
	few := &row{
		topics: 100, all: cost{mallocs: 1000, memory: 1000, cpu: 1000}, one: cost{mallocs: 50, memory: 5000, cpu: 10},
		routes: cost{cpu: 1000}, moved: failedOver{topics: 50, wall: 5000, cpu: 5000, pause: mostPause},
	}
	grown := func(change func(*row)) *row {
		r := &row{
			topics: 1000, all: cost{mallocs: 10_000, memory: 10_000, cpu: 10_000}, one: few.one,
			routes: cost{cpu: 10_000}, moved: failedOver{topics: 500, wall: 50_000, cpu: 50_000, pause: mostPause},
		}
		change(r)
		return r
	}
	if err := grown(func(*row) {}).grown(few); err != nil {
		t.Errorf("linear: %v", err)
	}
	for what, change := range map[string]func(*row){
		"allocations of all": func(r *row) { r.all.mallocs *= 2 },
		"bytes of all":       func(r *row) { r.all.memory *= 2 },
		"CPU of all":         func(r *row) { r.all.cpu *= 3 },
		"allocations of one": func(r *row) { r.one.mallocs *= 2 },
		"bytes of one":       func(r *row) { r.one.memory *= 2 },
		"CPU of one":         func(r *row) { r.one.cpu *= 3 },
		"routes":             func(r *row) { r.routes.cpu *= 3 },
		"all moves":          func(r *row) { r.moved.wall *= 3 },
		"CPU of a move":      func(r *row) { r.moved.cpu *= 3 },
		"a client's wait":    func(r *row) { r.moved.pause++ },
	} {
		if grown(change).grown(few) == nil {
			t.Errorf("%s: not told", what)
		}
	}
	if grown(func(r *row) { r.all.cpu *= 3 }).linear(few, false) != nil {
		t.Error("CPU is compared though nobody asks for it")
	}
	near := &farRow{topics: 100, cpu: 1000, period: mostPeriod, moved: failedOver{topics: 50, cpu: 5000}}
	away := func(change func(*farRow)) *farRow {
		r := &farRow{topics: 1000, cpu: 10_000, period: mostPeriod, moved: failedOver{topics: 500, cpu: 50_000}}
		change(r)
		return r
	}
	if err := away(func(*farRow) {}).grown(near); err != nil {
		t.Errorf("linear, far away: %v", err)
	}
	for what, change := range map[string]func(*farRow){
		"CPU of the first comparison": func(r *farRow) { r.cpu *= 3 },
		"period of rounds":            func(r *farRow) { r.period++ },
		"CPU of a move":               func(r *farRow) { r.moved.cpu *= 3 },
	} {
		if away(change).grown(near) == nil {
			t.Errorf("%s, far away: not told", what)
		}
	}
}

// TestClientsWriteWhileTopicsMove: no record fails, on clusters that are far away, and full.
func TestClientsWriteWhileTopicsMove(t *testing.T) {
	const topics = 40
	pair, err := newPair([2]string{"127.0.0.1:0", "127.0.0.1:0"}, topics, recordsThere, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range pair {
		t.Cleanup(func() { _ = c.Close() })
	}
	g, err := openGateway(t.Context(), t.TempDir(), pair[0].Addr().String(), pair[1].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Stop() })
	if len(ask(t, g.addr, metadata()).Topics) != topics {
		t.Fatal("not all topics are there")
	}
	moved, err := g.failOver(t.Context(), topics)
	about := fact.Of(t, "%+v", moved)
	if fact.NoError(about, err) {
		fact.Equal(about, "topics", moved.topics, topics/2)
		fact.True(about, "clients have waited", moved.pause > 0)
	}
	for i, c := range pair {
		if c.count(kmsg.Produce) == 0 {
			t.Errorf("cluster %d was not written to", i)
		}
	}
}
