package catalog

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// logs are two logs with the same records, as a list says: for each record of either, its offset in
// both, of which -1 is none.
type logs struct {
	records     [][2]int64
	virtual, at int64 // where both logs end
}

// drawRuns draws runs with holes and skips between them, and what the logs are that they are of.
func drawRuns(t *rapid.T) (runs []Run, l logs) {
	for range rapid.IntRange(1, 8).Draw(t, "runs") {
		for range rapid.IntRange(0, 4).Draw(t, "hole") {
			l.records = append(l.records, [2]int64{l.virtual, -1})
			l.virtual++
		}
		for range rapid.IntRange(0, 4).Draw(t, "skip") {
			l.records = append(l.records, [2]int64{-1, l.at})
			l.at++
		}
		n := rapid.Int64Range(1, 5).Draw(t, "records")
		runs = append(runs, Run{l.virtual, l.at, n})
		for range n {
			l.records = append(l.records, [2]int64{l.virtual, l.at})
			l.virtual, l.at = l.virtual+1, l.at+1
		}
	}
	return runs, l
}

// drawn is a distance and the logs that it is of.
func drawn(t *rapid.T) (Distance, logs) {
	runs, l := drawRuns(t)
	d, err := DistanceOf(runs...)
	if err != nil {
		t.Fatal(err)
	}
	return d, l
}

// next is the offset in log b of the first record, at an offset of log a or behind it, that both
// have; where the logs end, it is where b does.
func (l logs) next(a, b int, offset int64) int64 {
	for _, r := range l.records {
		if r[a] >= offset && r[b] >= 0 {
			return r[b]
		}
	}
	return []int64{l.virtual, l.at}[b]
}

func TestADistanceMapsAsAListOfRecordsWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, l := drawn(t)
		for v := range l.virtual {
			if got, want := d.ToPhysical(v), l.next(0, 1, v); got != want {
				t.Fatalf("virtual %d is physical %d, want %d", v, got, want)
			}
		}
		for at := range l.at {
			if got, want := d.ToVirtual(at), l.next(1, 0, at); got != want {
				t.Fatalf("physical %d is virtual %d, want %d", at, got, want)
			}
		}
		for _, r := range l.records {
			if got, want := d.Has(r[0]), r[1] >= 0; r[0] >= 0 && got != want {
				t.Fatalf("virtual %d is there: %t, want %t", r[0], got, want)
			}
			if got, want := d.Skips(r[1]), r[0] < 0; r[1] >= 0 && got != want {
				t.Fatalf("physical %d is skipped: %t, want %t", r[1], got, want)
			}
		}
	})
}

// TestPartsOfRuns are what a list of records has of a range, in either log.
func TestPartsOfRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, l := drawn(t)
		for log, parts := range []func(from, to int64) []Run{d.HasVirtual, d.HasPhysical} {
			end := []int64{l.virtual, l.at}[log]
			from := rapid.Int64Range(-1, end).Draw(t, "from")
			to := rapid.Int64Range(from-1, end-1).Draw(t, "to")
			var got, want [][2]int64
			for _, r := range parts(from, to) {
				for i := range r.Records {
					got = append(got, [2]int64{r.Virtual + i, r.Physical + i})
				}
			}
			for _, r := range l.records {
				if r[0] >= 0 && r[1] >= 0 && r[log] >= from && r[log] <= to {
					want = append(want, r)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("of %d to %d in log %d: %v, want %v", from, to, log, got, want)
			}
		}
	})
}

// TestAnOpenRunGoesOn: what is written behind the last record has a place in both logs.
func TestAnOpenRunGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, l := drawn(t)
		ahead := rapid.Int64Range(0, 1<<60).Draw(t, "ahead")
		if got, want := d.ToPhysical(l.virtual+ahead), l.at+ahead; got != want {
			t.Fatalf("virtual %d is physical %d, want %d", l.virtual+ahead, got, want)
		}
		if got, want := d.ToVirtual(l.at+ahead), l.virtual+ahead; got != want {
			t.Fatalf("physical %d is virtual %d, want %d", l.at+ahead, got, want)
		}
	})
}

func TestWithinIsNothingBetweenOffsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, l := drawn(t)
		from := rapid.Int64Range(0, l.at-1).Draw(t, "from")
		to := rapid.Int64Range(from, l.at-1).Draw(t, "to")
		want := true
		for at := from; at <= to; at++ {
			if d.Skips(at) || d.ToVirtual(at)-at != d.ToVirtual(from)-from {
				want = false
			}
		}
		if got := d.Within(from, to); got != want {
			t.Fatalf("%d to %d are in one run: %t, want %t", from, to, got, want)
		}
	})
}

// TestThenKeepsWhatIsInFront, and leads on from where it is told.
func TestThenKeepsWhatIsInFront(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, l := drawn(t)
		v := rapid.Int64Range(0, l.virtual+5).Draw(t, "virtual")
		at := rapid.Int64Range(0, l.at+5).Draw(t, "physical")
		next := d.Then(v, at)
		if got := next.ToPhysical(v); got != at {
			t.Fatalf("virtual %d is physical %d, want %d", v, got, at)
		}
		if got := next.ToVirtual(at); got != v {
			t.Fatalf("physical %d is virtual %d, want %d", at, got, v)
		}
		for _, r := range l.records {
			both, inFront := r[0] >= 0 && r[1] >= 0, r[0] < v && r[1] < at
			if got := next.ToPhysical(r[0]); both && inFront && got != r[1] {
				t.Fatalf("virtual %d, in front, is physical %d, want %d", r[0], got, r[1])
			}
		}
	})
}

// TestAboveForgetsOnlyWhatIsDeleted in both logs.
func TestAboveForgetsOnlyWhatIsDeleted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, l := drawn(t)
		v := rapid.Int64Range(0, l.virtual).Draw(t, "virtual")
		at := rapid.Int64Range(0, l.at).Draw(t, "physical")
		kept := d.Above(v, at)
		for w := v; w < l.virtual; w++ {
			if got, want := kept.ToPhysical(w), d.ToPhysical(w); got != want {
				t.Fatalf("virtual %d is physical %d, want %d", w, got, want)
			}
		}
		for b := at; b < l.at; b++ {
			if got, want := kept.ToVirtual(b), d.ToVirtual(b); got != want {
				t.Fatalf("physical %d is virtual %d, want %d", b, got, want)
			}
		}
	})
}

// TestOnwardIsOneAfterTheOther, for the records that all three logs have.
func TestOnwardIsOneAfterTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, l := drawn(t)
		next, m := drawn(t)
		both := d.Onward(next)
		for _, r := range l.records {
			for _, n := range m.records {
				all := r[0] >= 0 && r[1] >= 0 && n[1] >= 0
				if all && r[1] == n[0] && both.ToPhysical(r[0]) != n[1] {
					t.Fatalf("%d is %d is %d, got %d", r[0], r[1], n[1], both.ToPhysical(r[0]))
				}
			}
		}
		for at := range m.at {
			want := next.Skips(at) || d.Skips(next.ToVirtual(at))
			if got := both.Skips(at); got != want {
				t.Fatalf("%d is skipped: %t, want %t", at, got, want)
			}
		}
	})
}

// TestUntilIsOneInFrontOfTheOther: a distance cut in two is itself again.
func TestUntilIsOneInFrontOfTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, l := drawn(t)
		v := rapid.Int64Range(0, l.virtual).Draw(t, "virtual")
		if got, err := d.Until(v, d); err != nil || !got.Equal(d) {
			t.Fatalf("got %v (%v), want %v", slices.Collect(got.Runs()), err, slices.Collect(d.Runs()))
		}
		// What is said of offsets in front of the place does not count.
		behind, err := d.Until(v, d.Above(v, d.ToPhysical(v)))
		if err != nil || !behind.Equal(d) {
			t.Fatalf("got %v (%v), want %v", slices.Collect(behind.Runs()), err, slices.Collect(d.Runs()))
		}
	})
}

func TestBackBeginsAsEarlyAsItCan(t *testing.T) {
	d, err := DistanceOf(Run{10, 7, 5}, Run{20, 12, Open})
	if err != nil {
		t.Fatal(err)
	}
	want := []Run{{3, 0, 12}, {20, 12, Open}}
	if got := slices.Collect(d.Back().Runs()); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestADistanceIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, _ := drawn(t)
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var got Distance
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if !got.Equal(d) {
			t.Fatalf("%s is %v, want %v", b, slices.Collect(got.Runs()), slices.Collect(d.Runs()))
		}
	})
}

func FuzzDistance(f *testing.F) {
	f.Add(`""`)
	f.Add(`"AAAA"`)
	f.Add(`"BQMKAAEA"`)
	f.Fuzz(func(t *testing.T, text string) {
		var d Distance
		if json.Unmarshal([]byte(text), &d) != nil {
			return
		}
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var again Distance
		if err := json.Unmarshal(b, &again); err != nil || !again.Equal(d) {
			t.Fatalf("%s is %s, which is %v: %v", text, b, again, err)
		}
	})
}

func TestRunsThatAreNotOfTwoLogs(t *testing.T) {
	for name, runs := range map[string][]Run{
		"none":                  nil,
		"an empty one":          {{0, 0, 0}, {5, 5, 1}},
		"a negative offset":     {{-1, 0, 1}},
		"virtual ones overlap":  {{0, 0, 5}, {4, 9, 1}},
		"physical ones overlap": {{0, 0, 5}, {9, 4, 1}},
		"an open one in front":  {{0, 0, Open}, {9, 9, 1}},
	} {
		if d, err := DistanceOf(runs...); err == nil {
			t.Errorf("%s: %v", name, slices.Collect(d.Runs()))
		}
	}
}

// TestLogsAtOffsets: a distance is known by one record that both logs have.
func TestLogsAtOffsets(t *testing.T) {
	for _, c := range []struct{ virtual, physical, v, at int64 }{
		{5, 3, 2, 0}, {3, 5, 0, 2}, {0, 0, 0, 0}, {7, -3, 10, 0}, {-3, 7, 0, 10},
	} {
		r := At(c.virtual, c.physical).Last()
		if r.Virtual != c.v || r.Physical != c.at {
			t.Errorf("logs with the same record at %d and %d begin at %d and %d, want %d and %d", c.virtual, c.physical, r.Virtual, r.Physical, c.v, c.at)
		}
	}
}

// BenchmarkDistance is what an offset costs to translate, by the number of runs.
func BenchmarkDistance(b *testing.B) {
	for name, runs := range map[string]int{"1": 1, "1000": 1000, "100000": 100000} {
		var list []Run
		for i := range int64(runs) {
			list = append(list, Run{100 * i, 101*i + 1, 100})
		}
		d, err := DistanceOf(list...)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			at := int64(0)
			for b.Loop() {
				at += d.ToVirtual(at)&7 + 1
			}
		})
	}
}

// TestGaps: a hole is an offset that the cluster has no record of, a skip one of its own that is
// not shown.
func TestGaps(t *testing.T) {
	d, err := DistanceOf(Run{0, 5, 10}, Run{12, 15, 3}, Run{15, 20, 1})
	if err != nil {
		t.Fatal(err)
	}
	if holes, skips := d.Gaps(); holes != 2 || skips != 2 {
		t.Errorf("%d holes and %d skips, want 2 of each", holes, skips)
	}
	if holes, skips := (Distance{}).Gaps(); holes != 0 || skips != 0 {
		t.Errorf("of none: %d holes and %d skips", holes, skips)
	}
}
