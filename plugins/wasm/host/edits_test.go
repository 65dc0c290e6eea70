package host

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/plugins/wasm/blocks"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/eventually"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

func newEditor() *sdk.Guest { return sdk.New("editor", editor{}) }

// editor does to records what a record's key says, and a model does the same to a list.
type editor struct{}

func (editor) OnProduce(r *sdk.Records) error { return editAll(r) }
func (editor) OnFetch(r *sdk.Records) error   { return editAll(r) }

func editAll(r *sdk.Records) error {
	for _, rec := range r.All() {
		for _, op := range string(rec.Key()) {
			switch op {
			case 'd':
				rec.Drop()
			case 'n':
				rec.SetValue(nil)
			case 'v':
				rec.SetValue([]byte("another, longer value"))
			case 'k':
				rec.SetKey([]byte("K"))
			case 't':
				rec.SetTimestamp(time.UnixMilli(77_000))
			case 'a':
				rec.AddHeader("added", rec.Value())
			case 'r':
				rec.RemoveHeaders("has")
			case 'u':
				upperAll(rec.Value())
				rec.SetValueInPlace()
			case 'i':
				upperAll(rec.Key())
				rec.SetKeyInPlace()
			}
		}
	}
	return nil
}

func upperAll(b []byte) {
	for i := range b {
		b[i] &^= 0x20
	}
}

// expected is what editAll makes of records of a batch; kept says which are left.
func expected(list []kafka.Record) (out []kafka.Record, kept []int) {
	for i, r := range list {
		r.Value, r.Headers = bytes.Clone(r.Value), slices.Clone(r.Headers)
		dropped, shown := false, r.Value
		for _, op := range string(r.Key) {
			switch op {
			case 'd':
				dropped = true
			case 'n':
				r.Value = nil
			case 'v':
				r.Value = []byte("another, longer value")
			case 'k':
				r.Key = []byte("K")
			case 't':
				r.Timestamp = 77_000
			case 'a':
				r.Headers = append(r.Headers, kmsg.Header{Key: "added", Value: bytes.Clone(shown)})
			case 'r':
				r.Headers = slices.DeleteFunc(r.Headers, func(h kmsg.Header) bool { return h.Key == "has" })
			case 'u':
				upperAll(shown) // what is shown, and of it what the record had
				r.Value = shown
			case 'i':
				r.Key = bytes.ToUpper(r.Key)
			}
		}
		if len(r.Headers) == 0 {
			r.Headers = nil
		}
		out = append(out, r)
		if !dropped {
			kept = append(kept, i)
		}
	}
	return out, kept
}

// ops are edits of one record. A value that was replaced has another length, and can't be one that
// was changed in place.
func ops(r *rand.Rand) string {
	all := []string{"", "", "", "", "u", "u", "k", "t", "a", "r", "ra", "aar", "ut", "i", "i", "ui", "it", "n", "v", "va", "tk", "d", "kd", "vd"}
	return all[r.IntN(len(all))]
}

// world is random partitions of random batches.
func world(t *testing.T, r *rand.Rand, kind uint16) (parts []*blocks.Partition) {
	for n := range 1 + r.IntN(3) {
		p := &blocks.Partition{Topic: "orders", Number: int32(n)}
		base := int64(r.IntN(1000))
		for range 1 + r.IntN(3) {
			var list []kafka.Record
			for i := range 1 + r.IntN(8) {
				x := kafka.Record{Offset: int64(i), Timestamp: 1000 + int64(i), Key: []byte(ops(r)), Value: bytes.Repeat([]byte("v"), r.IntN(400))}
				if r.IntN(3) == 0 {
					x.Headers = []kmsg.Header{{Key: "has", Value: []byte("1")}, {Key: "null"}}
				}
				list = append(list, x)
			}
			if kind == abi.KindFetch && r.IntN(2) == 0 && len(list) > 2 { // compaction left one out
				list = slices.Delete(list, 1, 2)
			}
			like := plugintest.Batch(t, plugintest.Shape{Codec: int8(r.IntN(5)), Producer: int64(r.IntN(2)) - 1, Attributes: int16(r.IntN(2) * 16)}, []kafka.Record{{Timestamp: 1000}})
			if r.IntN(5) == 0 {
				like[22] |= 32 // a marker, which no guest sees
			}
			b, err := kafka.Rebuild(like, list, kafka.KeepGaps)
			if err != nil {
				t.Fatal(err)
			}
			b.SetBaseOffset(base)
			base += 10
			p.Records = append(p.Records, b...)
		}
		parts = append(parts, p)
	}
	return parts
}

// FuzzEdits compares what becomes of random batches of several partitions, in one call and in many,
// with a list of records.
func FuzzEdits(f *testing.F) {
	for seed := range uint64(150) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 7))
		kind := uint16(abi.KindProduce + r.IntN(2))
		limits := DefaultLimits()
		limits.Timeout = eventually.Limit
		limits.CallRecords = []int{1, 3, 4096}[r.IntN(3)]
		limits.CallBytes = []int{1, 600, 1 << 20}[r.IntN(3)]
		g := start(t, compiledIn(t, newEditor), limits)
		g.Tombstones = true
		parts := world(t, r, kind)
		before := make([][]byte, len(parts))
		for i, p := range parts {
			before[i] = bytes.Clone(p.Records)
		}
		if err := g.Records(t.Context(), &blocks.Head{Kind: kind}, parts); err != nil {
			t.Fatal(err)
		}
		for i, p := range parts {
			if !bytes.Equal(before[i], p.Records) {
				t.Error("what the client sent was changed")
			}
			got := p.Out
			if got == nil {
				got = p.Records
			}
			same(t, kind, p.Records, got)
		}
	})
}

// same compares batches before and after the editor.
func same(t *testing.T, kind uint16, in, got []byte) {
	t.Helper()
	var after []kafka.Batch
	for _, b := range kafka.Batches(got) {
		after = append(after, b)
	}
	n := 0
	for _, b := range kafka.Batches(in) {
		if n >= len(after) {
			t.Fatalf("%d batches are left", len(after))
		}
		out := after[n]
		n++
		list, err := kafka.Records(b)
		if err != nil {
			t.Fatal(err)
		}
		touched := slices.ContainsFunc(list, func(r kafka.Record) bool { return len(r.Key) > 0 })
		if b.IsControl() || !touched {
			if !bytes.Equal(b, out) {
				t.Error("a batch without an edit is another one")
			}
			continue
		}
		left, err := kafka.Records(out)
		if err != nil {
			t.Fatal(err)
		}
		if !out.ValidCRC() {
			t.Error("the checksum is wrong")
		}
		if want := wanted(b, list, kind); fmt.Sprint(left) != fmt.Sprint(want) || !reflect.DeepEqual(left, want) && len(want) > 0 {
			t.Errorf("%v\nwant\n%v", left, want)
		}
		if kind == abi.KindFetch && out.LastOffset() != b.LastOffset() {
			t.Errorf("the last offset is %d, not %d", out.LastOffset(), b.LastOffset())
		}
	}
	if n != len(after) {
		t.Errorf("%d batches became %d", n, len(after))
	}
}

// wanted are the records that a batch has after the editor: of one that is produced, as many as
// offsets, or tombstones.
func wanted(b kafka.Batch, list []kafka.Record, kind uint16) (out []kafka.Record) {
	all, kept := expected(list)
	tombstones := kind == abi.KindProduce && (b.ProducerID() >= 0 || len(kept) == 0)
	for i, r := range all {
		switch {
		case slices.Contains(kept, i):
		case tombstones:
			r.Value = nil
		default:
			continue
		}
		if kind == abi.KindProduce {
			r.Offset = b.BaseOffset() + int64(len(out))
		}
		out = append(out, r)
	}
	return out
}
