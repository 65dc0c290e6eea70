package copies

import (
	"context"
	"fmt"

	"github.com/sluice-gateway/sluice/core/block"
	"github.com/sluice-gateway/sluice/core/guard"
)

// Source is what tells where a copy has the records of its home: the `copy` of a topic's rule.
type Source string

// The sources: what records say; whoever has set up a replicator that keeps offsets, of which
// samples are compared; and what records say, looked for where the offset syncs of a MirrorMaker
// are.
const (
	Align    Source = "align"
	Identity Source = "identity"
	MM2      Source = "mm2"
)

// Samples is how many places of a partition are compared between its first and its last records.
const Samples = 16

// Identical verifies that the copy of a partition has the offsets of the home: at both ends, and in
// so many places between them, the same records are at the same offsets. It returns the offsets
// that both have. also are places that are compared, too.
func (p Pair) Identical(ctx context.Context, partition int32, our, their Stretch, places int, also ...int64) (both Stretch, err error) {
	home, copied := p.Home.Cluster.Name(), p.Copy.Cluster.Name()
	both = Stretch{max(our.From, their.From), min(our.To, their.To)}
	switch {
	case their.To > our.To:
		return both, notIdentical(fmt.Errorf("partition %d ends at offset %d on %s, but at %d on %s", partition, our.To, home, their.To, copied))
	case both.From < both.To:
	case our.From < our.To:
		return both, fmt.Errorf("%w: partition %d has the offsets %d to %d on %s, and none of them on %s", block.ErrLag, partition, our.From, our.To-1, home, copied)
	default: // there is nothing to compare
		return Stretch{our.To, our.To}, nil
	}
	last, err := p.Copy.last(ctx, p.Prints, partition, both)
	if err != nil {
		return both, err
	}
	at := make([]Stretch, 0, places+2)
	if len(last) > 0 {
		at = append(at, Stretch{last[0].Offset, both.To})
	}
	for i := range int64(places + 1) {
		from := both.From + (both.To-both.From)/int64(places+1)*i
		at = append(at, Stretch{from, min(from+Tail, both.To)})
	}
	for _, from := range also {
		at = append(at, Stretch{max(from, both.From), min(from+Tail, both.To)})
	}
	for _, s := range at {
		if err := p.alike(ctx, partition, s); err != nil {
			return both, err
		}
	}
	return both, nil
}

// alike verifies that both sides have the same records at the same offsets, but for those that
// compaction may have taken from one of them.
func (p Pair) alike(ctx context.Context, partition int32, at Stretch) error {
	var marks [2][]Mark
	err := guard.Parallel(2, 2, func(i int) (err error) {
		marks[i], _, err = []*Side{p.Home, p.Copy}[i].Marks(ctx, p.Prints, partition, at.From, at.To)
		return err
	})
	if err != nil {
		return err
	}
	home, copied := p.Home.Cluster.Name(), p.Copy.Cluster.Name()
	for ours, theirs := marks[0], marks[1]; len(ours) > 0 || len(theirs) > 0; {
		switch {
		case len(theirs) == 0 || len(ours) > 0 && ours[0].Offset < theirs[0].Offset:
			if !p.CopyCompacts {
				return notIdentical(fmt.Errorf("partition %d: the record at offset %d on %s is not on %s", partition, ours[0].Offset, home, copied))
			}
			ours = ours[1:]
		case len(ours) == 0 || theirs[0].Offset < ours[0].Offset:
			if !p.HomeCompacts {
				return notIdentical(fmt.Errorf("partition %d: the record at offset %d on %s is not on %s", partition, theirs[0].Offset, copied, home))
			}
			theirs = theirs[1:]
		case ours[0].Print != theirs[0].Print:
			return notIdentical(fmt.Errorf("partition %d: the record at offset %d on %s is another one on %s", partition, ours[0].Offset, home, copied))
		default:
			ours, theirs = ours[1:], theirs[1:]
		}
	}
	return nil
}

// notIdentical says what an error is about.
func notIdentical(err error) error {
	return fmt.Errorf("%w: its rule says `copy: identity`, but the replicator does not keep offsets, or somebody else writes there", err)
}
