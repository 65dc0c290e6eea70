package copies

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/core/align"
	"github.com/sluice-gateway/sluice/core/catalog"
)

// Returned is what was found of the log of a home that died and has come back: in front of what it
// has got since, it may have a lost tail.
type Returned struct {
	Aligned
	// Begun says that the first record was found that it has got since; all of Aligned but Left and
	// Copy is unknown before.
	Begun bool
	// Lost is how many records of the lost tail there are: those that the new home does not have.
	Lost int64
}

// Return finds where the copy, a home that died, has the records of a stretch of the home, which
// has taken over at the stretch's beginning. their is the stretch of the copy behind what both had
// then. Whatever it has in front of the first record that it has got since is its lost tail; from
// that record on it is as exact as any copy. A producer may have written the same again to the new
// home: the first record is the first one that all others follow.
func (p Pair) Return(ctx context.Context, partition int32, known catalog.Alignment, our, their Stretch, how Aligning) (out Returned, err error) {
	how.Resumes = true
	out.From, out.To, out.Copy, out.Lost = our.From, our.From, their.From, known.Lost
	first, end, err := p.first(ctx, partition, our, how)
	tail := their
	switch {
	case err != nil:
		return out, err
	case first != nil:
		out.Left = int(our.To - first.Offset)
		if err := p.begin(ctx, partition, Stretch{first.Offset, our.To}, their, how, first.Print, &out); err != nil {
			return out, err
		}
		if out.Begun {
			tail.To = out.Distance.ToPhysical(first.Offset)
		}
	case end < our.To:
		out.Left = int(our.To - end)
	case how.Behind: // nothing came since
		out.Aligned, out.Begun = Aligned{Distance: catalog.At(our.To, their.To), From: our.From, To: our.To, Copy: their.To}, true
	}
	if !out.Begun && out.Lost > 0 { // they were counted before
		return out, nil
	}
	if out.Lost, err = p.lost(ctx, partition, our, tail, how.Turn); err != nil {
		return out, err
	}
	if out.Begun && out.Lost > 0 && p.CopyCompacts {
		return out, fmt.Errorf("partition %d: %s compacts, and has %d records that were lost when it died: they take others of the same keys away", partition, p.Copy.Cluster.Name(), out.Lost)
	}
	return out, nil
}

// first is the first record of the virtual log in a stretch of the home; nil if there is none up to
// an offset.
func (p Pair) first(ctx context.Context, partition int32, our Stretch, how Aligning) (first *align.Record, end int64, err error) {
	for from, piece := our.From, int64(Tail); from < our.To; piece = min(2*piece, readAhead) {
		to := min(from+piece, our.To)
		next, bytes, err := p.Home.Data(ctx, p.Prints, partition, from, to, func(r align.Record) {
			if first == nil && !how.Hidden(r.Offset) {
				first = &r
			}
		})
		if how.Turn.took(bytes); err != nil || first != nil || next < to {
			return first, next, err
		}
		from = next
	}
	return nil, our.To, nil
}

// mostTries is how many records of a copy are tried that say the same as the first one of the home.
const mostTries = 100

// begin tries the records of the copy that say the same as the first one of the home.
func (p Pair) begin(ctx context.Context, partition int32, our, their Stretch, how Aligning, print uint64, out *Returned) error {
	at, err := p.near(ctx, partition, our, their)
	if err != nil {
		return err
	}
	var refused error
	var read int64
	tries := 0
	for at < their.To {
		var same []int64
		to := min(at+readAhead, their.To)
		next, bytes, err := p.Copy.Data(ctx, p.Prints, partition, at, to, func(r align.Record) {
			if r.Print == print {
				same = append(same, r.Offset)
			}
		})
		if how.Turn.took(bytes); err != nil {
			return err
		}
		for _, from := range same {
			found, err := p.Align(ctx, partition, our, Stretch{from, their.To}, how)
			switch tries++; {
			case err == nil && found.Short: // it may still turn out to be of the lost tail
				return nil
			case err == nil:
				out.Aligned, out.Begun = found, true
				return nil
			case IsUnread(err) || errors.Is(err, ErrLimit) || tries == mostTries:
				return err
			case err != nil:
				refused = err
			}
		}
		if read += bytes; how.Limit > 0 && read > how.Limit {
			return fmt.Errorf("partition %d: more than %w (%d bytes) would have to be compared, behind offset %d of %s", partition, ErrLimit, how.Limit, at, p.Copy.Cluster.Name())
		}
		if next < to { // a transaction is open
			break
		}
		at = next
	}
	return refused
}

// lost counts the records of a lost tail that the home does not have around the place where it took
// over, which is where our begins: a producer may have written them again, and a replicator may
// have begun further in front. It looks at so many offsets as searchBack says.
func (p Pair) lost(ctx context.Context, partition int32, our, tail Stretch, turn Turn) (n int64, err error) {
	if tail.From >= tail.To {
		return 0, nil
	}
	starts, err := p.Home.Starts(ctx)
	if err != nil {
		return 0, err
	}
	has := map[uint64]bool{}
	around := Stretch{max(our.From-searchBack, starts[partition]), min(our.From+searchBack, our.To)}
	_, bytes, err := p.Home.Data(ctx, p.Prints, partition, around.From, around.To, func(r align.Record) { has[r.Print] = true })
	if turn.took(bytes); err != nil {
		return 0, err
	}
	_, bytes, err = p.Copy.Data(ctx, p.Prints, partition, tail.From, min(tail.To, tail.From+searchBack), func(r align.Record) {
		if !has[r.Print] {
			n++
		}
	})
	turn.took(bytes)
	return n, err
}

// Kept verifies that the last records in front of the place up to which a copy is known stand where
// they stood when the home took over from it: a broker that comes back may have lost some.
func (p Pair) Kept(ctx context.Context, partition int32, part *catalog.Partition, known catalog.Alignment, our, their Stretch) error {
	here, there := part.ToPhysical(known.To), known.Distance.ToPhysical(known.To)
	if their.To < there {
		return fmt.Errorf("partition %d on %s ends at offset %d, but had records up to %d when %s took over: it has lost them", partition, p.Copy.Cluster.Name(), their.To, there, p.Home.Cluster.Name())
	}
	ours, err := p.Home.last(ctx, p.Prints, partition, Stretch{our.From, max(here, our.From)})
	if err != nil || len(ours) == 0 {
		return err
	}
	theirs, _, err := p.Copy.Marks(ctx, p.Prints, partition, max(known.Distance.ToPhysical(part.ToVirtual(ours[0].Offset)), their.From), there)
	if err != nil {
		return err
	}
	has := make(map[int64]uint64, len(theirs))
	for _, m := range theirs {
		has[m.Offset] = m.Print
	}
	for _, m := range ours {
		v := part.ToVirtual(m.Offset)
		at := known.Distance.ToPhysical(v)
		if part.Distance.Skips(m.Offset) || !known.Distance.Has(v) || at < their.From {
			continue
		}
		if print, ok := has[at]; print != m.Print && (ok || !p.CopyCompacts) {
			return fmt.Errorf("partition %d: the record at %d on %s is not at %d on %s, where it was when %s took over", partition, m.Offset, p.Home.Cluster.Name(), at, p.Copy.Cluster.Name(), p.Home.Cluster.Name())
		}
	}
	return nil
}
