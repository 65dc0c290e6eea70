package catalog

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// fail gives a partition up for a copy that has its log up to cut, and is written to n times.
func fail(p Partition, cut, n int64) (next Partition, end int64) {
	at := p.ToPhysical(cut)
	start := max(p.Ceiling, cut) + CeilingBlock
	p.Ceiling = start + n
	next = p.Advance(Segment{Generation: p.Current().Generation + 1, Start: start, PhysicalStart: at, Cluster: "x"}, p.Distance.Shift(0), cut, 0)
	return next, start + n
}

// TestAnUnwrittenLogEndsInFrontOfItsHole, however often it has moved since the last record.
func TestAnUnwrittenLogEndsInFrontOfItsHole(t *testing.T) {
	tp := Topic{Home: "a"}
	tp.Grow(1)
	first, _ := fail(tp.Partitions[0], 100, 0)
	second, _ := fail(first, first.Current().Start, 0)
	behind, _ := fail(first, 90, 0) // its copy has not even what the first one had
	planned := first.Advance(Segment{Generation: 2, Start: first.Current().Start, PhysicalStart: 100, Cluster: "y"}, first.Distance.Shift(0), first.Current().Start, 0)
	written, _ := fail(first, first.Current().Start+10, 0)
	deleted := first
	deleted.LogStart = 120
	for name, c := range map[string]struct {
		p    Partition
		want int64
	}{
		"never moved":                        {tp.Partitions[0], 0},
		"moved without its home":             {first, 100},
		"twice":                              {second, 100},
		"twice, to a copy that is behind":    {behind, 90},
		"and planned":                        {planned, 100},
		"and again, with records in between": {written, first.Current().Start + 10},
		"deleted beyond the copy":            {deleted, 120},
	} {
		t.Run(name, func(t *testing.T) {
			at := c.p.Current().PhysicalStart
			if got, want := c.p.ToVirtualMarks(Watermarks{High: at, Stable: at, Start: at}, false), (Watermarks{c.want, c.want, c.want}); got != want {
				t.Errorf("empty: %+v, want %+v", got, want)
			}
			begin := c.p.Current().Start
			if got, want := c.p.ToVirtualMarks(Watermarks{High: at + 3, Stable: at, Start: -1}, false), (Watermarks{begin + 3, begin, -1}); got != want {
				t.Errorf("with records: %+v, want %+v", got, want)
			}
			if got, want := c.p.ToVirtualMarks(Watermarks{High: -1, Stable: -1, Start: at}, true), (Watermarks{-1, -1, begin}); got != want {
				t.Errorf("known to have records: %+v, want %+v", got, want)
			}
		})
	}
}

// TestASettledPositionReadsTheSame: from there on the same records are read as from where it was
// committed, and none is in front of it that is not in front of that.
func TestASettledPositionReadsTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		tp := Topic{Home: "a"}
		tp.Grow(1)
		p, end := tp.Partitions[0], r.Int64N(100)
		for range 1 + r.IntN(4) {
			if r.IntN(3) == 0 {
				p = p.Advance(Segment{Generation: p.Current().Generation + 1, Start: end, PhysicalStart: p.ToPhysical(end), Cluster: "x"}, p.Distance.Shift(0), end, 0)
				end += r.Int64N(2) * r.Int64N(50)
				p.Ceiling = end
			} else {
				p, end = fail(p, p.ToVirtual(max(p.ToPhysical(end)-r.Int64N(80), 0)), r.Int64N(2)*r.Int64N(50))
			}
		}
		tp.Partitions[0], tp.marks = p, &Marks{}
		for range 50 {
			i := r.IntN(len(p.Segments))
			v := max(p.Segments[i].Start-5+r.Int64N(60), 0)
			got := tp.Settle(0, v)
			if v >= p.Current().Start && got != v && p.Tail() == p.Current().Start {
				t.Fatalf("%d is settled at %d: %+v", v, got, p)
			}
			if p.ToPhysical(got) != p.ToPhysical(v) {
				t.Fatalf("%d, physical %d, is settled at %d, physical %d: %+v", v, p.ToPhysical(v), got, p.ToPhysical(got), p)
			}
		}
	}
}

// TestHolesBefore counts the offsets that never had a record, so that what is left grows by one
// with each: also across the hole.
func TestHolesBefore(t *testing.T) {
	tp := Topic{Home: "a"}
	tp.Grow(1)
	p, _ := fail(tp.Partitions[0], 100, 10)
	p, _ = fail(p, p.Current().Start+10, 3)
	first, second := p.Segments[1].Start, p.Segments[2].Start
	for at, want := range map[int64]int64{0: 0, 100: 100, first: 100, first + 1: 101, first + 10: 110, second: 110, second + 3: 113} {
		if got := at - p.HolesBefore(at); got != want {
			t.Errorf("before %d there are %d records, want %d", at, got, want)
		}
	}
	if got := p.HolesBefore(-1); got != 0 {
		t.Errorf("before an end that is not known there are %d", got)
	}
	if got := p.Holes(); got != second-110 {
		t.Errorf("%d offsets in holes", got)
	}
}

// TestRecorded leaves out holes, and what a later home has nothing of.
func TestRecorded(t *testing.T) {
	tp := Topic{Home: "a"}
	tp.Grow(1)
	p, end := fail(tp.Partitions[0], 100, 10)
	first := p.Current().Start
	behind, last := fail(p, 90, 5) // a copy that has nothing of what came after the first move
	for name, c := range map[string]struct {
		p        Partition
		from, to int64
		want     []Offsets
	}{
		"over a hole":       {p, 95, end, []Offsets{{95, 100}, {first, end}}},
		"in front of it":    {p, 10, 20, []Offsets{{10, 20}}},
		"in it":             {p, 100, first, nil},
		"nothing":           {p, 20, 20, nil},
		"backwards":         {p, 20, 10, nil},
		"over lost records": {behind, 0, last, []Offsets{{0, 90}, {behind.Current().Start, last}}},
	} {
		if got := c.p.Recorded(c.from, c.to); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
