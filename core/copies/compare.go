package copies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
)

// Tail is how many records at the end of a copy must match.
const Tail = 64

// searchBack is how far back an unknown delta is searched.
const searchBack = 10_000

// ErrLimit says that more bytes would have to be compared than the configuration allows.
var ErrLimit = errors.New("failover.compare_limit")

// InexactError says that records of a copy do not stand at one distance from those at home. Align
// may find them all the same.
type InexactError struct{ error }

func (e *InexactError) Unwrap() error { return e.error }

// Fingerprints returns the fingerprints of a comparison, as the configuration says. timestamps
// tells whether both sides keep the producer's.
func Fingerprints(cfg config.Failover, timestamps bool) *kafka.Fingerprints {
	f := kafka.NewFingerprints(timestamps, cfg.IgnoreHeaders)
	f.Within.Most = cfg.BatchBytes
	return f
}

// Pair is the home of a topic and a copy of it, with as many partitions. They are compared by
// fingerprints of their records.
type Pair struct {
	Home, Copy *Side
	Prints     *kafka.Fingerprints
	// HomeCompacts and CopyCompacts say that a side may lack records whose key has a later one.
	HomeCompacts, CopyCompacts bool
	// Source is what tells where the copy has the home's records; "" is Align.
	Source Source

	syncs *Syncs // of MM2
	ahead int64  // how many offsets of either side are read at a time; 0: readAhead
}

// Take takes over what both sides do with records.
func (p *Pair) Take(alike Alike, cfg config.Failover) {
	p.Prints = Fingerprints(cfg, alike.Timestamps)
	p.HomeCompacts, p.CopyCompacts = alike.HomeCompacts, alike.CopyCompacts
}

// By sets what tells where the copy has the home's records.
func (p *Pair) By(source string) {
	if p.Source = Source(source); p.Source == MM2 {
		p.syncs = &Syncs{pair: *p}
	}
}

// FindDelta finds the constant distance of a partition's copy: the offset on the copy minus the
// offset at home of the same record, verified on the last records that the copy has. our and their
// are where the partition begins and ends at home and on the copy. If a guess was right, the
// records that were compared have the home's offsets in same. Where retention has left none at
// home, there is nothing to compare and the ends decide.
func (p Pair) FindDelta(ctx context.Context, partition int32, our, their Stretch, guesses ...int64) (delta int64, same Stretch, err error) {
	if our.From == our.To && (our.To > 0 || their.From == their.To) {
		return their.To - our.To, same, nil
	}
	old, copied := p.Home, p.Copy
	theirs, err := copied.last(ctx, p.Prints, partition, their)
	if err != nil {
		return 0, same, err
	}
	if len(theirs) == 0 {
		ours, _ := old.contents(ctx, p.Prints.Within, partition, Stretch{max(our.From, our.To-searchBack), our.To})
		if ours.markers == our.To-our.From {
			return 0, same, &InexactError{fmt.Errorf("partition %d has nothing but %d markers of transactions on %s", partition, ours.markers, old.Cluster.Name())}
		}
		return 0, same, fmt.Errorf("%w: partition %d has %d records on %s and none on %s", block.ErrLag, partition, our.To-our.From-ours.markers, old.Cluster.Name(), copied.Cluster.Name())
	}
	last := theirs[len(theirs)-1].Offset
	for _, d := range guesses {
		if last-d < our.From || last-d >= our.To {
			continue
		}
		at := Stretch{max(our.From, theirs[0].Offset-d), last - d + 1}
		ours, _, err := old.Marks(ctx, p.Prints, partition, at.From, at.To)
		if err != nil {
			return 0, same, err
		}
		if kept := since(theirs, our.From+d); aligned(ours, kept, d) {
			return d, at, nil
		}
	}
	back := max(our.From, our.To-searchBack)
	ours, _, err := old.Marks(ctx, p.Prints, partition, back, our.To)
	if err != nil {
		return 0, same, err
	}
	for i := len(ours) - 1; i >= 0; i-- {
		kept, d := theirs, last-ours[i].Offset
		if back == our.From { // what retention has taken from the old side the copy may still have
			if kept = since(theirs, our.From+d); len(kept) < len(theirs) && len(kept) <= i {
				continue // it would have them in place of records that the old side still has
			}
		}
		if n := len(kept); n <= i+1 && aligned(ours[i+1-n:i+1], kept, d) {
			return d, same, nil
		}
	}
	n := min(our.To-back, their.To-their.From)
	why := p.difference(ctx, partition, Stretch{our.To - n, our.To}, Stretch{their.To - n, their.To}, false)
	return 0, same, &InexactError{fmt.Errorf("partition %d: the last %d records on %s are not found, in this order and without gaps, on %s: %s", partition, len(theirs), copied.Cluster.Name(), old.Cluster.Name(), why)}
}

// Head verifies that the first records that both sides have stand at a distance, at which the last
// ones do: if so, nothing has come between them in between, but for what cancels out.
func (p Pair) Head(ctx context.Context, partition int32, our, their Stretch, delta int64) error {
	from, to := max(our.From, their.From-delta), min(our.To, their.To-delta)
	if from >= to-Tail { // they are among the last ones
		return nil
	}
	return p.Compare(ctx, partition, Stretch{from, from + Tail}, delta, math.MaxInt64)
}

// last reads the last records of a partition. Markers of transactions and what compaction has
// removed are no records: where the last offsets hold nothing else, those before them are read.
func (s *Side) last(ctx context.Context, f *kafka.Fingerprints, partition int32, within Stretch) ([]Mark, error) {
	for n := int64(Tail); ; n *= 16 {
		from := max(within.From, within.To-n)
		marks, _, err := s.Marks(ctx, f, partition, from, within.To)
		if err != nil || len(marks) > 0 || from == within.From {
			return marks[max(len(marks)-Tail, 0):], err
		}
	}
}

// since leaves out the marks below an offset.
func since(marks []Mark, offset int64) []Mark {
	i, _ := slices.BinarySearchFunc(marks, offset, func(m Mark, o int64) int { return cmp.Compare(m.Offset, o) })
	return marks[i:]
}

// aligned reports that the records are the same at a constant distance.
func aligned(ours, theirs []Mark, delta int64) bool {
	if len(ours) != len(theirs) {
		return false
	}
	for i := range ours {
		if ours[i].Print != theirs[i].Print || ours[i].Offset+delta != theirs[i].Offset {
			return false
		}
	}
	return true
}

// Compare verifies that every record of a stretch of the home's offsets stands at the same distance
// on the copy. It reads in pieces and stops at limit bytes of one side, with ErrLimit.
func (p Pair) Compare(ctx context.Context, partition int32, all Stretch, delta, limit int64) error {
	const piece = 5000
	var total int64
	for from := all.From; from < all.To; from += piece {
		end := min(from+piece, all.To)
		var ours, theirs []Mark
		var n, m int64
		err := guard.Parallel(2, 2, func(side int) (err error) {
			if side == 0 {
				ours, n, err = p.Home.Marks(ctx, p.Prints, partition, from, end)
			} else {
				theirs, m, err = p.Copy.Marks(ctx, p.Prints, partition, from+delta, end+delta)
			}
			return err
		})
		if err != nil {
			return err
		}
		if !aligned(ours, theirs, delta) {
			why := p.difference(ctx, partition, Stretch{from, end}, Stretch{from + delta, end + delta}, true)
			return &InexactError{p.differ(partition, ours, theirs, delta, why)}
		}
		if total += max(n, m); total > limit {
			return fmt.Errorf("partition %d: more than %w (%d bytes) would have to be compared, from offset %d on", partition, ErrLimit, limit, from)
		}
	}
	return nil
}

func (p Pair) differ(partition int32, ours, theirs []Mark, delta int64, why string) error {
	home, copied := p.Home.Cluster.Name(), p.Copy.Cluster.Name()
	for i, o := range ours {
		if i >= len(theirs) || theirs[i].Offset != o.Offset+delta || theirs[i].Print != o.Print {
			return fmt.Errorf("partition %d: the record at %d on %s is not at %d on %s: %s", partition, o.Offset, home, o.Offset+delta, copied, why)
		}
	}
	return fmt.Errorf("partition %d: %s has records that %s does not have: %s", partition, copied, home, why)
}
