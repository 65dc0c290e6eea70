package offsets

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// place of a record in both logs, and what it says.
type placed struct {
	virtual int64
	value   string
}

// home is a log of a cluster in batches, and which of its records clients are to see.
type home struct {
	distance catalog.Distance
	log      []byte
	shown    []placed
	end      int64 // virtual
}

// drawHome draws a log and the distance that it is at, with holes and skips of which some are
// within batches.
func drawHome(t *rapid.T) (h home) {
	var runs []catalog.Run
	var at int64
	var values []string
	for range rapid.IntRange(1, 6).Draw(t, "runs") {
		h.end += rapid.Int64Range(0, 4).Draw(t, "hole")
		for range rapid.IntRange(0, 4).Draw(t, "skip") {
			values = append(values, "skipped")
			at++
		}
		n := rapid.Int64Range(1, 5).Draw(t, "records")
		runs = append(runs, catalog.Run{Virtual: h.end, Physical: at, Records: n})
		for range n {
			values = append(values, string(rune('a'+at)))
			h.shown = append(h.shown, placed{h.end, values[at]})
			h.end, at = h.end+1, at+1
		}
	}
	var err error
	if h.distance, err = catalog.DistanceOf(runs...); err != nil {
		t.Fatal(err)
	}
	for from := 0; from < len(values); {
		n := min(rapid.IntRange(1, 6).Draw(t, "batch"), len(values)-from)
		h.log = append(h.log, batchAt(t, int64(from), rapid.Int8Range(0, 4).Draw(t, "codec"), values[from:from+n])...)
		from += n
	}
	return h
}

// batchAt is a batch as a broker has it.
func batchAt(t *rapid.T, first int64, codec int8, values []string) kafka.Batch {
	var records []kafka.Record
	for i, v := range values {
		records = append(records, kafka.Record{Timestamp: int64(i), Value: []byte(v)})
	}
	b, err := kafka.NewBatch(records)
	if err != nil {
		t.Fatal(err)
	}
	if codec != 0 {
		packer, err := kgo.DefaultCompressor([]kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}[codec])
		if err != nil {
			t.Fatal(err)
		}
		packed, _ := packer.Compress(&bytes.Buffer{}, b[kafka.BatchHeader:])
		b = append(slices.Clone(b[:kafka.BatchHeader]), packed...)
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
		binary.BigEndian.PutUint16(b[21:], uint16(codec))
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	}
	b.SetBaseOffset(first)
	return b
}

// fetch answers a consumer at a virtual offset as the home would, with n batches at most.
func (h *home) fetch(t *rapid.T, v int64, n int) []byte {
	at, from, to := h.distance.ToPhysical(v), -1, 0
	for start, b := range kafka.Batches(h.log) {
		if b.LastOffset() < at || n == 0 {
			continue
		}
		if from < 0 {
			from = start
		}
		to = start + len(b)
		n--
	}
	if from < 0 {
		return nil
	}
	out, err := virtualBatches(kafka.Bounds{}, &catalog.Partition{Segments: []catalog.Segment{{}}, Distance: h.distance}, slices.Clone(h.log[from:to]))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAConsumerSeesTheVirtualLog: whatever the batches of the home are and wherever it begins, it
// gets each record once, at its virtual offset, and comes to the end.
func TestAConsumerSeesTheVirtualLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHome(t)
		position := rapid.Int64Range(0, h.end).Draw(t, "position")
		want := h.shown[slices.IndexFunc(append(h.shown, placed{virtual: h.end}), func(p placed) bool { return p.virtual >= position }):]
		var got []placed
		for range 100 {
			last := position - 1
			for _, b := range kafka.Batches(h.fetch(t, position, rapid.IntRange(1, 3).Draw(t, "batches"))) {
				if !b.ValidCRC() {
					t.Fatal("a wrong checksum")
				}
				if b.LastOffset() < last {
					t.Fatalf("a batch ends at %d, behind one that ends at %d", b.LastOffset(), last)
				}
				last = b.LastOffset()
				records, err := kafka.Records(b)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					if r.Offset >= position {
						got = append(got, placed{r.Offset, string(r.Value)})
					}
				}
				position = max(position, last+1) // as consumers do
			}
			if h.distance.ToPhysical(position) >= h.distance.ToPhysical(h.end) {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v of %v", got, want, slices.Collect(h.distance.Runs()))
		}
	})
}

// TestABatchThatIsNotDecoded keeps nothing in front of it from being read.
func TestABatchThatIsNotDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := []string{"a", "b", "c"}
		broken := batchAt(t, 3, 4, values)
		broken[len(broken)-1] ^= 0xff
		broken = broken[:len(broken)-2]
		binary.BigEndian.PutUint32(broken[8:], uint32(len(broken)-12))
		log := append(slices.Clone(batchAt(t, 0, 0, values)), broken...)
		d, err := catalog.DistanceOf(catalog.Run{Virtual: 0, Physical: 0, Records: 4}, catalog.Run{Virtual: 4, Physical: 5})
		if err != nil {
			t.Fatal(err)
		}
		out, err := virtualBatches(kafka.Bounds{}, &catalog.Partition{Segments: []catalog.Segment{{}}, Distance: d}, log)
		if err == nil {
			t.Fatal("decoded")
		}
		if want := len(batchAt(t, 0, 0, values)); len(out) != want {
			t.Fatalf("%d bytes in front of it, want %d", len(out), want)
		}
	})
}
