package align

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawHome draws a log with gaps, of which some records are the same as others.
func drawHome(t *rapid.T) (out []Record) {
	at := int64(0)
	for i := range rapid.IntRange(1, 60).Draw(t, "records") {
		at += rapid.SampledFrom([]int64{1, 1, 1, 1, 2, 5}).Draw(t, "gap")
		print := uint64(1000 + i)
		if rapid.IntRange(0, 3).Draw(t, "same") == 0 {
			print = uint64(rapid.IntRange(1, 3).Draw(t, "of few"))
		}
		out = append(out, Record{Offset: at, Print: print, Key: uint64(rapid.IntRange(0, 5).Draw(t, "key"))})
	}
	return out
}

// replicator copies a log, and crashes: what it has copied since some record comes again.
func replicator(t *rapid.T, home []Record) (out []Record) {
	at := rapid.Int64Range(0, 50).Draw(t, "begin")
	for i := 0; i < len(home); i++ {
		at += rapid.SampledFrom([]int64{1, 1, 1, 1, 3}).Draw(t, "marker")
		r := home[i]
		r.Offset = at
		out = append(out, r)
		if rapid.IntRange(0, 9).Draw(t, "crash") == 0 {
			i = max(-1, i-rapid.IntRange(0, 8).Draw(t, "back"))
		}
	}
	return out
}

// give gives an aligner both logs in pieces of random sizes, and lets it go on in between.
func give(t *rapid.T, a *Aligner, home, copied []Record) {
	for len(home) > 0 || len(copied) > 0 {
		n := rapid.IntRange(0, len(home)).Draw(t, "of home")
		m := rapid.IntRange(0, len(copied)).Draw(t, "of copy")
		if n+m == 0 {
			n, m = len(home), len(copied)
		}
		a.Home(home[:n]...)
		a.Copy(copied[:m]...)
		a.Go(false)
		home, copied = home[n:], copied[m:]
	}
	a.Go(true)
}

// pairs are the records that runs put together, by offset of the home.
func pairs(runs []Run, home, copied []Record) map[int64]Record {
	out := map[int64]Record{}
	for _, h := range home {
		for _, r := range runs {
			if h.Offset < r.Home || h.Offset >= r.Home+r.Offsets {
				continue
			}
			for _, c := range copied {
				if c.Offset == h.Offset-r.Home+r.Copy {
					out[h.Offset] = c
				}
			}
		}
	}
	return out
}

// exact checks that all records of the home have their place in the copy, and in their order.
func exact(t *rapid.T, a *Aligner, home, copied []Record) {
	if faults, _ := a.Faults(true); len(faults) > 0 {
		t.Fatalf("faults %v of %v and %v", faults, home, copied)
	}
	for i, r := range a.runs[1:] {
		if last := a.runs[i]; r.Home < last.Home+last.Offsets || r.Copy < last.Copy+last.Offsets {
			t.Fatalf("run %v behind %v", r, last)
		}
	}
	found := pairs(a.runs, home, copied)
	for _, h := range home {
		if c, ok := found[h.Offset]; !ok || c.Print != h.Print {
			t.Fatalf("%v is %v (%t) of %v in %v", h, c, ok, copied, a.runs)
		}
	}
	shown := map[int64]bool{}
	for _, c := range found {
		shown[c.Offset] = true
	}
	for _, c := range copied {
		for _, r := range a.runs {
			if in := c.Offset >= r.Copy && c.Offset < r.Copy+r.Offsets; in && !shown[c.Offset] {
				t.Fatalf("%v is shown, and no record of the home: %v", c, a.runs)
			}
		}
	}
}

func TestACopyOfAReplicatorThatRepeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		home := drawHome(t)
		copied := replicator(t, home)
		a := New()
		give(t, a, home, copied)
		exact(t, a, home, copied)
	})
}

// unlike draws a log of which no two records are the same: so a fault can't be hidden by chance.
func unlike(t *rapid.T) []Record {
	home := drawHome(t)
	for i := range home {
		home[i].Print = uint64(1000 + i)
	}
	return home
}

// TestACopyThatLacksARecord is never taken for an exact one, unless it may still come.
func TestACopyThatLacksARecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		home := unlike(t)
		gone := rapid.IntRange(0, len(home)-1).Draw(t, "gone")
		copied := replicator(t, slices.Delete(slices.Clone(home), gone, gone+1))
		a := New()
		give(t, a, home, copied)
		faults, _ := a.Faults(true)
		_, _, late, _ := a.Done()
		if gone == len(home)-1 {
			if len(faults) > 0 || late != 1 {
				t.Fatalf("faults %v, %d late", faults, late)
			}
			return
		}
		if want := (Fault{Missing, home[gone].Offset, home[gone].Offset + 1}); !slices.Contains(faults, want) {
			t.Fatalf("faults %v, want %v", faults, want)
		}
		if got := a.Clean(true); got != home[gone].Offset+1 {
			t.Fatalf("nothing is wrong from %d on, want behind %d", got, home[gone].Offset)
		}
	})
}

func TestACopyInAnotherOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		home := unlike(t)
		if len(home) < 2 {
			return
		}
		i := rapid.IntRange(0, len(home)-2).Draw(t, "first of two")
		swapped := slices.Clone(home)
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
		for j := range swapped {
			swapped[j].Offset = int64(j)
		}
		a := New()
		give(t, a, home, swapped)
		if faults, _ := a.Faults(true); len(faults) == 0 {
			t.Fatal("taken for an exact copy")
		}
	})
}

func TestACopyWithARecordOfItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		home := unlike(t)
		copied := replicator(t, home)
		for i := range copied {
			copied[i].Offset *= 2
		}
		own := Record{Offset: 2*rapid.SampledFrom(copied).Draw(t, "in front of").Offset - 1, Print: 7}
		own.Offset = own.Offset/2 | 1
		copied = append(copied, own)
		slices.SortStableFunc(copied, func(a, b Record) int { return cmp.Compare(a.Offset, b.Offset) })
		a := New()
		give(t, a, home, copied)
		faults, _ := a.Faults(true)
		if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Kind == Foreign && f.Offset == own.Offset }) {
			t.Fatalf("faults %v, want the one at %d", faults, own.Offset)
		}
	})
}

// compacted is a log without records whose key has a later one.
func compacted(t *rapid.T, log []Record) (out []Record) {
	for i, r := range log {
		later := slices.ContainsFunc(log[i+1:], func(l Record) bool { return l.Key == r.Key })
		if r.Key == 0 || !later || rapid.Bool().Draw(t, "kept") {
			out = append(out, r)
		}
	}
	return out
}

// TestWhatCompactionTookIsNoFault, on either side; the same without compaction is one.
func TestWhatCompactionTookIsNoFault(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := unlike(t)
		home := compacted(t, whole)
		var copied []Record
		for i, r := range whole {
			r.Offset = int64(i)
			copied = append(copied, r)
		}
		copied = compacted(t, copied)
		a := New()
		a.HomeCompacts, a.CopyCompacts = true, true
		give(t, a, home, copied)
		if faults, _ := a.Faults(true); len(faults) > 0 {
			t.Fatalf("faults %v of %v and %v", faults, home, copied)
		}
		for h, c := range pairs(a.runs, home, copied) {
			if i := slices.IndexFunc(home, func(r Record) bool { return r.Offset == h }); home[i].Print != c.Print {
				t.Fatalf("%v is %v", home[i], c)
			}
		}
	})
}

// TestOneRunWithoutDrift, whatever the gaps in both logs.
func TestOneRunWithoutDrift(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		home := drawHome(t)
		copied := slices.Clone(home)
		for i := range copied {
			copied[i].Offset += 25
		}
		a := New()
		give(t, a, home, copied)
		want := []Run{{home[0].Offset, home[0].Offset + 25, home[len(home)-1].Offset - home[0].Offset + 1}}
		if !slices.Equal(a.Runs(), want) {
			t.Fatalf("runs %v, want %v", a.Runs(), want)
		}
	})
}

// TestARepeatFromLongAgo is known by what the aligner is told of the home's earlier records.
func TestARepeatFromLongAgo(t *testing.T) {
	a := New()
	a.Home(Record{Offset: 10, Print: 10}, Record{Offset: 11, Print: 11})
	a.Copy(Record{Offset: 5, Print: 10}, Record{Offset: 6, Print: 3}, Record{Offset: 7, Print: 11})
	a.Go(false)
	if !a.Stuck() {
		t.Fatal("nobody has seen the record at 6")
	}
	a.Remember(Record{Offset: 3, Print: 3})
	a.Go(false)
	if faults, _ := a.Faults(true); len(faults) > 0 {
		t.Errorf("faults %v", faults)
	}
	if want := []Run{{10, 5, 1}, {11, 7, 1}}; !slices.Equal(a.Runs(), want) {
		t.Errorf("runs %v, want %v", a.Runs(), want)
	}
}

// TestARepeatThatTheHomeHasFurtherOn says the same as a later record, which does not make those in
// between missing: it may repeat an earlier one.
func TestARepeatThatTheHomeHasFurtherOn(t *testing.T) {
	for _, lead := range []bool{false, true} {
		a := New()
		a.Resumed, a.Lead = true, lead
		a.Home(Record{Offset: 10, Print: 10}, Record{Offset: 11, Print: 11}, Record{Offset: 12, Print: 3})
		a.Copy(Record{Offset: 5, Print: 3}, Record{Offset: 6, Print: 10}, Record{Offset: 7, Print: 11}, Record{Offset: 8, Print: 3})
		a.Go(false)
		if !a.Wants() {
			t.Fatal("whether the record at 5 is a repeat depends on what came earlier")
		}
		a.Remember(Record{Offset: 3, Print: 3})
		a.Go(false)
		if faults, _ := a.Faults(true); len(faults) > 0 {
			t.Errorf("faults %v", faults)
		}
		if want := []Run{{10, 6, 3}}; !slices.Equal(a.Runs(), want) {
			t.Errorf("runs %v, want %v", a.Runs(), want)
		}
	}
}

// TestRepeatsAtTheEnd are told from what somebody else has written, if the home has no more.
func TestRepeatsAtTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		home, copied []uint64
		some         bool
		waiting      int
	}{
		"nothing waits":                 {[]uint64{1, 2, 3}, []uint64{1, 2}, false, 0},
		"repeats":                       {[]uint64{1, 2, 3}, []uint64{1, 2, 3, 2, 3}, true, 0},
		"another one behind":            {[]uint64{1, 2, 3}, []uint64{1, 2, 3, 2, 9}, true, 1},
		"another one":                   {[]uint64{1, 2, 3}, []uint64{1, 2, 3, 9}, false, 1},
		"a repeat, or what comes later": {[]uint64{1, 2, 1}, []uint64{1, 1}, false, 1},
	} {
		a := New()
		a.Remember()
		for i, print := range c.home {
			a.Home(Record{Offset: int64(i), Print: print})
		}
		for i, print := range c.copied {
			a.Copy(Record{Offset: int64(i), Print: print})
		}
		a.Go(false)
		if some := a.Repeats(); some != c.some {
			t.Errorf("%s: there are some: %t", name, some)
		}
		if _, _, _, waiting := a.Done(); waiting != c.waiting {
			t.Errorf("%s: %d wait, want %d", name, waiting, c.waiting)
		}
	}
}

// TestAnAlignerGoesOnWhereAnotherHasEnded: with what that one has left open, and with what the home
// has in front, it finds what one alone would have found.
func TestAnAlignerGoesOnWhereAnotherHasEnded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		home, compacts := drawHome(t), rapid.Bool().Draw(t, "compacts")
		if compacts {
			home = unlike(t)
		}
		copied := replicator(t, home)
		if compacts {
			copied = compacted(t, copied)
		}
		one := New()
		one.CopyCompacts = compacts
		give(t, one, home, copied)
		want, _ := one.Faults(true)

		first := New()
		first.CopyCompacts = compacts
		first.Home(home[:rapid.IntRange(0, len(home)).Draw(t, "of home")]...)
		first.Copy(copied[:rapid.IntRange(0, len(copied)).Draw(t, "of copy")]...)
		first.Go(false)
		h, c, _, _ := first.Done()
		behind := func(offset int64) func(Record) bool { return func(r Record) bool { return r.Offset > offset } }
		n, m := slices.IndexFunc(home, behind(h)), slices.IndexFunc(copied, behind(c))
		if n < 0 {
			n = len(home)
		}
		if m < 0 {
			m = len(copied)
		}
		next := New()
		next.CopyCompacts, next.Resumed = compacts, true
		next.Owe(first.Owed())
		next.Home(home[n:]...)
		next.Copy(copied[m:]...)
		for next.Go(true); next.Wants(); next.Go(true) {
			next.Remember(home[:n]...)
		}
		one.runs = append(slices.Clone(first.runs), next.runs...)
		got, _ := next.Faults(true)
		if before, _ := first.Faults(false); len(got)+len(before) != len(want) {
			t.Fatalf("faults %v and %v, want %v", before, got, want)
		}
		if len(want) == 0 && !compacts {
			exact(t, one, home, copied)
		}
	})
}

// TestWhatACopyHadBefore is not judged; what comes between records of the home is.
func TestWhatACopyHadBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		home := unlike(t)
		var copied []Record
		for i := range rapid.IntRange(0, 20).Draw(t, "before") {
			copied = append(copied, Record{Offset: int64(i), Print: uint64(i + 1)})
		}
		for _, r := range replicator(t, home) {
			r.Offset += 100
			copied = append(copied, r)
		}
		a := New()
		a.Lead = true
		give(t, a, home, copied)
		exact(t, a, home, copied)
	})
}

func BenchmarkAlign(b *testing.B) {
	var home, copied []Record
	for i := range int64(100_000) {
		r := Record{Offset: i, Print: uint64(i) * 0x9e3779b97f4a7c15}
		home = append(home, r)
		r.Offset += 7
		copied = append(copied, r)
	}
	for b.Loop() {
		a := New()
		for i := 0; i < len(home); i += 1000 {
			a.Home(home[i : i+1000]...)
			a.Copy(copied[i : i+1000]...)
			a.Go(false)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(home)), "ns/record")
}
