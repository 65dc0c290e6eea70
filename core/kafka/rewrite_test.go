package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// randomBytes are up to n bytes, or nil.
func randomBytes(r *rand.Rand, n int) []byte {
	if r.IntN(5) == 0 {
		return nil
	}
	b := make([]byte, r.IntN(n+1))
	for i := range b {
		b[i] = byte('a' + r.IntN(3)) // so that it can be compressed
	}
	return b
}

// randomRecords have null and empty keys and values, headers twice, and timestamps that go back.
func randomRecords(r *rand.Rand) (out []Record) {
	for range 1 + r.IntN(30) {
		x := Record{Offset: 40 + int64(len(out)), Timestamp: 1000 + r.Int64N(300) - 150, Key: randomBytes(r, 3), Value: randomBytes(r, 300)}
		for range max(0, r.IntN(5)-2) {
			x.Headers = append(x.Headers, kmsg.Header{Key: string(randomBytes(r, 1)), Value: randomBytes(r, 70)})
		}
		out = append(out, x)
	}
	return out
}

// editedBy is a batch after random edits by Edit, and the records that a plain list of them has
// after the same.
func editedBy(t *testing.T, r *rand.Rand, b Batch, gaps Gaps, some int) (out Batch, want []Record, err error) {
	list, err := Records(b)
	if err != nil {
		t.Fatal(err)
	}
	before, i := bytes.Clone(b), -1
	buf := make([]byte, r.IntN(3000))
	out, err = Bounds{}.Edit(buf, b, gaps, func(x *RawRecord) Verdict {
		i++
		model := list[i]
		model.Value = bytes.Clone(model.Value)
		verdict := Verdict(0)
		if some > 0 {
			verdict = Verdict(r.IntN(some)) % (Dropped + 1)
		}
		switch verdict {
		case Dropped:
			return Dropped
		case ChangedInPlace:
			for j := range x.Value {
				x.Value[j], model.Value[j] = 'Z', 'Z'
			}
		case Changed:
			x.Key = randomBytes(r, 900)
			model.Key = x.Key
		}
		if gaps == CloseGaps {
			model.Offset = b.BaseOffset() + int64(len(want))
		}
		want = append(want, model)
		return verdict
	})
	if !bytes.Equal(before, b) {
		t.Error("Edit has changed its batch")
	}
	return out, want, err
}

// edited is a batch after random edits by Rewrite, and the records that a plain list of them has
// after the same.
func edited(t *testing.T, r *rand.Rand, b Batch, gaps Gaps, some int) (out Batch, want []Record, err error) {
	p, err := Bounds{}.Open(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	list, err := Records(b)
	if err != nil {
		t.Fatal(err)
	}
	w := p.Rewrite(nil, gaps, 0)
	i := 0
	for x := (RawRecord{}); p.Next(&x); i++ {
		model := list[i]
		what := 0
		if some > 0 {
			what = r.IntN(some)
		}
		switch what {
		case 1:
			continue
		case 2:
			x.Value = randomBytes(r, 200)
			model.Value = x.Value
		case 3:
			x.Key, x.Timestamp = randomBytes(r, 3), 5000+int64(i)
			model.Key, model.Timestamp = x.Key, x.Timestamp
		case 4:
			x.Headers.Add([]byte("h"), []byte("v"))
			model.Headers = append(slices.Clone(model.Headers), kmsg.Header{Key: "h", Value: []byte("v")})
		case 5:
			x.Headers.Bytes = bytes.Clone(x.Headers.Bytes)
			x.Headers.Remove([]byte("a"))
			model.Headers = slices.DeleteFunc(slices.Clone(model.Headers), func(h kmsg.Header) bool { return h.Key == "a" })
		}
		if len(model.Headers) == 0 {
			model.Headers = nil
		}
		if gaps == CloseGaps {
			model.Offset = b.BaseOffset() + int64(len(want))
		}
		if b.LogAppendTime() {
			model.Timestamp = b.MaxTimestamp()
		}
		want = append(want, model)
		if what == 0 || what > 5 {
			w.Keep(&x)
		} else {
			w.Put(&x)
		}
	}
	out, err = w.Batch()
	return out, want, err
}

// FuzzRewrite compares batches of random records after random edits with a list of records.
func FuzzRewrite(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := produced(int8(r.IntN(5)), randomRecords(r)...)
		if r.IntN(4) == 0 {
			b[22] |= 8 // log append time
		}
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
		gaps := Gaps(r.IntN(2) == 0)
		by, some := edited, []int{0, 2, 6, 40}[r.IntN(4)]
		if r.IntN(2) == 0 {
			by = editedBy
		}
		out, want, err := by(t, r, b, gaps, some)
		if len(want) == 0 && gaps == CloseGaps {
			if err == nil {
				t.Error("a batch without records for a broker")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := Records(out)
		if err != nil {
			t.Fatal(err)
		}
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%+v\nwant\n%+v", got, want)
		}
		if !out.ValidCRC() {
			t.Error("the checksum is wrong")
		}
		last := b.LastOffset()
		if gaps == CloseGaps {
			last = want[len(want)-1].Offset
		}
		if out.LastOffset() != last {
			t.Errorf("the last offset is %d, not %d", out.LastOffset(), last)
		}
		highest := b.MaxTimestamp()
		if !b.LogAppendTime() && len(want) > 0 {
			highest = slices.MaxFunc(want, func(a, b Record) int { return int(a.Timestamp - b.Timestamp) }).Timestamp
		}
		if out.MaxTimestamp() != highest {
			t.Errorf("the highest timestamp is %d, not %d", out.MaxTimestamp(), highest)
		}
	})
}

// TestWhatIsKeptStaysTheSameBytes, compressed ones too: they may be those of another compressor.
func TestWhatIsKeptStaysTheSameBytes(t *testing.T) {
	long := slices.Repeat([]Record{{Timestamp: 1000, Value: bytes.Repeat([]byte("long "), 200)}}, 200)
	for i := range long {
		long[i].Offset = 40 + int64(i)
	}
	for codec := range int8(5) {
		for _, list := range [][]Record{some(), long} {
			b, err := Rebuild(produced(codec, list...), list, KeepGaps) // with a checksum
			if err != nil {
				t.Fatal(err)
			}
			for _, gaps := range []Gaps{KeepGaps, CloseGaps} {
				if out, _, err := edited(t, nil, b, gaps, 0); err != nil || !bytes.Equal(out, b) {
					t.Errorf("codec %d, gaps %t: %d bytes became %d, %v", codec, gaps, len(b), len(out), err)
				}
			}
		}
	}
	list := []Record{{Offset: 40, Value: bytes.Repeat([]byte("x"), 500)}}
	plain := produced(0, list...)
	b := append(bytes.Clone(plain[:BatchHeader]), framed(t, 1, plain[BatchHeader:])[BatchHeader:]...) // as Java writes it, and nobody here
	b[22] = 2
	if out, _, err := edited(t, nil, b, KeepGaps, 0); err != nil || !bytes.Equal(out[BatchHeader:], b[BatchHeader:]) {
		t.Errorf("compressed anew: %v", err)
	}
}

// TestAnEmptiedBatchIsNotCompressed: it is what brokers leave after compaction.
func TestAnEmptiedBatchIsNotCompressed(t *testing.T) {
	for codec := range int8(5) {
		out, err := Rebuild(produced(codec, some()...), nil, KeepGaps)
		if err != nil || len(out) != BatchHeader || out.Compression() != 0 {
			t.Errorf("codec %d: %d bytes of codec %d, %v", codec, len(out), out.Compression(), err)
		}
	}
}

// TestOpenUsesItsMemory: what is decompressed and compressed anew takes none of its own.
func TestOpenUsesItsMemory(t *testing.T) {
	list := []Record{{Offset: 40, Value: bytes.Repeat([]byte("value "), 10_000)}}
	plain, out := make([]byte, 0, 1<<20), make([]byte, 0, 1<<20)
	for codec := int8(1); codec < 5; codec++ {
		b := produced(codec, list...)
		p, err := Bounds{}.Open(plain, b)
		if err != nil {
			t.Fatal(err)
		}
		if &p.Bytes[0] != &plain[:1][0] {
			t.Errorf("codec %d is decompressed into other memory", codec)
		}
		w := p.Rewrite(out, KeepGaps, 0)
		for r := (RawRecord{}); p.Next(&r); {
			r.Value = r.Value[1:]
			w.Put(&r)
		}
		again, err := w.Batch()
		if err != nil || &again[0] != &out[:1][0] {
			t.Errorf("codec %d is written into other memory: %v", codec, err)
		}
	}
}

// TestEditAllocatesNothingPerRecord in memory that is used again.
func TestEditAllocatesNothingPerRecord(t *testing.T) {
	list := slices.Repeat([]Record{{Timestamp: 1000, Value: []byte("value")}}, 1000)
	for i := range list {
		list[i].Offset = 40 + int64(i)
	}
	b := produced(0, list...)
	buf := make([]byte, 2*len(b))
	for _, verdict := range []Verdict{Unchanged, ChangedInPlace, Changed} {
		made := testing.AllocsPerRun(10, func() {
			if _, err := (Bounds{}).Edit(buf, b, CloseGaps, func(*RawRecord) Verdict { return verdict }); err != nil {
				t.Fatal(err)
			}
		})
		if made > 20 { // the race detector's pool forgets memory
			t.Errorf("verdict %d: %v allocations", verdict, made)
		}
	}
}
