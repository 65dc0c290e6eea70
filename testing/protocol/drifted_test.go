package protocol

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-gateway/sluice/core/admin"
	"github.com/sluice-gateway/sluice/core/failover"
	"github.com/sluice-gateway/sluice/testing/kafkatest"
)

// TestCopiesThatHaveDrifted: a replicator that wrote records twice, in transactions, some of which
// it aborted first, has made an exact copy all the same: clients see each record once, where it
// was.
func TestCopiesThatHaveDrifted(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "before", 30)
	h.crowd("orders")
	c := h.copier(kafkatest.Faults{Duplicate: 7, Transactions: true, Abort: 2}, "orders")
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	c.Stop()
	h.produce(p, "orders", "after", 30)
	read := func(options ...kgo.Opt) {
		t.Helper()
		for i, r := range h.read(h.gw.Bootstrap, "orders", 0, 60, options...) {
			want := fmt.Sprintf("before-%d", i)
			if i >= 30 {
				want = fmt.Sprintf("after-%d", i-30)
			}
			if string(r.Value) != want || r.Offset != int64(i) {
				t.Fatalf("offset %d is %s, want %s at %d", r.Offset, r.Value, want, i)
			}
		}
	}
	read()
	read(kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ends, err := kafkatest.Ends(h.ctx, h.dr.Bootstrap(), "orders")
	if err != nil || ends["orders"][0] <= 60 {
		t.Errorf("nothing but the records is on dr: %v %v", ends, err)
	}
}

// TestACopyWhoseMirrorMakerSaysWhereRecordsAre moves with its markers, and its repeated records,
// whatever its offset syncs say.
func TestACopyWhoseMirrorMakerSaysWhereRecordsAre(t *testing.T) {
	h := build(t, "orders")
	p := h.client(h.gw.Bootstrap)
	h.produce(p, "orders", "before", 30)
	h.copier(kafkatest.Faults{Duplicate: 7, Transactions: true}, "orders")
	const syncs = "mm2-offset-syncs.prod.internal"
	if _, err := h.admin(h.dr).CreateTopic(h.ctx, 1, 1, nil, syncs); err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]uint64{{0, 0}, {10, 1000}} {
		key := append([]byte{0, 6}, "orders\x00\x00\x00\x00"...)
		value := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, at[0]), at[1])
		if err := h.client(h.dr.Bootstrap()[0]).ProduceSync(h.ctx, &kgo.Record{Topic: syncs, Key: key, Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr, copy: mm2}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	for i, r := range h.read(h.gw.Bootstrap, "orders", 0, 30) {
		if want := fmt.Sprintf("before-%d", i); string(r.Value) != want || r.Offset != int64(i) {
			t.Fatalf("offset %d is %s, want %s at %d", r.Offset, r.Value, want, i)
		}
	}
}

// TestACopyThatIsSaidToKeepOffsets moves if it does, there and back, and is refused, with the
// place, if it does not, although it is exact otherwise.
func TestACopyThatIsSaidToKeepOffsets(t *testing.T) {
	h := build(t, "orders", "bills")
	p := h.client(h.gw.Bootstrap)
	for _, topic := range []string{"orders", "bills"} {
		h.produce(p, topic, "before", 30)
	}
	h.copier(kafkatest.Faults{}, "orders")
	h.copier(kafkatest.Faults{Crash: 11}, "bills")
	for _, topic := range []string{"orders", "bills"} {
		if err := h.gw.Edit(topic+": {cluster: prod}", topic+": {cluster: dr, copy: identity}"); err != nil {
			t.Fatal(err)
		}
	}
	h.wait("a move and a refusal", func() bool {
		done, refused := false, false
		for _, m := range h.gw.Moves() {
			done = done || m.Topic == "orders" && m.Phase == failover.Done
			refused = refused || m.Topic == "bills" && strings.Contains(m.Error, "partition 0 ") && strings.Contains(m.Error, "`copy: identity`")
		}
		return done && refused
	})
	if after := h.produce(p, "orders", "after", 1); after[0] != 30 {
		t.Errorf("offset %d follows 29", after[0])
	}
}

// TestALargeCopyMovesWithinTheLimit: what rounds have looked at in the background does not count
// towards failover.compare_limit, although a group has still to read all of it.
func TestALargeCopyMovesWithinTheLimit(t *testing.T) {
	const records = 15_000
	h := build(t, "orders")
	if err := h.gw.Edit("state: {dir: ./state}", "state: {dir: ./state}\nfailover: {compare_limit: 2MiB}"); err != nil {
		t.Fatal(err)
	}
	p := h.client(h.gw.Bootstrap)
	var list []*kgo.Record
	for i := range records {
		list = append(list, &kgo.Record{Topic: "orders", Value: fmt.Appendf(nil, "%0250d", i)})
	}
	if err := p.ProduceSync(h.ctx, list...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := h.admin(h.prod).CommitAllOffsets(h.ctx, "slow", kadm.OffsetsFromRecords(kgo.Record{Topic: "orders", Offset: 4})); err != nil {
		t.Fatal(err)
	}
	h.copier(kafkatest.Faults{Crash: 1000, Transactions: true}, "orders")
	h.wait("all to be aligned", func() bool {
		_, body := h.call("GET", "/api/v1/topics/"+tenant+"/orders", "")
		var topic admin.Topic
		if err := json.Unmarshal([]byte(body), &topic); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		x := topic.Copies[0].Partitions[0]
		return x.From == 0 && x.To == records && x.Front < 0 && x.Runs > 10
	})
	if err := h.gw.Edit("orders: {cluster: prod}", "orders: {cluster: dr}"); err != nil {
		t.Fatal(err)
	}
	h.moved(1)
	for i, r := range h.read(h.gw.Bootstrap, "orders", 0, records) {
		if want := string(list[i].Value); string(r.Value) != want || r.Offset != int64(i) {
			t.Fatalf("offset %d is %q, want %q at %d", r.Offset, r.Value, want, i)
		}
	}
}
