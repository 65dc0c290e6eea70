package kafka

import (
	"bytes"
	"slices"
	"testing"
)

// TestRecordsAreGivenOtherOffsets, and those that have none are left out, in every codec.
func TestRecordsAreGivenOtherOffsets(t *testing.T) {
	for codec := range int8(5) {
		b := produced(codec, some()...)
		out, err := Bounds{}.Place(nil, b, 1000, 1009, func(at int64) (int64, bool) { return 1000 + 2*(at-40), at != 41 })
		if err != nil {
			t.Fatal(err)
		}
		if !out.ValidCRC() {
			t.Errorf("codec %d: the checksum is wrong", codec)
		}
		if out.Compression() != codec {
			t.Errorf("codec %d: became %d", codec, out.Compression())
		}
		if first, last := out.BaseOffset(), out.LastOffset(); first != 1000 || last != 1009 {
			t.Errorf("codec %d: offsets %d to %d, want 1000 to 1009", codec, first, last)
		}
		if out.ProducerID() != 7 || out.BaseSequence() != 3 {
			t.Errorf("codec %d: producer %d, sequence %d", codec, out.ProducerID(), out.BaseSequence())
		}
		records, err := Records(out)
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Delete(some(), 1, 2)
		if len(records) != len(want) {
			t.Fatalf("codec %d: %d records, want %d", codec, len(records), len(want))
		}
		for i, at := range []int64{1000, 1004, 1006} {
			if r := records[i]; r.Offset != at || r.Timestamp != want[i].Timestamp || !bytes.Equal(r.Value, want[i].Value) {
				t.Errorf("codec %d: record %d is %v, want %v at %d", codec, i, r, want[i], at)
			}
		}
	}
}

// TestABatchWithoutRecordsIsPlaced as compaction would leave it.
func TestABatchWithoutRecordsIsPlaced(t *testing.T) {
	for codec := range int8(5) {
		out, err := Bounds{}.Place(nil, produced(codec, some()...), 5, 7, func(int64) (int64, bool) { return 0, false })
		if err != nil {
			t.Fatal(err)
		}
		if !out.ValidCRC() {
			t.Errorf("codec %d: the checksum is wrong", codec)
		}
		if first, last := out.BaseOffset(), out.LastOffset(); first != 5 || last != 7 {
			t.Errorf("codec %d: offsets %d to %d, want 5 to 7", codec, first, last)
		}
		if records, err := Records(out); err != nil || len(records) > 0 {
			t.Errorf("codec %d: %d records, %v", codec, len(records), err)
		}
	}
}

func TestOffsetsThatABatchCannotHave(t *testing.T) {
	b := produced(0, some()...)
	for name, offsets := range map[string][2]int64{"none": {8, 7}, "too many": {0, 1 << 31}, "fewer than its records have": {100, 101}} {
		if out, err := (Bounds{}).Place(nil, b, offsets[0], offsets[1], func(at int64) (int64, bool) { return 100 + at - 40, true }); err == nil {
			t.Errorf("%s: %d bytes", name, len(out))
		}
	}
}
