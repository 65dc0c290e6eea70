package failover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/core/kafka"
)

const (
	// tail is how many records at the end must match.
	tail = 64
	// searchBack is how far back an unknown delta is searched.
	searchBack = 10_000
)

var (
	// errLag says that the copy has not caught up yet.
	errLag = errors.New("the copy lags")
	// errLimit says that comparing the copy would take too long.
	errLimit = errors.New("failover.compare_limit")
)

// findDelta finds the constant distance of a partition's copy: the offset on the new side minus the
// offset on the old side of the same record, verified on the last records that the copy has. If a
// guess was right, those have the old offsets in same. Where retention has left none on the old
// side, there is nothing to compare and the ends decide.
func findDelta(ctx context.Context, f *kafka.Fingerprints, old, copied *side, partition int32, oldStart, oldEnd, newStart, newEnd int64, guesses ...int64) (delta int64, same stretch, err error) {
	if oldStart == oldEnd && (oldEnd > 0 || newStart == newEnd) {
		return newEnd - oldEnd, same, nil
	}
	theirs, err := copied.last(ctx, f, partition, newStart, newEnd)
	if err != nil {
		return 0, same, err
	}
	if len(theirs) == 0 {
		ours, _ := old.contents(ctx, f.Within, partition, stretch{max(oldStart, oldEnd-searchBack), oldEnd})
		if ours.markers == oldEnd-oldStart {
			return 0, same, fmt.Errorf("%w: partition %d has nothing but %d markers of transactions on %s, which the replicator has left out: %s", errLag, partition, ours.markers, old.cluster.Name(), offsetByOffset)
		}
		return 0, same, fmt.Errorf("%w: partition %d has %d records on %s and none on %s", errLag, partition, oldEnd-oldStart-ours.markers, old.cluster.Name(), copied.cluster.Name())
	}
	last := theirs[len(theirs)-1].offset
	for _, d := range guesses {
		if last-d < oldStart || last-d >= oldEnd {
			continue
		}
		at := stretch{max(oldStart, theirs[0].offset-d), last - d + 1}
		ours, _, err := old.marks(ctx, f, partition, at.from, at.to)
		if err != nil {
			return 0, same, err
		}
		if kept := since(theirs, oldStart+d); aligned(ours, kept, d) {
			return d, at, nil
		}
	}
	back := max(oldStart, oldEnd-searchBack)
	ours, _, err := old.marks(ctx, f, partition, back, oldEnd)
	if err != nil {
		return 0, same, err
	}
	for i := len(ours) - 1; i >= 0; i-- {
		kept, d := theirs, last-ours[i].offset
		if back == oldStart { // what retention has taken from the old side the copy may still have
			kept = since(theirs, oldStart+d)
		}
		if n := len(kept); n <= i+1 && aligned(ours[i+1-n:i+1], kept, d) {
			return d, same, nil
		}
	}
	n := min(oldEnd-back, newEnd-newStart)
	why := difference(ctx, f.Within, partition, old, copied, stretch{oldEnd - n, oldEnd}, stretch{newEnd - n, newEnd}, false)
	return 0, same, fmt.Errorf("partition %d: the last %d records on %s are not found, in this order and without gaps, on %s: %s", partition, len(theirs), copied.cluster.Name(), old.cluster.Name(), why)
}

// last reads the last records of a partition. Markers of transactions and what compaction has
// removed are no records: where the last offsets hold nothing else, those before them are read.
func (s *side) last(ctx context.Context, f *kafka.Fingerprints, partition int32, start, end int64) ([]mark, error) {
	for n := int64(tail); ; n *= 16 {
		from := max(start, end-n)
		marks, _, err := s.marks(ctx, f, partition, from, end)
		if err != nil || len(marks) > 0 || from == start {
			return marks[max(len(marks)-tail, 0):], err
		}
	}
}

// since leaves out the marks below an offset.
func since(marks []mark, offset int64) []mark {
	i, _ := slices.BinarySearchFunc(marks, offset, func(m mark, o int64) int { return cmp.Compare(m.offset, o) })
	return marks[i:]
}

// aligned reports that the records are the same at a constant distance.
func aligned(ours, theirs []mark, delta int64) bool {
	if len(ours) != len(theirs) {
		return false
	}
	for i := range ours {
		if ours[i].print != theirs[i].print || ours[i].offset+delta != theirs[i].offset {
			return false
		}
	}
	return true
}

// without are the parts of a stretch that are in front of and behind another one.
func (s stretch) without(o stretch) []stretch {
	if o.from >= o.to {
		return []stretch{s}
	}
	return []stretch{{s.from, min(s.to, o.from)}, {max(s.from, o.to), s.to}}
}

// compare verifies that every record of [from, to) on the old side stands at the same distance on
// the new side. It reads in pieces and stops at limit bytes.
func compare(ctx context.Context, f *kafka.Fingerprints, old, copied *side, partition int32, from, to, delta, limit int64) error {
	const piece = 5000
	var total int64
	for ; from < to; from += piece {
		end := min(from+piece, to)
		var ours, theirs []mark
		var n, m int64
		err := parallel(2, 2, func(side int) (err error) {
			if side == 0 {
				ours, n, err = old.marks(ctx, f, partition, from, end)
			} else {
				theirs, m, err = copied.marks(ctx, f, partition, from+delta, end+delta)
			}
			return err
		})
		if err != nil {
			return err
		}
		if !aligned(ours, theirs, delta) {
			why := difference(ctx, f.Within, partition, old, copied, stretch{from, end}, stretch{from + delta, end + delta}, true)
			return differ(partition, ours, theirs, delta, old, copied, why)
		}
		if total += max(n, m); total > limit {
			return fmt.Errorf("partition %d: more than %w (%d bytes) would have to be compared, from offset %d on", partition, errLimit, limit, from)
		}
	}
	return nil
}

func differ(partition int32, ours, theirs []mark, delta int64, old, copied *side, why string) error {
	for i, o := range ours {
		if i >= len(theirs) || theirs[i].offset != o.offset+delta || theirs[i].print != o.print {
			return fmt.Errorf("partition %d: the record at %d on %s is not at %d on %s: %s", partition, o.offset, old.cluster.Name(), o.offset+delta, copied.cluster.Name(), why)
		}
	}
	return fmt.Errorf("partition %d: %s has records that %s does not have: %s", partition, copied.cluster.Name(), old.cluster.Name(), why)
}
