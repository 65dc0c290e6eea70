package blocks

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/sdk/abi"
	"github.com/sluice-gateway/sluice/testing/fact"
	"github.com/sluice-gateway/sluice/testing/plugintest"
)

// patience is a Spender that is never over.
type patience struct{}

func (patience) Spend(int) error { return nil }

// impatience is one that is over.
type impatience struct{}

var errOver = errors.New("it is over")

func (impatience) Spend(int) error { return errOver }

// batchOf makes a batch of values.
func batchOf(t testing.TB, values ...string) kafka.Batch {
	t.Helper()
	var list []kafka.Record
	for i, v := range values {
		list = append(list, kafka.Record{Offset: int64(i), Timestamp: 1000, Value: []byte(v)})
	}
	return plugintest.Batch(t, plugintest.Shape{}, list)
}

// opened opens a batch that is produced.
func opened(raw []byte) (Batches, []*Partition) {
	parts := []*Partition{{Records: raw}}
	return Open(new(Buffers), kafka.Bounds{}, abi.KindProduce, parts, false), parts
}

// changed are the records of a batch with edits.
func changed(t testing.TB, s Spender, raw, edits []byte) ([]kafka.Record, error) {
	t.Helper()
	batches, parts := opened(raw)
	if err := batches.Change(s, batches.Portions(1<<20, 4096)[0], edits, nil); err != nil {
		return nil, err
	}
	if err := batches.Assemble(parts); err != nil {
		return nil, err
	}
	list, err := kafka.Records(parts[0].Out)
	if err != nil {
		t.Fatal(err)
	}
	return list, nil
}

// FuzzResult: what a guest returns never panics, and is refused or within its bounds.
func FuzzResult(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(append([]byte{40, 0, 0, 0}, make([]byte, 36)...))
	edit := []byte{1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'x'}
	with := append([]byte{40, 0, 0, 0}, make([]byte, 36)...)
	with[32], with[36] = 40, byte(len(edit))
	f.Add(append(with, edit...))
	three := batchOf(f, "a", "b", "c")
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := ParseResult(raw)
		if err != nil {
			return
		}
		var buffers Buffers
		p := &Partition{Records: three}
		batches := Open(&buffers, kafka.Bounds{}, abi.KindProduce, []*Partition{p}, false)
		call := batches.Portions(1<<20, 4096)[0]
		h := &Head{Kind: abi.KindProduce}
		b := OfRecords(h, call)
		block := b.Encode(nil)
		if most := headRoom + call.block + len(call.groups)*abi.GroupSize; len(block) > most {
			t.Fatalf("a block of %d bytes, not %d", len(block), most)
		}
		if batches.Change(patience{}, call, r.Edits, block) != nil || !batches.list[0].touched || p.Refused != nil {
			return
		}
		batches.JudgeDropped(t.Context(), h, true)
		if err := batches.Assemble([]*Partition{p}); err != nil {
			t.Fatal(err)
		}
		if p.Out == nil {
			return
		}
		again := &Partition{Records: p.Out}
		if Open(&buffers, kafka.Bounds{}, abi.KindProduce, []*Partition{again}, false); again.Refused != nil {
			t.Error(again.Refused)
		}
	})
}

// TestEditsAreInTheCallsTime: edits of a record with many headers are many times as many steps.
func TestEditsAreInTheCallsTime(t *testing.T) {
	var edits []byte
	for range 1000 {
		edits = append(edits, 0, 0, 0, 0, abi.OpRemoveHeaders, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'x')
	}
	raw := plugintest.Batch(t, plugintest.Shape{}, []kafka.Record{{Timestamp: 1000, Headers: make([]kmsg.Header, 1000)}})
	if _, err := changed(t, impatience{}, raw, edits); !errors.Is(err, errOver) {
		t.Errorf("%v", err)
	}
	list, err := changed(t, patience{}, raw, edits)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(list[0].Headers); n != 1000 {
		t.Errorf("%d headers", n)
	}
}

// TestManyHeadersOfOneRecord are added in memory that is used again, and those of another record
// are its own.
func TestManyHeadersOfOneRecord(t *testing.T) {
	var edits []byte
	add := func(record, name byte) {
		edits = append(edits, record, 0, 0, 0, abi.OpAddHeader, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, name)
	}
	for range 10_000 {
		add(0, 'a')
	}
	add(1, 'b')
	raw := plugintest.Batch(t, plugintest.Shape{}, []kafka.Record{
		{Timestamp: 1000, Headers: []kmsg.Header{{Key: "via", Value: []byte("its own")}}}, {Offset: 1, Timestamp: 1000},
	})
	batches, parts := opened(raw)
	made := testing.AllocsPerRun(1, func() {
		batches, parts = opened(raw)
		if err := batches.Change(patience{}, batches.Portions(1<<20, 4096)[0], edits, nil); err != nil {
			t.Fatal(err)
		}
		if err := batches.Assemble(parts); err != nil {
			t.Fatal(err)
		}
	})
	if made > 40 {
		t.Errorf("%v allocations", made)
	}
	list, err := kafka.Records(parts[0].Out)
	if err != nil {
		t.Fatal(err)
	}
	first, second := list[0].Headers, list[1].Headers
	about := fact.Of(t, "%d headers, %v", len(first), second)
	if fact.Equal(about, "headers of the first record", len(first), 10_001) {
		fact.Equal(about, "the first", first[0].Key, "via")
		fact.Equal(about, "the second", first[1].Key, "a")
		fact.Equal(about, "the last", first[10_000].Key, "a")
	}
	if fact.Equal(about, "headers of the second record", len(second), 1) {
		fact.Equal(about, "its first", second[0].Key, "b")
	}
}
