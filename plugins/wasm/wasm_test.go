package wasm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// TestHeadersAreAdded in every codec; records that need none and batches without an edit leave as
// they came, and so do control batches, broken ones, and topics that the guest does not cover.
func TestHeadersAreAdded(t *testing.T) {
	w, err := build(t, fmt.Sprintf("{file: %q, topics: [\"ord*\"], config: {key: via, value: sluice}}", guest(t, header)))
	if err != nil {
		t.Fatal(err)
	}
	headersAreAdded(t, w, "sluice")
	m := produce("other", records(t, shape{}, "a"))
	if sent, _, err := run(t, w, m); err != nil || string(sent.Topics[0].Partitions[0].Records) != string(m.Topics[0].Partitions[0].Records) {
		t.Errorf("a topic that the guest does not cover was changed: %v", err)
	}
}

// headersAreAdded to records that have no header "via".
func headersAreAdded(t *testing.T, w *Wasm, value string) {
	t.Helper()
	for codec := range int8(5) {
		s := shape{codec: codec, producer: 77}
		untouched, control, broken := records(t, s, "has-1", "has-3"), records(t, shape{attrs: 32}, "x"), records(t, s, "y")
		broken[20]++
		sent, answer, err := run(t, w, produce("orders", records(t, s, "a", "has-2", "", "b"), untouched, control, broken))
		if err != nil || answer.ErrorCode != 0 {
			t.Fatalf("codec %d: %d %v", codec, answer.ErrorCode, err)
		}
		b, got := first(t, sent)
		if b.Compression() != codec || b.ProducerID() != 77 || len(got) != 4 {
			t.Errorf("codec %d became %d, producer %d, %d records", codec, b.Compression(), b.ProducerID(), len(got))
		}
		for i, want := range []string{value, "its own", value, value} {
			r := got[i]
			about := fact.Of(t, "codec %d: record %d became %+v", codec, i, r)
			fact.Equal(about, "r.Offset", r.Offset, int64(i))
			fact.Equal(about, "r.Timestamp", r.Timestamp, 1000+int64(i))
			fact.Equal(about, "string(r.Key)", string(r.Key), "k")
			if fact.Equal(about, "len(r.Headers)", len(r.Headers), 1) {
				fact.Equal(about, "string(r.Headers[0].Value)", string(r.Headers[0].Value), want)
			}
		}
		if rest := string(sent.Topics[0].Partitions[0].Records[len(b):]); rest != string(untouched)+string(control)+string(broken) {
			t.Errorf("codec %d: batches without an edit were changed", codec)
		}
	}
}

// TestEveryEdit does what ABI.md says.
func TestEveryEdit(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) { everyEdit(t, probing(t, "")) })
}

func everyEdit(t *testing.T, w *Wasm) {
	t.Helper()
	sent, _, err := sendBy(t, w, plugintest.Request(t, produce("orders", records(t, shape{producer: -1}, "as it is", "null", "key", "time", "headers", "upper case", "drop", "", "where")), "prod"))
	if err != nil {
		t.Fatal(err)
	}
	b, got := first(t, sent)
	if len(got) != 8 || b.LastOffset() != 7 || b.MaxTimestamp() != 1008 {
		t.Fatalf("%d records, last offset %d, highest timestamp %d", len(got), b.LastOffset(), b.MaxTimestamp())
	}
	show := func(r kafka.Record) string {
		s := fmt.Sprintf("%d %d %s %s", r.Offset, r.Timestamp, r.Key, r.Value)
		if r.Value == nil {
			s += "null"
		}
		for _, h := range r.Headers {
			s += fmt.Sprintf(" %s=%s", h.Key, h.Value)
		}
		return s
	}
	for i, want := range []string{
		"0 1000 k as it is", "1 1001 k null", "2 1002 another key", "3 77 k time", "4 1004 k headers kept= new=n null=", "5 1005 k UPPER\x00CASE", "6 1007 k null",
		`7 1008 k where group=orders/0 9 -1 false call=test vc 0 8 ""`,
	} {
		if got := show(got[i]); got != want {
			t.Errorf("record %d became %q, want %q", i, got, want)
		}
	}
	if h := got[4].Headers; h[1].Value == nil || h[2].Value != nil {
		t.Errorf("headers %+v: null is not empty", h)
	}
}

// TestDroppedFromSequences: brokers want sequence numbers without gaps, so the operator decides.
func TestDroppedFromSequences(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		for name, s := range map[string]shape{"idempotent": {producer: 5}, "transactional": {producer: 5, attrs: 16}} {
			_, answer, err := run(t, probing(t, ""), produce("orders", records(t, s, "a", "drop")))
			about := fact.Of(t, "%s: %v, %+v", name, err, answer)
			if fact.NoError(about, err) {
				fact.Equal(about, "answer.ErrorCode", kafka.Code(answer.ErrorCode), kafka.InvalidRecord)
				if fact.Equal(about, "len(answer.ErrorRecords)", len(answer.ErrorRecords), 1) {
					fact.Equal(about, "answer.ErrorRecords[0].RelativeOffset", answer.ErrorRecords[0].RelativeOffset, 1)
					fact.Has(about, *answer.ErrorMessage, "produce_drop")
				}
			}
			w := probing(t, ", produce_drop: tombstone")
			w.SetBelow((&cleaning{policy: "delete"}).below)
			sent, answer, err := run(t, w, produce("orders", records(t, s, "a", "drop")))
			if err != nil || answer.ErrorCode != 0 {
				t.Fatalf("%s: %v, %+v", name, err, answer)
			}
			{
				b, got := first(t, sent)
				about := fact.Of(t, "%s: %+v", name, got)
				fact.Equal(about, "b.Count()", b.Count(), 2)
				fact.True(about, "got[1].Value == nil", got[1].Value == nil)
				fact.Equal(about, "string(got[1].Key)", string(got[1].Key), "k")
				fact.Equal(about, "b.ProducerID()", b.ProducerID(), 5)
			}
		}
		// Nothing would be left.
		if _, answer, err := run(t, probing(t, ""), produce("orders", records(t, shape{producer: -1}, "drop"))); err != nil || kafka.Code(answer.ErrorCode) != kafka.InvalidRecord {
			t.Errorf("all dropped: %v, %+v", err, answer)
		}
	})
}

// TestARefusedPartitionCostsNoOther, and names its record.
func TestARefusedPartitionCostsNoOther(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		w := probing(t, "")
		m := produce("orders", records(t, shape{}, "fine"))
		for _, v := range []string{"reject", "upper"} {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = int32(len(m.Topics[0].Partitions)), records(t, shape{}, "a", v)
			m.Topics[0].Partitions = append(m.Topics[0].Partitions, p)
		}
		resp, sent, err := whole(t, w, m)
		if err != nil || len(sent.Topics[0].Partitions) != 2 || sent.Topics[0].Partitions[1].Partition != 2 {
			t.Fatalf("%v, sent %+v", err, sent)
		}
		codes := map[int32]int16{}
		for _, p := range resp.Topics[0].Partitions {
			codes[p.Partition] = p.ErrorCode
			if p.ErrorCode != 0 && (p.ErrorRecords[0].RelativeOffset != 1 || *p.ErrorRecords[0].ErrorMessage != "no good" || p.BaseOffset != -1) {
				t.Errorf("%+v", p)
			}
		}
		about := fact.Of(t, "codes %v", codes)
		if fact.Equal(about, "len(codes)", len(codes), 3) {
			fact.Equal(about, "codes[0]", codes[0], 0)
			fact.Equal(about, "codes[1]", kafka.Code(codes[1]), kafka.InvalidRecord)
			fact.Equal(about, "codes[2]", codes[2], 0)
		}
	})
}

// TestManyRecordsAreShownInSeveralCalls, also of one batch, and come together again.
func TestManyRecordsAreShownInSeveralCalls(t *testing.T) {
	bothWays(t, func(t *testing.T, probing starter) {
		var values []string
		for i := range 50 {
			values = append(values, fmt.Sprintf("upper %d", i))
		}
		for _, limits := range []string{"call_records: 7", "call_bytes: 300", "call_bytes: 1"} {
			w := probing(t, ", limits: {"+limits+"}")
			sent, _, err := run(t, w, produce("orders", records(t, shape{}, values[:20]...), records(t, shape{}, values[20:]...)))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, b := range kafka.Batches(sent.Topics[0].Partitions[0].Records) {
				list, _ := kafka.Records(b)
				for _, r := range list {
					if want := strings.ToUpper(strings.ReplaceAll(values[n], " ", "\x00")); strings.Map(upper, want) != string(r.Value) {
						t.Errorf("%s: record %d is %q, want %q", limits, n, r.Value, strings.Map(upper, want))
					}
					n++
				}
			}
			if n != 50 || w.Guest().Called.Load() < 3 {
				t.Errorf("%s: %d records in %d calls", limits, n, w.Guest().Called.Load())
			}
		}
	})
}

// upper is what the probe does to a byte.
func upper(r rune) rune { return r &^ 0x20 }

// TestWhatIsNotCoveredAllocatesNothing: a guest costs nothing where it is not asked for.
func TestWhatIsNotCoveredAllocatesNothing(t *testing.T) {
	w := probing(t, ", topics: [\"payments\"]")
	req, next := bare(t, produce("orders", records(t, shape{}, "a")))
	resp, err := next.Handle(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	var step plugin.Step
	if n := testing.AllocsPerRun(1000, func() {
		if w.Down(t.Context(), req, &step).Waits() {
			t.Fatal("the request waits")
		}
		if w.Up(t.Context(), req, &step, resp, nil).Waits() {
			t.Fatal("the answer waits")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if w.Guest().Called.Load() != 0 {
		t.Error("it was called")
	}
}

// TestAnEmptyCallAllocatesNothing: what a call costs besides its block is the pool's, not the
// garbage collector's.
func TestAnEmptyCallAllocatesNothing(t *testing.T) {
	w, err := build(t, fmt.Sprintf("{file: %q, config: {key: via, value: sluice}}", guest(t, header)))
	if err != nil {
		t.Fatal(err)
	}
	g, h := w.Guest(), &blocks.Head{Kind: abi.KindSession}
	call := func() {
		if err := g.Message(t.Context(), h, nil, func(blocks.Result) error { return nil }); err != nil {
			t.Error(err)
		}
	}
	call()
	if n := testing.AllocsPerRun(1000, call); n > 1 { // the race detector makes one
		t.Errorf("%v allocations", n)
	}
}
