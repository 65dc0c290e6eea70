package copies

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/guard"
	"github.com/sluice-gateway/sluice/core/kafka"
	"github.com/sluice-gateway/sluice/core/plugin"
)

// Bounds asks where both sides begin and end: the copy first, so that the home has by then at least
// what the copy has.
func (p Pair) Bounds(ctx context.Context) (out Bounds, err error) {
	if out.Copy, err = p.Copy.reach(ctx); err == nil {
		out.Home, err = p.Home.reach(ctx)
	}
	return out, err
}

func (s *Side) reach(ctx context.Context) (out Reach, err error) {
	if out.Starts, err = s.Starts(ctx); err == nil {
		out.Ends, err = s.Ends(ctx)
	}
	return out, err
}

// Found is what was found of a partition's copy.
type Found struct {
	catalog.Alignment         // of a copy that has drifted, To is above From
	Compared          Stretch // offsets of the home between which records were compared
}

// Tails finds the distance of each partition's copy. at is where both sides begin and end. Of
// partitions that t has distances of, those are tried first; where a copy has drifted, records are
// looked at one by one, from where they were last, and no more than limit bytes of them.
func (p Pair) Tails(ctx context.Context, t *catalog.Topic, at Bounds, limit int64) ([]Found, error) {
	NoteEnds(t, at.Home.Ends)
	begin := Begins(t, at.Home.Starts)
	for i, from := range begin {
		t.NoteStart(int32(i), t.Partition(int32(i)).ToVirtual(from))
	}
	there := p.Copy.Cluster.Name()
	out := make([]Found, len(begin))
	err := guard.Parallel(len(out), PartitionsAtOnce, func(i int) (err error) {
		our, their := Stretch{begin[i], at.Home.Ends[i]}, at.Copy.Of(i)
		part := t.Partition(int32(i))
		same := t.Copies[there] == p.Copy.Topic.ID
		if known := part.Copies[there]; same && known.Follows() {
			if out[i], err = p.follow(ctx, int32(i), part, known, our, their, limit); err == nil || IsUnread(err) || known.Died {
				return err
			}
		}
		guesses := []int64{0}
		d, stored := part.Delta(there)
		if stored {
			guesses = []int64{d, 0}
		}
		// Nothing is left to compare: what was verified before is better than the ends, of which
		// the copy may never get to the same.
		if !stored || !same || our.From < our.To || their.To-d > our.To {
			var last int64
			if last, _, err = p.FindDelta(ctx, int32(i), our, their, guesses...); err == nil && (!stored || !same || last != d) {
				err = p.Head(ctx, int32(i), our, their, last)
			}
			d = last
			var inexact *InexactError
			if errors.As(err, &inexact) {
				out[i], err = p.drifted(ctx, int32(i), part, our, their, same)
				return err
			}
			if err != nil {
				return err
			}
		}
		to := min(their.To-d, our.To)
		out[i].Compared = Stretch{min(max(our.From, their.From-d, their.To-Tail-d), to), to}
		if out[i].Distance = part.Distance.Shift(d); same {
			out[i].Distance = part.Shifted(there, d, part.ToVirtual(out[i].Compared.From))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// IsUnread reports an error that says nothing of the records.
func IsUnread(err error) bool {
	var failed *UnreadError
	return errors.As(err, &failed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// follow goes on with a copy that has drifted from where it was last looked at, or with a home that
// died from where it was left.
func (p Pair) follow(ctx context.Context, partition int32, part *catalog.Partition, known catalog.Alignment, our, their Stretch, limit int64) (Found, error) {
	from := Stretch{max(part.ToPhysical(known.To), our.From), our.To}
	theirs := Stretch{max(known.Distance.ToPhysical(known.To), their.From), their.To}
	how := Aligning{Hidden: part.Distance.Skips, Resumes: true, Behind: true, Limit: limit}
	var a Aligned
	var err error
	if known.Died {
		if err := p.Kept(ctx, partition, part, known, our, their); err != nil {
			return Found{}, err
		}
		back, err := p.Return(ctx, partition, known, from, theirs, how)
		if known.Lost = back.Lost; err != nil || !back.Begun {
			return Found{Alignment: known}, err
		}
		a = back.Aligned
	} else if a, err = p.Align(ctx, partition, from, theirs, how); err != nil {
		return Found{}, err
	}
	d, err := known.Distance.Until(known.To, part.Distance.Onward(a.Distance))
	start := part.ToVirtual(our.From)
	return Found{
		Alignment: catalog.Alignment{Distance: d.Above(start, their.From), From: max(known.From, start), To: max(part.ToVirtual(a.To), known.To), Lost: known.Lost},
		Compared:  Stretch{max(part.ToPhysical(known.From), our.From), a.To},
	}, err
}

// A copy that is found to have drifted is looked at as a whole if that takes few bytes; else its
// last offsets are. A move looks at the rest.
const (
	mostOfWhole = 8 << 20
	mostOfTail  = 10_000
)

// drifted looks at the records of a copy that do not stand at one distance. known says that what
// the catalog knows is of this copy.
func (p Pair) drifted(ctx context.Context, partition int32, part *catalog.Partition, our, their Stretch, known bool) (Found, error) {
	how := Aligning{Hidden: part.Distance.Skips, Behind: true, Limit: mostOfWhole}
	a, err := p.Align(ctx, partition, our, their, how)
	whole := err
	if last := (Stretch{our.To - mostOfTail, our.To}); err != nil && !IsUnread(err) && last.From > our.From {
		a, err = p.Align(ctx, partition, last, their, how)
	}
	if err != nil {
		return Found{}, err
	}
	from := part.ToVirtual(a.From)
	there := part.Distance.Onward(a.Distance)
	if before, ok := part.Copies[p.Copy.Cluster.Name()]; ok && known {
		if whole != nil && before.Follows() && before.To < from {
			return Found{}, whole // what is between was found nowhere
		}
		there, err = before.Distance.Until(from, there)
	} else {
		there = part.Extended(there, from)
	}
	return Found{
		Alignment: catalog.Alignment{Distance: there, From: from, To: part.ToVirtual(a.To)},
		Compared:  Stretch{a.From, a.To},
	}, err
}

// mostCompared bounds what a comparison reads that nobody has set a limit for, in bytes.
const mostCompared = 64 << 20

// CompareTails compares the last records of a topic with those of its copy; the error says why a
// planned move to the copy would be refused. Records before the last ones are compared when there
// is a move.
func CompareTails(ctx context.Context, from, to plugin.Cluster, topic, copied string, ignoreHeaders []string) error {
	a, err := NewSide(from, topic)
	if err != nil {
		return err
	}
	b, err := NewSide(to, copied)
	if err != nil {
		return err
	}
	if m, n := len(a.Topic.Partitions), len(b.Topic.Partitions); m != n {
		return fmt.Errorf("%d partitions on %s, but %d on %s: give both the same number", m, from.Name(), n, to.Name())
	}
	alike, err := SameSettings(ctx, a, b)
	if err != nil {
		return err
	}
	p := Pair{a, b, kafka.NewFingerprints(alike.Timestamps, ignoreHeaders), alike.HomeCompacts, alike.CopyCompacts}
	at, err := p.Bounds(ctx)
	if err != nil {
		return err
	}
	_, err = p.Tails(ctx, &catalog.Topic{}, at, mostCompared)
	return err
}

// Begins says where the virtual log begins at its home, whose partitions begin at starts. What
// stands before it was there before the home was a copy, and a replicator that was turned round has
// not brought it, or has brought it twice; or it is deleted.
func Begins(t *catalog.Topic, starts []int64) []int64 {
	out := make([]int64, len(starts))
	for p, s := range starts {
		part := t.Partition(int32(p))
		out[p] = max(s, part.ToPhysical(part.LogStart))
	}
	return out
}

// NoteEnds notes where the log of a topic's home ends: an unplanned move goes by it later.
func NoteEnds(t *catalog.Topic, ends []int64) {
	for p, end := range ends {
		t.NoteEnd(int32(p), t.Partition(int32(p)).ToVirtual(end))
	}
}
