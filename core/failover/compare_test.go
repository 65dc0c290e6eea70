package failover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-gateway/sluice/core/kafka"
)

// changed returns the records with one of them altered.
func changed(list []kafka.Record, at int, alter func(*kafka.Record)) []kafka.Record {
	out := slices.Clone(list)
	alter(&out[at])
	return out
}

// TestCompareSaysWhereCopiesDiffer: whatever a replicator does to record 150 of 200, the message
// names the first offset that is wrong, on both sides.
func TestCompareSaysWhereCopiesDiffer(t *testing.T) {
	all := records(0, 200)
	for name, c := range map[string]struct {
		copied []kafka.Record
		first  int64 // the first difference, on the old side
	}{
		"dropped":  {slices.Delete(slices.Clone(all), 150, 151), 150},
		"repeated": {slices.Insert(slices.Clone(all), 150, all[150]), 151},
		"swapped":  {append(append(slices.Clone(all[:150]), all[151], all[150]), all[152:]...), 150},
		"the end":  {all[:199], 199},
		"key":      {changed(all, 150, func(r *kafka.Record) { r.Key = []byte("other") }), 150},
		"no key":   {changed(all, 150, func(r *kafka.Record) { r.Key = nil }), 150},
		"value":    {changed(all, 150, func(r *kafka.Record) { r.Value = []byte("other") }), 150},
		"tomb":     {changed(all, 150, func(r *kafka.Record) { r.Value = nil }), 150},
		"header":   {changed(all, 150, func(r *kafka.Record) { r.Headers = []kmsg.Header{{Key: "trace", Value: []byte("x")}} }), 150},
		"headless": {changed(all, 150, func(r *kafka.Record) { r.Headers = nil }), 150},
		"time":     {changed(all, 150, func(r *kafka.Record) { r.Timestamp++ }), 150},
		// What moves from one field to the next must not look the same.
		"shifted": {changed(all, 150, func(r *kafka.Record) { r.Key, r.Value = append(slices.Clone(r.Key), r.Value[0]), r.Value[1:] }), 150},
	} {
		for _, delta := range []int64{0, 25, -3} {
			prod, dr, ours, theirs := pair()
			if delta < 0 {
				ours.skip(-delta)
			} else {
				theirs.skip(delta)
			}
			begin := ours.end
			ours.add(all...)
			theirs.add(c.copied...)
			old, copied := sides(t, prod, dr)
			err := compare(t.Context(), kafka.NewFingerprints(true, nil), old, copied, 0, begin, ours.end, delta, 1<<30)
			want := fmt.Sprintf("partition 0: the record at %d on prod is not at %d on dr", begin+c.first, begin+c.first+delta)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s at delta %d: got %v, want %q", name, delta, err, want)
			}
		}
	}
}

func TestCompareAcceptsCopies(t *testing.T) {
	all := records(0, 200)
	added := func(r *kafka.Record) {
		r.Headers = append(slices.Clone(r.Headers), kmsg.Header{Key: "mm2", Value: []byte("prod")})
	}
	for name, c := range map[string]struct {
		copied     []kafka.Record
		timestamps bool
		ignore     []string
	}{
		"equal":                     {all, true, nil},
		"a header of no meaning":    {changed(all, 150, added), true, []string{"mm2"}},
		"times where brokers' rule": {changed(all, 150, func(r *kafka.Record) { r.Timestamp++ }), false, nil},
	} {
		for _, delta := range []int64{0, 25} {
			prod, dr, ours, theirs := pair()
			theirs.skip(delta)
			ours.add(all...)
			theirs.batch(shape{}, c.copied...) // batches are the replicator's own
			old, copied := sides(t, prod, dr)
			if err := compare(t.Context(), kafka.NewFingerprints(c.timestamps, c.ignore), old, copied, 0, 0, 200, delta, 1<<30); err != nil {
				t.Errorf("%s at delta %d: %v", name, delta, err)
			}
		}
	}
}

// TestLogAppendTime: a broker's timestamps differ between the sides, which only a comparison
// without timestamps may overlook; what the producer said differs nowhere.
func TestLogAppendTime(t *testing.T) {
	prod, dr, ours, theirs := pair()
	ours.batch(shape{appendTime: 1000}, records(0, 10)...)
	theirs.batch(shape{appendTime: 2000}, records(0, 10)...)
	old, copied := sides(t, prod, dr)
	for timestamps, same := range map[bool]bool{true: false, false: true} {
		if err := compare(t.Context(), kafka.NewFingerprints(timestamps, nil), old, copied, 0, 0, 10, 0, 1<<30); (err == nil) != same {
			t.Errorf("timestamps %t: %v", timestamps, err)
		}
	}
	for _, c := range []struct {
		a, b            string
		timestamps, bad bool
	}{{"CreateTime", "CreateTime", true, false}, {"LogAppendTime", "LogAppendTime", false, false}, {"CreateTime", "LogAppendTime", false, true}} {
		prod.topics["orders"].configs["message.timestamp.type"], dr.topics["orders"].configs["message.timestamp.type"] = c.a, c.b
		got, err := sameConfigs(t.Context(), old, copied)
		if (err != nil) != c.bad || got != c.timestamps {
			t.Errorf("%s and %s: timestamps %t, %v", c.a, c.b, got, err)
		}
	}
}

// TestCompareOfCompactedLogs: the same gaps on both sides are no difference, other ones are.
func TestCompareOfCompactedLogs(t *testing.T) {
	gaps := func(offsets ...int) (out []kafka.Record) {
		for _, o := range offsets {
			r := record(o)
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
		prod, dr, a, b := pair()
		a.batch(shape{}, ours...)
		b.batch(shape{}, c.copied...)
		old, copied := sides(t, prod, dr)
		err := compare(t.Context(), kafka.NewFingerprints(true, nil), old, copied, 0, 0, 10, 0, 1<<30)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	// A replicator that closes the gaps: the same records in the same order, but elsewhere.
	prod, dr, a, b := pair()
	a.batch(shape{}, ours...)
	b.add(record(0), record(1), record(5), record(9))
	old, copied := sides(t, prod, dr)
	err := compare(t.Context(), kafka.NewFingerprints(true, nil), old, copied, 0, 0, 10, 0, 1<<30)
	if err == nil || !strings.Contains(err.Error(), "the record at 5 on prod is not at 5 on dr") {
		t.Errorf("closed gaps: %v", err)
	}
	if d, _, err := findDelta(t.Context(), kafka.NewFingerprints(true, nil), old, copied, 0, 0, 10, 0, 4, 0); err == nil {
		t.Errorf("closed gaps: a distance of %d", d)
	}
	// A record that only the copy has, behind everything that is left at home.
	prod, dr, a, b = pair()
	a.batch(shape{}, gaps(0, 1, 9)...)
	a.batch(shape{control: true}, kafka.Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0}})
	b.batch(shape{}, gaps(0, 1, 9, 10)...)
	old, copied = sides(t, prod, dr)
	err = compare(t.Context(), kafka.NewFingerprints(true, nil), old, copied, 0, 0, 11, 0, 1<<30)
	if err == nil || !strings.Contains(err.Error(), "dr has records that prod does not have") {
		t.Errorf("a record too many: %v", err)
	}
	// Nothing at all.
	prod, dr, _, _ = pair()
	old, copied = sides(t, prod, dr)
	if err := compare(t.Context(), kafka.NewFingerprints(true, nil), old, copied, 0, 0, 0, 0, 1<<30); err != nil {
		t.Errorf("empty logs: %v", err)
	}
}

// marker appends the marker that ends a transaction.
func marker(l *fakeLog) {
	l.batch(shape{control: true}, kafka.Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0}})
}

// TestARefusalNamesItsCause: transactions and compaction make copies differ that no replicator has
// spoiled, and nothing else is taken for them.
func TestARefusalNamesItsCause(t *testing.T) {
	const markers, compacted, spoiled = "transactions have put", "compaction has removed", "records were duplicated, dropped, reordered or written there"
	transactions := func(l *fakeLog, from, to int) {
		for i := from; i < to; i += 3 {
			l.add(records(i, i+3)...)
			marker(l)
		}
	}
	sparse := func(l *fakeLog, from, to, every int) {
		var left []kafka.Record
		for i := from; i < to; i++ {
			if r := record(i); i%every != 0 {
				r.Offset = int64(i)
				left = append(left, r)
			}
		}
		l.batch(shape{}, left...)
	}
	for name, c := range map[string]struct {
		write func(ours, theirs *fakeLog)
		want  string
	}{
		"a replicator leaves markers out": {func(a, b *fakeLog) { transactions(a, 0, 300); b.add(records(0, 300)...) }, markers},
		"one at the end": {func(a, b *fakeLog) {
			a.add(records(0, 20)...)
			marker(a)
			a.add(records(20, 30)...)
			b.add(records(0, 30)...)
		}, markers},
		"only home is compacted": {func(a, b *fakeLog) { sparse(a, 0, 300, 3); b.add(records(0, 300)...) }, compacted},
		"only the copy is":       {func(a, b *fakeLog) { a.add(records(0, 300)...); sparse(b, 0, 300, 3) }, compacted},
		"dropped among transactions": {func(a, b *fakeLog) {
			transactions(a, 0, 300)
			transactions(b, 0, 270)
			b.add(records(271, 273)...)
			marker(b)
			transactions(b, 273, 300)
		}, spoiled},
		"dropped": {func(a, b *fakeLog) { a.add(records(0, 300)...); b.add(records(0, 270)...); b.add(records(271, 300)...) }, spoiled},
	} {
		prod, dr, a, b := pair()
		c.write(a, b)
		old, copied := sides(t, prod, dr)
		f := kafka.NewFingerprints(true, nil)
		_, _, err := findDelta(t.Context(), f, old, copied, 0, 0, a.end, 0, b.end, 0)
		if err == nil {
			err = compare(t.Context(), f, old, copied, 0, 0, min(a.end, b.end), 0, 1<<30)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestATailWithoutRecords: markers, or what compaction has removed, fill the last offsets of both.
func TestATailWithoutRecords(t *testing.T) {
	prod, dr, a, b := pair()
	b.skip(25)
	for _, l := range []*fakeLog{a, b} {
		l.add(records(0, 100)...)
		for range 2 * tail {
			marker(l)
		}
	}
	old, copied := sides(t, prod, dr)
	if d, _, err := findDelta(t.Context(), kafka.NewFingerprints(true, nil), old, copied, 0, 0, a.end, 25, b.end, 0); err != nil || d != 25 {
		t.Errorf("a distance of %d, %v", d, err)
	}
}

// TestCompareReadsInPieces: the last of several pieces counts as much as the first, the pieces cut
// through batches, and the limit says from where on too much was left.
func TestCompareReadsInPieces(t *testing.T) {
	const n = 11_000
	all := records(0, n)
	prod, dr, ours, _ := pair()
	for b := range slices.Chunk(all, 64) {
		ours.batch(shape{}, b...)
	}
	differs := func(at int) (old, copied *side) {
		l := dr.topic("orders", 1)[0]
		for b := range slices.Chunk(changed(all, at, func(r *kafka.Record) { r.Value = nil }), 99) {
			l.batch(shape{}, b...)
		}
		return sides(t, prod, dr)
	}
	old, copied := differs(10_500)
	f := kafka.NewFingerprints(true, nil)
	if err := compare(t.Context(), f, old, copied, 0, 0, 10_500, 0, 1<<30); err != nil {
		t.Error(err)
	}
	for _, at := range []int{4999, 5000, 10_500} {
		old, copied := differs(at)
		if err := compare(t.Context(), f, old, copied, 0, 0, n, 0, 1<<30); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("record at %d on prod", at)) {
			t.Errorf("a difference at %d: %v", at, err)
		}
	}
	_, piece, err := old.marks(t.Context(), f, 0, 0, 5000)
	if err != nil {
		t.Fatal(err)
	}
	for limit, from := range map[int64]int{10: 0, piece * 3 / 2: 5000} {
		err := compare(t.Context(), f, old, copied, 0, 0, 10_500, 0, limit)
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
		"the same":             {ours: records(0, 100), theirs: records(0, 100), guesses: []int64{0}, want: 0},
		"as known":             {ours: records(0, 100), theirs: records(0, 100), skipTheirs: 25, guesses: []int64{25, 0}, want: 25},
		"unknown":              {ours: records(0, 100), theirs: records(0, 100), skipTheirs: 25, guesses: []int64{0}, want: 25},
		"below":                {ours: records(0, 100), theirs: records(40, 100), guesses: []int64{0}, want: -40},
		"known wrongly":        {ours: records(0, 100), theirs: records(0, 100), skipTheirs: 25, guesses: []int64{7, 0}, want: 25},
		"behind":               {ours: records(0, 300), theirs: records(0, 200), skipTheirs: 25, guesses: []int64{0}, want: 25},
		"short":                {ours: records(0, 100), theirs: records(0, 3), skipTheirs: 4, guesses: []int64{0}, want: 4},
		"far behind":           {ours: records(0, 10_200), theirs: records(0, 100), skipTheirs: 25, guesses: []int64{0}, err: "the last 64 records on dr are not found"},
		"far, but known":       {ours: records(0, 10_200), theirs: records(0, 100), skipTheirs: 25, guesses: []int64{25}, want: 25},
		"began later":          {ours: records(0, 100), theirs: records(0, 100), skipOurs: 10, guesses: []int64{0}, want: -10},
		"no copy":              {ours: records(0, 100), err: "100 records on prod and none on dr", lag: true},
		"nothing":              {guesses: []int64{0}, want: 0},
		"nothing any more":     {skipOurs: 30, skipTheirs: 75, guesses: []int64{0}, want: 45},
		"retention took all":   {ours: nil, skipOurs: 30, theirs: records(0, 30), skipTheirs: 75, guesses: []int64{0}, want: 75},
		"retention took most":  {ours: records(95, 100), skipOurs: 95, theirs: records(0, 100), skipTheirs: 25, guesses: []int64{0}, want: 25},
		"and it is known":      {ours: records(95, 100), skipOurs: 95, theirs: records(0, 100), skipTheirs: 25, guesses: []int64{25}, want: 25},
		"and the copy is late": {ours: records(95, 100), skipOurs: 95, theirs: records(0, 98), skipTheirs: 25, guesses: []int64{0}, want: 25},
		"what is left differs": {ours: changed(records(95, 100), 3, func(r *kafka.Record) { r.Value = nil }), skipOurs: 95, theirs: records(0, 100), guesses: []int64{0}, err: "no exact copy"},
		"one in 64 differs":    {ours: records(0, 100), theirs: changed(records(0, 100), 40, func(r *kafka.Record) { r.Value = nil }), guesses: []int64{0}, err: "no exact copy"},
		"an older one":         {ours: records(0, 100), theirs: changed(records(0, 100), 20, func(r *kafka.Record) { r.Value = nil }), guesses: []int64{0}, want: 0},
		"dropped at the end":   {ours: records(0, 100), theirs: append(records(0, 98), record(99)), guesses: []int64{0}, err: "in this order and without gaps"},
		"somebody else's":      {ours: records(0, 100), theirs: append(records(0, 100), record(777)), guesses: []int64{0}, err: "no exact copy"},
		"not ours at all":      {theirs: records(0, 10), guesses: []int64{0}, err: "the last 10 records on dr are not found"},
	} {
		prod, dr, a, b := pair()
		a.skip(c.skipOurs)
		b.skip(c.skipTheirs)
		a.add(c.ours...)
		b.add(c.theirs...)
		old, copied := sides(t, prod, dr)
		d, _, err := findDelta(t.Context(), kafka.NewFingerprints(true, nil), old, copied, 0, a.start, a.end, b.start, b.end, c.guesses...)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) || errors.Is(err, errLag) != c.lag {
				t.Errorf("%s: got %d and %v, want %q", name, d, err, c.err)
			}
		case err != nil || d != c.want:
			t.Errorf("%s: got %d and %v, want %d", name, d, err, c.want)
		}
	}
}

// TestAKnownDistanceIsCheap: a guess that fits is verified on the tail alone.
func TestAKnownDistanceIsCheap(t *testing.T) {
	prod, dr, a, b := pair()
	b.skip(25)
	a.add(records(0, 5000)...)
	b.add(records(0, 5000)...)
	old, copied := sides(t, prod, dr)
	if _, _, err := findDelta(t.Context(), kafka.NewFingerprints(true, nil), old, copied, 0, 0, a.end, 25, b.end, 25, 0); err != nil {
		t.Fatal(err)
	}
	if n := prod.count(kmsg.Fetch); n > tail/15+2 {
		t.Errorf("%d fetches from prod for %d records", n, tail)
	}
}

func TestWhatIsLeftToCompare(t *testing.T) {
	for _, c := range []struct {
		all, same stretch
		want      string
	}{
		{stretch{10, 90}, stretch{}, "[10 90]"},
		{stretch{10, 90}, stretch{30, 90}, "[10 30] []"},
		{stretch{10, 90}, stretch{30, 80}, "[10 30] [80 90]"},
		{stretch{30, 90}, stretch{10, 90}, "[] []"},
		{stretch{30, 90}, stretch{10, 80}, "[] [80 90]"},
		{stretch{30, 90}, stretch{10, 100}, "[] []"},
	} {
		var got []string
		for _, s := range c.all.without(c.same) {
			if s.from < s.to {
				got = append(got, fmt.Sprint([]int64{s.from, s.to}))
			} else {
				got = append(got, "[]")
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%v without %v: %s, want %s", c.all, c.same, s, c.want)
		}
	}
}

// TestAMoveReadsTailsOnce: what its distance was found by is compared already.
func TestAMoveReadsTailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "orders")
		for _, f := range []*fake{w.prod, w.dr} {
			f.topic("orders", 1)[0].batch(shape{}, records(0, 100)...)
		}
		w.edit("dr", "orders")
		pass(time.Second)
		w.lives("orders", "dr", 1)
		if n := w.dr.count(kmsg.Fetch); n != 1 {
			t.Errorf("the copy was read %d times", n)
		}
		if n := w.prod.count(kmsg.Fetch); n != 3 { // for the distance, and twice for the producers of the last batches
			t.Errorf("the home was read %d times", n)
		}
	})
}
