package copies

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/core/align"
	"github.com/sluice-gateway/sluice/core/catalog"
)

// Of a copy that is found to have drifted the last offsets are looked at first, and by them an
// unplanned move goes: fewer where they have many bytes. What is in front of them has its turns
// when nothing else has to be compared (Pair.Front).
const (
	mostOfTail  = 10_000
	leastOfTail = 10
	tailBytes   = 64 << 20
)

// errWaits says that others had their turn.
var errWaits = errors.New("its copy does not stand at one distance, and waits for its turn to be looked at: failover.align.rate is used up")

// follow goes on with a copy that has drifted from where it was last looked at, or with a home that
// died from where it was left.
func (p Pair) follow(ctx context.Context, partition int32, part *catalog.Partition, known catalog.Alignment, our, their Stretch, turn Turn) (found Found, err error) {
	from := Stretch{max(part.ToPhysical(known.To), our.From), our.To}
	theirs := Stretch{max(known.Distance.ToPhysical(known.To), their.From), their.To}
	start := part.ToVirtual(our.From)
	found.Alignment, found.Compared = known, Stretch{max(part.ToPhysical(known.From), our.From), from.From}
	if known.Died || theirs.From < theirs.To {
		if turn.Bytes = tailBytes; turn.Over(ctx) {
			found.Cut = true
			return found, nil
		}
		a, err := p.goOn(ctx, partition, part, &found.Alignment, our, their, from, theirs, turn)
		if err != nil {
			return Found{}, err
		}
		if found.Died {
			return found, nil
		}
		if found.Distance, err = known.Distance.Until(known.To, part.Distance.Onward(a.Distance)); err != nil {
			return Found{}, err
		}
		found.To, found.Compared.To, found.Cut = max(part.ToVirtual(a.To), known.To), a.To, a.Cut
	}
	found.Distance, found.From = found.Distance.Above(start, their.From), max(found.From, start)
	switch {
	case found.From <= start:
		found.Front = nil
	case found.Front != nil && found.Front.To < start: // what was looked at is deleted
		found.Front = &catalog.Front{From: start, To: start}
	}
	return found, nil
}

// goOn finds what a copy has got since it was last looked at: the records of from, in theirs. Of a
// home that died, known is told of its lost tail, and that it is a copy as any other once the first
// record was found that it has got since.
func (p Pair) goOn(ctx context.Context, partition int32, part *catalog.Partition, known *catalog.Alignment, our, their, from, theirs Stretch, turn Turn) (Aligned, error) {
	how := Aligning{Hidden: part.Distance.Skips, Resumes: true, Behind: true, Turn: turn}
	if !known.Died {
		return p.Align(ctx, partition, from, theirs, how)
	}
	if err := p.Kept(ctx, partition, part, *known, our, their); err != nil {
		return Aligned{}, err
	}
	how.Limit = 2 * tailBytes // a turn ends before, but nothing is known before the first record is found
	back, err := p.Return(ctx, partition, *known, from, theirs, how)
	known.Lost, known.Died = back.Lost, !back.Begun
	return back.Aligned, err
}

// drifted looks at the last records of a copy that do not stand at one distance. known is what is
// known of this copy; nil if nothing is.
func (p Pair) drifted(ctx context.Context, partition int32, part *catalog.Partition, our, their Stretch, known *catalog.Alignment, pace *Pace) (Found, error) {
	a, err := p.anchor(ctx, partition, our, their, Aligning{Hidden: part.Distance.Skips, Behind: true, Turn: Turn{Pace: pace}})
	if err != nil {
		return Found{}, err
	}
	last := catalog.Alignment{From: part.ToVirtual(a.From), To: part.ToVirtual(a.To)}
	last.Distance = part.Extended(part.Distance.Onward(a.Distance), last.From)
	out := Found{Alignment: last.Alone(part.ToVirtual(our.From)), Compared: Stretch{a.From, a.To}}
	if known != nil {
		out.Alignment = known.Anew(last, part.ToVirtual(our.From))
	}
	return out, nil
}

// anchor aligns the last offsets of a partition: as many of them as can be looked at. Where nothing
// tells where the copy has them, more and more of its last ones are searched.
func (p Pair) anchor(ctx context.Context, partition int32, our, their Stretch, how Aligning) (a Aligned, err error) {
	for n := int64(mostOfTail); ; n /= 10 {
		last := Stretch{max(our.From, our.To-n), our.To}
		how.Limit = tailBytes
		a, err = p.search(ctx, partition, last, their, how, last.From == our.From)
		switch {
		case !errors.Is(err, ErrLimit):
			return a, err
		case n <= leastOfTail:
			return a, &InexactError{fmt.Errorf("partition %d: its last %d records on %s are not found within %d bytes on %s", partition, n, p.Home.Cluster.Name(), int64(tailBytes), p.Copy.Cluster.Name())}
		}
	}
}

// search aligns the last offsets of a partition. whole says that they are all that there is.
func (p Pair) search(ctx context.Context, partition int32, last, their Stretch, how Aligning, whole bool) (a Aligned, err error) {
	for n := 4 * (last.To - last.From); ; n *= 8 {
		there := their
		if !p.Prints.Timestamps && !whole {
			there.From = max(their.From, their.To-n)
		}
		a, err = p.Align(ctx, partition, last, there, how)
		if err == nil && a.Empty && !whole {
			err = &InexactError{fmt.Errorf("partition %d: its last %d offsets on %s have no record of which %s has one", partition, last.To-last.From, p.Home.Cluster.Name(), p.Copy.Cluster.Name())}
		}
		if err == nil || IsUnread(err) || errors.Is(err, ErrLimit) || there.From == their.From {
			return a, err
		}
	}
}

// Ahead is how far the front of a copy that has drifted has got, and what was found on the way.
type Ahead struct {
	catalog.Alignment
	// Owed is what a later record may explain: while there is some, the place can't be stored.
	Owed map[uint64][]align.Fault
	// Wrong is how many records were found in this turn that keep the copy from being exact, in
	// front of where the front begins now; First says which is the first of them.
	Wrong int
	First error
	// Read is how many offsets of the home were looked at.
	Read int64
}

// Front goes on with the front of a copy that has drifted, for a turn. begin and start are where
// the log begins at home and on the copy.
func (p Pair) Front(ctx context.Context, partition int32, part *catalog.Partition, known Ahead, begin, start int64, how Aligning) (Ahead, error) {
	front := *known.Front
	our := Stretch{part.ToPhysical(front.To), part.ToPhysical(known.To)}
	their := Stretch{max(front.Copy, start), known.Distance.ToPhysical(known.To)}
	how.Hidden, how.Owed = part.Distance.Skips, known.Owed
	how.Resumes = front.Copy > 0 && our.From >= begin && front.Copy >= start
	how.Behind, how.Complete = true, true
	if !how.Resumes {
		how.Owed = nil
		var err error
		if our.From, err = p.both(ctx, partition, Stretch{max(our.From, begin), our.To}, their); err != nil {
			return known, err
		}
		front.From = part.ToVirtual(our.From)
	}
	a, err := p.Align(ctx, partition, our, their, how)
	if err != nil {
		return known, err
	}
	met := part.ToVirtual(a.To) >= known.From
	done := !a.Cut || met && len(a.Owed) == 0
	next := catalog.Front{From: max(front.From, part.ToVirtual(a.From)), To: part.ToVirtual(a.To), Copy: a.Copy}
	if a.Wrong == 0 && how.Resumes {
		next.From = front.From
	}
	out := Ahead{Owed: a.Owed, Wrong: a.Wrong, First: a.First, Read: a.To - our.From}
	if done && len(a.Owed) > 0 { // nothing has explained them
		next.From, out.Owed = max(next.From, part.ToVirtual(a.Settled)), nil
		out.Wrong++
		if out.First == nil {
			out.First = fmt.Errorf("partition %d: a record in front of offset %d is on one side alone, although its key has no later one", partition, a.Settled)
		}
	}
	base := known.Alignment
	base.Front = &front
	var fits bool
	out.Alignment, fits = base.Advance(next, part.Distance.Onward(a.Distance), done)
	if lacks := !a.Cut && a.Left > 0; lacks || !fits || done && next.From >= known.From {
		out.Alignment, out.Owed = known.Alignment, nil // what is known of the last records is all there is
		if out.Front = nil; out.First == nil && (lacks || !fits) {
			out.Wrong++
			out.First = fmt.Errorf("partition %d: %s does not have all records between %d and %d of %s", partition, p.Copy.Cluster.Name(), a.To, part.ToPhysical(known.From), p.Home.Cluster.Name())
		}
	}
	return out, nil
}

// both is where a stretch of the home begins that the copy has, too: where retention has taken more
// from the copy, that is found by timestamps.
func (p Pair) both(ctx context.Context, partition int32, our, their Stretch) (int64, error) {
	if !p.Prints.Timestamps {
		return our.From, nil
	}
	oldest, err := p.Copy.oldest(ctx, p.Prints, partition, their)
	if err != nil || oldest < 0 {
		return our.From, err
	}
	at, err := p.Home.since(ctx, partition, oldest)
	if at < 0 {
		at = our.From
	}
	return min(max(at, our.From), our.To), err
}
