package copies

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/align"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// offsetsOf lists the places of marks.
func offsetsOf(list []Mark) (out []int64) {
	for _, m := range list {
		out = append(out, m.Offset)
	}
	return out
}

func count(from, to int64) (out []int64) {
	for ; from < to; from++ {
		out = append(out, from)
	}
	return out
}

// TestReaderKnowsEveryCodec: the same records have the same marks, however they are packed.
func TestReaderKnowsEveryCodec(t *testing.T) {
	prod, dr, plain, packed := fakes.Pair()
	all := fakes.Records(0, 60)
	plain.Batch(fakes.Shape{}, all...)
	for i, c := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		packed.Batch(fakes.Shape{Codec: c, Packed: i > 0}, all[i*12:i*12+12]...)
		if got := packed.Batches[i].Raw.Compression(); int(got) != i {
			t.Fatalf("the test's batch %d has codec %d", i, got)
		}
	}
	old, copied := sides(t, prod, dr)
	f := kafka.NewFingerprints(true, nil)
	ours, _, err := old.Marks(t.Context(), f, 0, 0, 60)
	if err != nil {
		t.Fatal(err)
	}
	theirs, n, err := copied.Marks(t.Context(), f, 0, 0, 60)
	if err != nil || !slices.Equal(ours, theirs) || len(theirs) != 60 {
		t.Errorf("%d and %d marks, %v", len(ours), len(theirs), err)
	}
	var size int64
	for _, b := range packed.Batches {
		size += int64(len(b.Raw))
	}
	if n < size {
		t.Errorf("%d bytes read, the batches have %d", n, size)
	}
	// What can't be unpacked is an error, not a record less.
	packed.Batches[3].Raw[kafka.BatchHeader] ^= 0xff
	if _, _, err := copied.Marks(t.Context(), f, 0, 0, 60); err == nil || !strings.Contains(err.Error(), "batch at 36") {
		t.Errorf("a broken batch: %v", err)
	}
}

// TestReaderCutsRanges: ranges begin and end inside batches, and markers of transactions are places
// without records.
func TestReaderCutsRanges(t *testing.T) {
	f := fakes.NewCluster("prod")
	l := f.Topic("orders", 1)[0]
	l.Skip(100)
	for i := range 8 { // 100-109, marker 110, 111-120, marker 121, ...
		l.Batch(fakes.Shape{Producer: 5}, fakes.Records(i*10, i*10+10)...)
		l.Batch(fakes.Shape{Control: true}, kafka.Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0}})
	}
	s, err := NewSide(f, "orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to int64
		want     []int64
	}{
		{100, 110, count(100, 110)},
		{103, 107, count(103, 107)},
		{109, 112, []int64{109, 111}},
		{110, 111, nil},
		{100, 188, slices.Concat(count(100, 110), count(111, 121), count(122, 132), count(133, 143), count(144, 154), count(155, 165), count(166, 176), count(177, 187))},
		{180, 188, count(180, 187)},
		{187, 188, nil}, // the last one is a marker
		{180, 500, count(180, 187)},
		{120, 120, nil},
		{130, 120, nil},
	} {
		got, _, err := s.Marks(t.Context(), kafka.NewFingerprints(true, nil), 0, c.from, c.to)
		if err != nil || !slices.Equal(offsetsOf(got), c.want) {
			t.Errorf("%d to %d: %v, %v", c.from, c.to, offsetsOf(got), err)
		}
	}
	for _, from := range []int64{99, 189} {
		if _, _, err := s.Marks(t.Context(), kafka.NewFingerprints(true, nil), 0, from, from+10); err == nil || !strings.Contains(err.Error(), fmt.Sprintf(`read of "orders"/0 on prod at %d: error 1`, from)) {
			t.Errorf("outside the log at %d: %v", from, err)
		}
	}
}

// TestReaderEndsWhereNothingIsLeft: a compacted end answers without records; that must not be asked
// for ever.
func TestReaderEndsWhereNothingIsLeft(t *testing.T) {
	f := fakes.NewCluster("prod")
	l := f.Topic("orders", 1)[0]
	l.Add(fakes.Records(0, 20)...)
	l.Skip(15)
	s, err := NewSide(f, "orders")
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := s.Marks(t.Context(), kafka.NewFingerprints(true, nil), 0, 10, 35)
	if err != nil || !slices.Equal(offsetsOf(got), count(10, 20)) {
		t.Errorf("%v, %v", offsetsOf(got), err)
	}
	if n := f.Count(kmsg.Fetch); n > 3 {
		t.Errorf("%d fetches for four batches and nothing", n)
	}
}

// TestReaderAsksLeaders: every partition is read at its own leader, and answers are not mixed up.
func TestReaderAsksLeaders(t *testing.T) {
	f := fakes.NewCluster("prod")
	for p, l := range f.Topic("orders", 5) {
		l.Skip(int64(10 * p))
		l.Add(fakes.Records(100*p, 100*p+p+1)...)
	}
	s, err := NewSide(f, "orders")
	if err != nil {
		t.Fatal(err)
	}
	starts, err := s.offsets(t.Context(), -2)
	if err != nil || !slices.Equal(starts, []int64{0, 10, 20, 30, 40}) {
		t.Errorf("starts %v, %v", starts, err)
	}
	ends, err := s.offsets(t.Context(), -1)
	if err != nil || !slices.Equal(ends, []int64{1, 12, 23, 34, 45}) {
		t.Errorf("ends %v, %v", ends, err)
	}
	if n := f.Count(kmsg.ListOffsets); n != 4 {
		t.Errorf("%d requests for two leaders, twice", n)
	}
	prints := kafka.NewFingerprints(true, nil)
	for p := range 5 {
		got, _, err := s.Marks(t.Context(), prints, int32(p), starts[p], ends[p])
		if err != nil || len(got) != p+1 || got[p] != (Mark{ends[p] - 1, prints.Of(fakes.Record(100*p + p))}) {
			t.Errorf("partition %d: %v, %v", p, got, err)
		}
	}
	// A leader that has changed is an error with its place, never a wrong answer.
	s.Topic.Partitions[3].Leader = 0
	if _, err := s.offsets(t.Context(), -1); err == nil || !strings.Contains(err.Error(), `offsets of "orders"/3 on prod: error 6`) {
		t.Errorf("the wrong leader's offsets: %v", err)
	}
	if _, _, err := s.Marks(t.Context(), prints, 3, 30, 34); err == nil || !strings.Contains(err.Error(), `"orders"/3 on prod at 30: error 6`) {
		t.Errorf("the wrong leader's records: %v", err)
	}
	if err := s.Producers(t.Context(), func(int32, kmsg.DescribeProducersResponseTopicPartitionActiveProducer) error { return nil }); err == nil || !strings.Contains(err.Error(), `"orders"/3 on prod: error 6`) {
		t.Errorf("the wrong leader's producers: %v", err)
	}
	s.Topic.Partitions[3].Leader = -1
	if _, err := NewSide(f, "orders"); err == nil || !strings.Contains(err.Error(), `partition 3 of "orders" has no leader on prod`) {
		t.Errorf("without a leader: %v", err)
	}
	if _, err := NewSide(f, "other"); err == nil || !strings.Contains(err.Error(), `"other" does not exist on prod`) {
		t.Errorf("without a topic: %v", err)
	}
}

// TestABatchThatIsReadInTwoParts: what is behind the end of a stretch is left for the next one, in
// the middle of a batch too.
func TestABatchThatIsReadInTwoParts(t *testing.T) {
	prod, dr, ours, _ := fakes.Pair()
	ours.Batch(fakes.Shape{}, fakes.Records(0, 10)...)
	old, _ := sides(t, prod, dr)
	var got []int64
	for from := int64(0); from < 10; {
		next, _, err := old.Data(t.Context(), kafka.NewFingerprints(true, nil), 0, from, min(from+4, 10), func(r align.Record) { got = append(got, r.Offset) })
		if err != nil || next == from {
			t.Fatalf("from %d on: %d, %v", from, next, err)
		}
		from = next
	}
	if want := count(0, 10); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
