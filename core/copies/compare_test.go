package copies

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/testing/fakes"
)

// TestCompareSaysWhereCopiesDiffer: whatever a replicator does to record 150 of 200, the message
// names the first offset that is wrong, on both sides.
func TestCompareSaysWhereCopiesDiffer(t *testing.T) {
	all := fakes.Records(0, 200)
	for name, c := range map[string]struct {
		copied []kafka.Record
		first  int64 // the first difference, on the old side
	}{
		"dropped":  {slices.Delete(slices.Clone(all), 150, 151), 150},
		"repeated": {slices.Insert(slices.Clone(all), 150, all[150]), 151},
		"swapped":  {append(append(slices.Clone(all[:150]), all[151], all[150]), all[152:]...), 150},
		"the end":  {all[:199], 199},
		"key":      {fakes.Changed(all, 150, func(r *kafka.Record) { r.Key = []byte("other") }), 150},
		"no key":   {fakes.Changed(all, 150, func(r *kafka.Record) { r.Key = nil }), 150},
		"value":    {fakes.Changed(all, 150, func(r *kafka.Record) { r.Value = []byte("other") }), 150},
		"tomb":     {fakes.Changed(all, 150, func(r *kafka.Record) { r.Value = nil }), 150},
		"header":   {fakes.Changed(all, 150, func(r *kafka.Record) { r.Headers = []kmsg.Header{{Key: "trace", Value: []byte("x")}} }), 150},
		"headless": {fakes.Changed(all, 150, func(r *kafka.Record) { r.Headers = nil }), 150},
		"time":     {fakes.Changed(all, 150, func(r *kafka.Record) { r.Timestamp++ }), 150},
		// What moves from one field to the next must not look the same.
		"shifted": {fakes.Changed(all, 150, func(r *kafka.Record) { r.Key, r.Value = append(slices.Clone(r.Key), r.Value[0]), r.Value[1:] }), 150},
	} {
		for _, delta := range []int64{0, 25, -3} {
			prod, dr, ours, theirs := fakes.Pair()
			if delta < 0 {
				ours.Skip(-delta)
			} else {
				theirs.Skip(delta)
			}
			begin := ours.End
			ours.Add(all...)
			theirs.Add(c.copied...)
			old, copied := sides(t, prod, dr)
			err := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}.Compare(t.Context(), 0, Stretch{begin, ours.End}, delta, 1<<30)
			want := fmt.Sprintf("partition 0: the record at %d on prod is not at %d on dr", begin+c.first, begin+c.first+delta)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s at delta %d: got %v, want %q", name, delta, err, want)
			}
		}
	}
}

func TestCompareAcceptsCopies(t *testing.T) {
	all := fakes.Records(0, 200)
	added := func(r *kafka.Record) {
		r.Headers = append(slices.Clone(r.Headers), kmsg.Header{Key: "mm2", Value: []byte("prod")})
	}
	for name, c := range map[string]struct {
		copied     []kafka.Record
		timestamps bool
		ignore     []string
	}{
		"equal":                     {all, true, nil},
		"a header of no meaning":    {fakes.Changed(all, 150, added), true, []string{"mm2"}},
		"times where brokers' rule": {fakes.Changed(all, 150, func(r *kafka.Record) { r.Timestamp++ }), false, nil},
	} {
		for _, delta := range []int64{0, 25} {
			prod, dr, ours, theirs := fakes.Pair()
			theirs.Skip(delta)
			ours.Add(all...)
			theirs.Batch(fakes.Shape{}, c.copied...) // batches are the replicator's own
			old, copied := sides(t, prod, dr)
			if err := (Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(c.timestamps, c.ignore)}).Compare(t.Context(), 0, Stretch{0, 200}, delta, 1<<30); err != nil {
				t.Errorf("%s at delta %d: %v", name, delta, err)
			}
		}
	}
}

// TestLogAppendTime: a broker's timestamps differ between the sides, which only a comparison
// without timestamps may overlook; what the producer said differs nowhere.
func TestLogAppendTime(t *testing.T) {
	prod, dr, ours, theirs := fakes.Pair()
	ours.Batch(fakes.Shape{AppendTime: 1000}, fakes.Records(0, 10)...)
	theirs.Batch(fakes.Shape{AppendTime: 2000}, fakes.Records(0, 10)...)
	old, copied := sides(t, prod, dr)
	for timestamps, same := range map[bool]bool{true: false, false: true} {
		if err := (Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(timestamps, nil)}).Compare(t.Context(), 0, Stretch{0, 10}, 0, 1<<30); (err == nil) != same {
			t.Errorf("timestamps %t: %v", timestamps, err)
		}
	}
	for _, c := range []struct {
		a, b            string
		timestamps, bad bool
	}{{"CreateTime", "CreateTime", true, false}, {"LogAppendTime", "LogAppendTime", false, false}, {"CreateTime", "LogAppendTime", false, true}} {
		prod.Topics["orders"].Configs["message.timestamp.type"], dr.Topics["orders"].Configs["message.timestamp.type"] = c.a, c.b
		got, err := SameSettings(t.Context(), old, copied)
		if (err != nil) != c.bad || got.Timestamps != c.timestamps {
			t.Errorf("%s and %s: timestamps %t, %v", c.a, c.b, got, err)
		}
	}
}

// TestCompareOfCompactedLogs: the same gaps on both sides are no difference, other ones are.
func TestCompareOfCompactedLogs(t *testing.T) {
	gaps := func(offsets ...int) (out []kafka.Record) {
		for _, o := range offsets {
			r := fakes.Record(o)
			r.Offset = int64(o)
			out = append(out, r)
		}
		return out
	}
	ours := gaps(0, 1, 5, 9)
	for name, c := range map[string]struct {
		copied []kafka.Record
		want   string
	}{
		"the same gaps":       {gaps(0, 1, 5, 9), ""},
		"none":                {gaps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9), "partition 0: the record at 5 on prod is not at 5 on dr"},
		"another gap":         {gaps(0, 5, 9), "partition 0: the record at 1 on prod is not at 1 on dr"},
		"more behind the end": {gaps(0, 1, 5, 9, 10), ""},
	} {
		prod, dr, a, b := fakes.Pair()
		a.Batch(fakes.Shape{}, ours...)
		b.Batch(fakes.Shape{}, c.copied...)
		old, copied := sides(t, prod, dr)
		err := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}.Compare(t.Context(), 0, Stretch{0, 10}, 0, 1<<30)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	// A replicator that closes the gaps: the same records in the same order, but elsewhere.
	prod, dr, a, b := fakes.Pair()
	a.Batch(fakes.Shape{}, ours...)
	b.Add(fakes.Record(0), fakes.Record(1), fakes.Record(5), fakes.Record(9))
	old, copied := sides(t, prod, dr)
	err := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}.Compare(t.Context(), 0, Stretch{0, 10}, 0, 1<<30)
	if err == nil || !strings.Contains(err.Error(), "the record at 5 on prod is not at 5 on dr") {
		t.Errorf("closed gaps: %v", err)
	}
	if d, _, err := (Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}).FindDelta(t.Context(), 0, Stretch{0, 10}, Stretch{0, 4}, 0); err == nil {
		t.Errorf("closed gaps: a distance of %d", d)
	}
	// A record that only the copy has, behind everything that is left at home.
	prod, dr, a, b = fakes.Pair()
	a.Batch(fakes.Shape{}, gaps(0, 1, 9)...)
	a.Batch(fakes.Shape{Control: true}, kafka.Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0}})
	b.Batch(fakes.Shape{}, gaps(0, 1, 9, 10)...)
	old, copied = sides(t, prod, dr)
	err = Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}.Compare(t.Context(), 0, Stretch{0, 11}, 0, 1<<30)
	if err == nil || !strings.Contains(err.Error(), "dr has records that prod does not have") {
		t.Errorf("a record too many: %v", err)
	}
	// Nothing at all.
	prod, dr, _, _ = fakes.Pair()
	old, copied = sides(t, prod, dr)
	if err := (Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}).Compare(t.Context(), 0, Stretch{0, 0}, 0, 1<<30); err != nil {
		t.Errorf("empty logs: %v", err)
	}
}

// TestARefusalNamesItsCause: transactions and compaction make copies differ that no replicator has
// spoiled, and nothing else is taken for them.
func TestARefusalNamesItsCause(t *testing.T) {
	const markers, compacted, spoiled = "transactions have put", "compaction has removed", "records were duplicated, dropped, reordered or written there"
	transactions := func(l *fakes.Log, from, to int) {
		for i := from; i < to; i += 3 {
			l.Add(fakes.Records(i, i+3)...)
			fakes.Marker(l)
		}
	}
	sparse := func(l *fakes.Log, from, to, every int) {
		var left []kafka.Record
		for i := from; i < to; i++ {
			if r := fakes.Record(i); i%every != 0 {
				r.Offset = int64(i)
				left = append(left, r)
			}
		}
		l.Batch(fakes.Shape{}, left...)
	}
	for name, c := range map[string]struct {
		write func(ours, theirs *fakes.Log)
		want  string
	}{
		"a replicator leaves markers out": {func(a, b *fakes.Log) { transactions(a, 0, 300); b.Add(fakes.Records(0, 300)...) }, markers},
		"one at the end": {func(a, b *fakes.Log) {
			a.Add(fakes.Records(0, 20)...)
			fakes.Marker(a)
			a.Add(fakes.Records(20, 30)...)
			b.Add(fakes.Records(0, 30)...)
		}, markers},
		"only home is compacted": {func(a, b *fakes.Log) { sparse(a, 0, 300, 3); b.Add(fakes.Records(0, 300)...) }, compacted},
		"only the copy is":       {func(a, b *fakes.Log) { a.Add(fakes.Records(0, 300)...); sparse(b, 0, 300, 3) }, compacted},
		"dropped among transactions": {func(a, b *fakes.Log) {
			transactions(a, 0, 300)
			transactions(b, 0, 270)
			b.Add(fakes.Records(271, 273)...)
			fakes.Marker(b)
			transactions(b, 273, 300)
		}, spoiled},
		"dropped": {func(a, b *fakes.Log) {
			a.Add(fakes.Records(0, 300)...)
			b.Add(fakes.Records(0, 270)...)
			b.Add(fakes.Records(271, 300)...)
		}, spoiled},
	} {
		prod, dr, a, b := fakes.Pair()
		c.write(a, b)
		old, copied := sides(t, prod, dr)
		f := kafka.NewFingerprints(true, nil)
		_, _, err := Pair{Home: old, Copy: copied, Prints: f}.FindDelta(t.Context(), 0, Stretch{0, a.End}, Stretch{0, b.End}, 0)
		if err == nil {
			err = Pair{Home: old, Copy: copied, Prints: f}.Compare(t.Context(), 0, Stretch{0, min(a.End, b.End)}, 0, 1<<30)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestATailWithoutRecords: markers, or what compaction has removed, fill the last offsets of both.
func TestATailWithoutRecords(t *testing.T) {
	prod, dr, a, b := fakes.Pair()
	b.Skip(25)
	for _, l := range []*fakes.Log{a, b} {
		l.Add(fakes.Records(0, 100)...)
		for range 2 * Tail {
			fakes.Marker(l)
		}
	}
	old, copied := sides(t, prod, dr)
	if d, _, err := (Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}).FindDelta(t.Context(), 0, Stretch{0, a.End}, Stretch{25, b.End}, 0); err != nil || d != 25 {
		t.Errorf("a distance of %d, %v", d, err)
	}
}

// TestCompareReadsInPieces: the last of several pieces counts as much as the first, the pieces cut
// through batches, and the limit says from where on too much was left.
func TestCompareReadsInPieces(t *testing.T) {
	const n = 11_000
	all := fakes.Records(0, n)
	prod, dr, ours, _ := fakes.Pair()
	for b := range slices.Chunk(all, 64) {
		ours.Batch(fakes.Shape{}, b...)
	}
	differs := func(at int) (old, copied *Side) {
		l := dr.Topic("orders", 1)[0]
		for b := range slices.Chunk(fakes.Changed(all, at, func(r *kafka.Record) { r.Value = nil }), 99) {
			l.Batch(fakes.Shape{}, b...)
		}
		return sides(t, prod, dr)
	}
	old, copied := differs(10_500)
	f := kafka.NewFingerprints(true, nil)
	if err := (Pair{Home: old, Copy: copied, Prints: f}).Compare(t.Context(), 0, Stretch{0, 10_500}, 0, 1<<30); err != nil {
		t.Error(err)
	}
	for _, at := range []int{4999, 5000, 10_500} {
		old, copied := differs(at)
		if err := (Pair{Home: old, Copy: copied, Prints: f}).Compare(t.Context(), 0, Stretch{0, n}, 0, 1<<30); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("record at %d on prod", at)) {
			t.Errorf("a difference at %d: %v", at, err)
		}
	}
	_, piece, err := old.Marks(t.Context(), f, 0, 0, 5000)
	if err != nil {
		t.Fatal(err)
	}
	for limit, from := range map[int64]int{10: 0, piece * 3 / 2: 5000} {
		err := Pair{Home: old, Copy: copied, Prints: f}.Compare(t.Context(), 0, Stretch{0, 10_500}, 0, limit)
		if err == nil || !strings.Contains(err.Error(), "compare_limit") || !strings.Contains(err.Error(), fmt.Sprintf("from offset %d on", from)) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// TestFindDelta finds the constant distance by the last records of the copy.
func TestFindDelta(t *testing.T) {
	for name, c := range map[string]struct {
		ours, theirs []kafka.Record
		skipOurs     int64 // where the logs begin
		skipTheirs   int64
		guesses      []int64
		want         int64
		err          string
		lag          bool
	}{
		"the same":             {ours: fakes.Records(0, 100), theirs: fakes.Records(0, 100), guesses: []int64{0}, want: 0},
		"as known":             {ours: fakes.Records(0, 100), theirs: fakes.Records(0, 100), skipTheirs: 25, guesses: []int64{25, 0}, want: 25},
		"unknown":              {ours: fakes.Records(0, 100), theirs: fakes.Records(0, 100), skipTheirs: 25, guesses: []int64{0}, want: 25},
		"below":                {ours: fakes.Records(0, 100), theirs: fakes.Records(40, 100), guesses: []int64{0}, want: -40},
		"known wrongly":        {ours: fakes.Records(0, 100), theirs: fakes.Records(0, 100), skipTheirs: 25, guesses: []int64{7, 0}, want: 25},
		"behind":               {ours: fakes.Records(0, 300), theirs: fakes.Records(0, 200), skipTheirs: 25, guesses: []int64{0}, want: 25},
		"short":                {ours: fakes.Records(0, 100), theirs: fakes.Records(0, 3), skipTheirs: 4, guesses: []int64{0}, want: 4},
		"far behind":           {ours: fakes.Records(0, 10_200), theirs: fakes.Records(0, 100), skipTheirs: 25, guesses: []int64{0}, err: "the last 64 records on dr are not found"},
		"far, but known":       {ours: fakes.Records(0, 10_200), theirs: fakes.Records(0, 100), skipTheirs: 25, guesses: []int64{25}, want: 25},
		"began later":          {ours: fakes.Records(0, 100), theirs: fakes.Records(0, 100), skipOurs: 10, guesses: []int64{0}, want: -10},
		"no copy":              {ours: fakes.Records(0, 100), err: "100 records on prod and none on dr", lag: true},
		"nothing":              {guesses: []int64{0}, want: 0},
		"nothing any more":     {skipOurs: 30, skipTheirs: 75, guesses: []int64{0}, want: 45},
		"retention took all":   {ours: nil, skipOurs: 30, theirs: fakes.Records(0, 30), skipTheirs: 75, guesses: []int64{0}, want: 75},
		"retention took most":  {ours: fakes.Records(95, 100), skipOurs: 95, theirs: fakes.Records(0, 100), skipTheirs: 25, guesses: []int64{0}, want: 25},
		"and it is known":      {ours: fakes.Records(95, 100), skipOurs: 95, theirs: fakes.Records(0, 100), skipTheirs: 25, guesses: []int64{25}, want: 25},
		"and the copy is late": {ours: fakes.Records(95, 100), skipOurs: 95, theirs: fakes.Records(0, 98), skipTheirs: 25, guesses: []int64{0}, want: 25},
		"what is left differs": {ours: fakes.Changed(fakes.Records(95, 100), 3, func(r *kafka.Record) { r.Value = nil }), skipOurs: 95, theirs: fakes.Records(0, 100), guesses: []int64{0}, err: "no exact copy"},
		"one in 64 differs":    {ours: fakes.Records(0, 100), theirs: fakes.Changed(fakes.Records(0, 100), 40, func(r *kafka.Record) { r.Value = nil }), guesses: []int64{0}, err: "no exact copy"},
		"an older one":         {ours: fakes.Records(0, 100), theirs: fakes.Changed(fakes.Records(0, 100), 20, func(r *kafka.Record) { r.Value = nil }), guesses: []int64{0}, want: 0},
		"dropped at the end":   {ours: fakes.Records(0, 100), theirs: append(fakes.Records(0, 98), fakes.Record(99)), guesses: []int64{0}, err: "in this order and without gaps"},
		"somebody else's":      {ours: fakes.Records(0, 100), theirs: append(fakes.Records(0, 100), fakes.Record(777)), guesses: []int64{0}, err: "no exact copy"},
		"not ours at all":      {theirs: fakes.Records(0, 10), guesses: []int64{0}, err: "the last 10 records on dr are not found"},
	} {
		prod, dr, a, b := fakes.Pair()
		a.Skip(c.skipOurs)
		b.Skip(c.skipTheirs)
		a.Add(c.ours...)
		b.Add(c.theirs...)
		old, copied := sides(t, prod, dr)
		d, _, err := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}.FindDelta(t.Context(), 0, Stretch{a.Start, a.End}, Stretch{b.Start, b.End}, c.guesses...)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) || errors.Is(err, block.ErrLag) != c.lag {
				t.Errorf("%s: got %d and %v, want %q", name, d, err, c.err)
			}
		case err != nil || d != c.want:
			t.Errorf("%s: got %d and %v, want %d", name, d, err, c.want)
		}
	}
}

// TestTheLastRecordAloneIsNoProof: between the two that the copy has stands a marker, so they don't
// stand at one distance, though what stands before where the first one should be may be anything.
func TestTheLastRecordAloneIsNoProof(t *testing.T) {
	prod, dr, a, b := fakes.Pair()
	b.Skip(25)
	a.Add(fakes.Records(0, 10)...)
	b.Add(fakes.Record(0))
	fakes.Marker(b)
	b.Add(fakes.Record(1))
	old, copied := sides(t, prod, dr)
	d, _, err := Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}.FindDelta(t.Context(), 0, Stretch{0, a.End}, Stretch{25, b.End}, 25, 0)
	var inexact *InexactError
	if !errors.As(err, &inexact) {
		t.Errorf("distance %d, %v", d, err)
	}
}

// TestAKnownDistanceIsCheap: a guess that fits is verified on the tail alone.
func TestAKnownDistanceIsCheap(t *testing.T) {
	prod, dr, a, b := fakes.Pair()
	b.Skip(25)
	a.Add(fakes.Records(0, 5000)...)
	b.Add(fakes.Records(0, 5000)...)
	old, copied := sides(t, prod, dr)
	if _, _, err := (Pair{Home: old, Copy: copied, Prints: kafka.NewFingerprints(true, nil)}).FindDelta(t.Context(), 0, Stretch{0, a.End}, Stretch{25, b.End}, 25, 0); err != nil {
		t.Fatal(err)
	}
	if n := prod.Count(kmsg.Fetch); n > Tail/15+2 {
		t.Errorf("%d fetches from prod for %d records", n, Tail)
	}
}

func TestWhatIsLeftToCompare(t *testing.T) {
	for _, c := range []struct {
		all, same Stretch
		want      string
	}{
		{Stretch{10, 90}, Stretch{}, "[10 90]"},
		{Stretch{10, 90}, Stretch{30, 90}, "[10 30] []"},
		{Stretch{10, 90}, Stretch{30, 80}, "[10 30] [80 90]"},
		{Stretch{30, 90}, Stretch{10, 90}, "[] []"},
		{Stretch{30, 90}, Stretch{10, 80}, "[] [80 90]"},
		{Stretch{30, 90}, Stretch{10, 100}, "[] []"},
	} {
		var got []string
		for _, s := range c.all.Without(c.same) {
			if s.From < s.To {
				got = append(got, fmt.Sprint([]int64{s.From, s.To}))
			} else {
				got = append(got, "[]")
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%v without %v: %s, want %s", c.all, c.same, s, c.want)
		}
	}
}

func sides(t *testing.T, prod, dr *fakes.Cluster) (old, copied *Side) {
	t.Helper()
	old, err := NewSide(prod, "orders")
	if err != nil {
		t.Fatal(err)
	}
	if copied, err = NewSide(dr, "orders"); err != nil {
		t.Fatal(err)
	}
	return old, copied
}
