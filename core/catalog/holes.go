package catalog

import (
	"iter"
	"slices"
)

// Holes is the number of virtual offsets without records that unplanned moves have left between
// segments.
func (p *Partition) Holes() int64 { return p.HolesBefore(p.Current().Start) }

// HolesBefore is how many of them are below a virtual offset; none below -1, which is unknown.
func (p *Partition) HolesBefore(v int64) int64 { return max(v, 0) - p.Records(0, v) }

// Records is how many virtual offsets of a range are in no hole.
func (p *Partition) Records(from, to int64) (n int64) {
	for r := range p.recorded(from, to) {
		n += r.To - r.From
	}
	return n
}

// Offsets are virtual ones from one to another, which is not among them.
type Offsets struct{ From, To int64 }

// Recorded are the parts of a range that are in no hole.
func (p *Partition) Recorded(from, to int64) []Offsets {
	out := slices.Collect(p.recorded(from, to))
	slices.Reverse(out)
	return out
}

// recorded visits them, the last one first.
func (p *Partition) recorded(from, to int64) iter.Seq[Offsets] {
	return func(yield func(Offsets) bool) {
		end := to
		for i := len(p.Segments) - 1; i >= 0 && from < end; i-- {
			if r := (Offsets{max(p.Segments[i].Start, from), min(end, to)}); r.From < r.To && !yield(r) {
				return
			}
			if i > 0 {
				end = min(end, p.Segments[i-1].End)
			}
		}
	}
}

// Tail is the virtual offset behind the last record while nothing is written to the current
// segment: in front of the hole that an unplanned move has left, if there is one.
func (p *Partition) Tail() int64 {
	end := p.Current().Start
	for i := len(p.Segments) - 2; i >= 0; i-- {
		s := &p.Segments[i]
		end = min(end, s.End)
		if s.End > s.Start {
			break // it has records
		}
	}
	return max(end, p.LogStart)
}

// ToVirtualMarks maps what the home says of the ends of its log, of which -1 is unknown and stays
// so. Nobody writes into a hole, so until the first record behind it the log ends in front of it:
// who has read everything there lags by nothing. written says that there is such a record, which an
// answer without the high watermark can't tell.
func (p *Partition) ToVirtualMarks(w Watermarks, written bool) Watermarks {
	s := p.Current()
	empty := !written && w.High <= s.PhysicalStart
	to := func(at int64) int64 {
		switch {
		case at < 0:
			return at
		case empty && at == s.PhysicalStart:
			return p.Tail()
		}
		return p.ToVirtual(at)
	}
	return Watermarks{High: to(w.High), Stable: to(w.Stable), Start: to(w.Start)}
}

// Written reports a partition of which a record is known, in this run of the process, that was
// written to the current segment.
func (t *Topic) Written(partition int32) bool {
	s := t.Partition(partition).Current()
	if s.Generation == 0 || t.marks == nil {
		return false
	}
	m := t.marks.at(partition, t.Partitions)
	return max(m.high.Load(), m.seen.Load(), m.end.Load()) > s.Start
}

// InHole reports a position that has read all that is in front of a hole behind which no record is
// known: where it stands depends on whether there is one. See Settle.
func (t *Topic) InHole(partition int32, v int64) bool {
	p := t.Partition(partition)
	return p.pastHoles(v) == p.Current().Start && p.Tail() < p.Current().Start && !t.Written(partition)
}

// Settle moves a committed position that stands in a hole to where the hole ends, or, while no
// record is known behind it, to where the log is shown to end: from there on the same records are
// read, and its lag counts records. Other positions stay.
func (t *Topic) Settle(partition int32, v int64) int64 {
	if t.InHole(partition, v) {
		return max(t.Partition(partition).Tail(), t.High(partition))
	}
	return t.Partition(partition).pastHoles(v)
}

// pastHoles moves an offset that stands in holes to the end of the last of them.
func (p *Partition) pastHoles(v int64) int64 {
	for i := 1; i < len(p.Segments); i++ {
		if v >= p.Segments[i-1].End && v < p.Segments[i].Start {
			v = p.Segments[i].Start
		}
	}
	return v
}
