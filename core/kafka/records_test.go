package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/testing/fact"
)

// produced is a batch as a producer writes it, encoded by kmsg.
func produced(codec int8, records ...Record) Batch {
	b := kmsg.RecordBatch{FirstOffset: 40, Magic: 2, ProducerID: 7, ProducerEpoch: 1, FirstSequence: 3, NumRecords: int32(len(records)), LastOffsetDelta: int32(len(records) - 1)}
	b.FirstTimestamp = records[0].Timestamp
	var raw []byte
	for i, r := range records {
		x := kmsg.Record{TimestampDelta64: r.Timestamp - b.FirstTimestamp, OffsetDelta: int32(i), Key: r.Key, Value: r.Value, Headers: r.Headers}
		x.Length = int32(len(x.AppendTo(nil)) - 1)
		raw = x.AppendTo(raw)
		b.MaxTimestamp = max(b.MaxTimestamp, r.Timestamp)
	}
	if codec != 0 {
		raw, _ = packTo(nil, codec, raw)
	}
	b.Attributes, b.Records = int16(codec), raw
	b.Length = int32(len(b.AppendTo(nil)) - 12)
	return b.AppendTo(nil)
}

func some() []Record {
	return []Record{
		{Offset: 40, Timestamp: 1000, Key: []byte("a"), Value: []byte("one")},
		{Offset: 41, Timestamp: 990, Value: []byte{}, Headers: []kmsg.Header{{Key: "h", Value: []byte("v")}, {Key: ""}}},
		{Offset: 42, Timestamp: 5000, Key: []byte{}},
		{Offset: 43, Timestamp: 1001, Key: make([]byte, 300), Value: make([]byte, 70_000)},
	}
}

// TestRecordsAreThoseOfKmsg, of every codec, and a rebuilt batch has the records that it was given.
func TestRecordsAreThoseOfKmsg(t *testing.T) {
	for codec := range int8(5) {
		b := produced(codec, some()...)
		got, err := Records(b)
		if err != nil || !reflect.DeepEqual(got, some()) {
			t.Fatalf("codec %d: %v, %+v", codec, err, got)
		}
		for _, gaps := range []Gaps{KeepGaps, CloseGaps} {
			same, err := Rebuild(b, got, gaps)
			about := fact.Of(t, "codec %d: %v, %v", codec, err, same[:BatchHeader])
			if fact.NoError(about, err) {
				fact.True(about, "same.ValidCRC()", same.ValidCRC())
				fact.Equal(about, "same.MaxTimestamp()", same.MaxTimestamp(), 5000)
				fact.Equal(about, "same.LastOffset()", same.LastOffset(), 43)
				fact.Equal(about, "same.ProducerID()", same.ProducerID(), 7)
				fact.Equal(about, "same.Compression()", same.Compression(), b.Compression())
			}
			if again, err := Records(same); err != nil || !reflect.DeepEqual(again, some()) {
				t.Errorf("codec %d: %v, %+v", codec, err, again)
			}
		}
	}
}

// TestRecordsLeftOut keep their offsets towards clients, and close ranks towards brokers.
func TestRecordsLeftOut(t *testing.T) {
	b := produced(0, some()...)
	for gaps, c := range map[Gaps]struct {
		offsets []int64
		last    int64
	}{KeepGaps: {[]int64{41, 43}, 43}, CloseGaps: {[]int64{40, 41}, 41}} {
		all := some()
		out, err := Rebuild(b, []Record{all[1], all[3]}, gaps)
		about := fact.Must(t, "%v, %v", err, out[:BatchHeader])
		fact.NoError(about, err)
		fact.True(about, "out.ValidCRC()", out.ValidCRC())
		fact.Equal(about, "out.Count()", out.Count(), 2)
		fact.Equal(about, "out.LastOffset()", out.LastOffset(), c.last)
		fact.Equal(about, "out.MaxTimestamp()", out.MaxTimestamp(), 1001)
		got, err := Records(out)
		if err != nil || fmt.Sprint(got[0].Offset, got[1].Offset) != fmt.Sprint(c.offsets[0], c.offsets[1]) {
			t.Errorf("gaps %t: %v, offsets %d and %d", gaps, err, got[0].Offset, got[1].Offset)
		}
	}
	if _, err := Rebuild(b, nil, CloseGaps); !errors.Is(err, ErrNoRecords) {
		t.Errorf("no record left for a broker: %v", err)
	}
	{
		out, err := Rebuild(b, nil, KeepGaps)
		about := fact.Of(t, "no record left for a client: %v", err)
		if fact.NoError(about, err) {
			fact.Equal(about, "out.Count()", out.Count(), 0)
			fact.Equal(about, "out.LastOffset()", out.LastOffset(), 43)
			fact.True(about, "out.ValidCRC()", out.ValidCRC())
		}
	}
}

// FuzzRecords: whatever the bytes are, decoding ends, and what it decodes is encoded as it was.
func FuzzRecords(f *testing.F) {
	for codec := range int8(5) {
		f.Add([]byte(produced(codec, some()...)))
	}
	for _, count := range []uint32{0, 0x7fffffff, 0xffffffff} {
		b := produced(0, some()...)
		binary.BigEndian.PutUint32(b[57:], count)
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, b := range Batches(raw) {
			list, err := Records(b)
			if err != nil {
				continue
			}
			out, err := Rebuild(b, list, KeepGaps)
			if err != nil {
				continue
			}
			if again, err := Records(out); err != nil || !reflect.DeepEqual(again, list) {
				t.Errorf("%v\n%+v\n%+v", err, list, again)
			}
		}
	})
}

func BenchmarkRecords(b *testing.B) {
	var list []Record
	for i := range 500 {
		list = append(list, Record{Offset: int64(40 + i), Timestamp: int64(1000 + i), Key: []byte("key"), Value: make([]byte, 200)})
	}
	batch := produced(0, list...)
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			list, _ = AppendRecords(list[:0], batch)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/record")
	})
	b.Run("rebuild", func(b *testing.B) {
		for b.Loop() {
			if _, err := Rebuild(batch, list, KeepGaps); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/record")
	})
}

// TestANewBatch is one that a broker takes, with the records that it was given.
func TestANewBatch(t *testing.T) {
	b, err := NewBatch([]Record{{Timestamp: 7, Value: []byte("one")}, {Timestamp: 9, Key: []byte("k")}})
	about := fact.Of(t, "%v %v", err, b)
	if fact.NoError(about, err) {
		fact.True(about, "b.ValidCRC()", b.ValidCRC())
		fact.Equal(about, "b.ProducerID()", b.ProducerID(), -1)
		fact.Equal(about, "b.ProducerEpoch()", b.ProducerEpoch(), -1)
		fact.Equal(about, "b.LeaderEpoch()", b.LeaderEpoch(), -1)
		fact.Equal(about, "b.LastOffset()", b.LastOffset(), 1)
		fact.Equal(about, "b.MaxTimestamp()", b.MaxTimestamp(), 9)
		fact.Equal(about, "b.Attributes()", b.Attributes(), 0)
	}
	got, err := Records(b)
	if want := []Record{{Timestamp: 7, Value: []byte("one")}, {Offset: 1, Timestamp: 9, Key: []byte("k")}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %+v", err, got)
	}
	if _, err := NewBatch(nil); !errors.Is(err, ErrNoRecords) {
		t.Error(err)
	}
}

// TestFingerprintsOfRecordsThatAreNotDecoded are those of the decoded ones, and records that are
// not the same have others.
func TestFingerprintsOfRecordsThatAreNotDecoded(t *testing.T) {
	h := func(key string, value []byte) kmsg.Header { return kmsg.Header{Key: key, Value: value} }
	records := []Record{
		{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("kv")}, {Value: []byte("kv")}, {Key: []byte{}, Value: []byte("kv")},
		{Timestamp: 1, Key: []byte("k"), Value: []byte("v")}, {Key: []byte("k"), Value: []byte("v"), Headers: []kmsg.Header{h("a", []byte("b"))}},
		{Key: []byte("k"), Value: []byte("v"), Headers: []kmsg.Header{h("a", nil)}}, {Key: []byte("k"), Value: []byte("v"), Headers: []kmsg.Header{h("a", []byte{})}},
	}
	added := Record{Key: []byte("k"), Value: []byte("v"), Headers: []kmsg.Header{h("added", []byte("by a replicator"))}}
	f := NewFingerprints(true, []string{"added"})
	if f.Of(added) != f.Of(records[0]) {
		t.Error("a header that is ignored counts")
	}
	p, err := Bounds{}.Open(nil, produced(0, append(records, added)...))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]int{}
	for i, r := 0, (RawRecord{}); p.Next(&r); i++ {
		print := f.OfRaw(&r)
		if want := append(records, added)[i]; print != f.Of(want) {
			t.Errorf("record %d, %+v, has another fingerprint where it is not decoded", i, want)
		}
		if other, ok := seen[print]; ok && i < len(records) {
			t.Errorf("records %d and %d have one fingerprint", other, i)
		}
		seen[print] = i
	}
	if len(seen) != len(records) {
		t.Errorf("%d fingerprints of %d records", len(seen), len(records))
	}
}
