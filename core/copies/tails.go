package copies

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/sluice-gateway/sluice/core/catalog"
	"github.com/sluice-gateway/sluice/core/config"
	"github.com/sluice-gateway/sluice/core/guard"
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
	catalog.Alignment
	Compared Stretch // offsets of the home between which records were compared
	// Cut says that it has not been looked at all that is there: others had their turn.
	Cut bool
	// Err is why nothing was found; what was known before may be right all the same.
	Err error
}

// Tails finds the distance of each partition's copy. at is where both sides begin and end. Of
// partitions that t has distances of, those are tried first; where a copy has drifted, records are
// looked at one by one, from where they were last, for a turn. The error is that of the first
// partition that has one, or that of a read that failed, without anything found.
func (p Pair) Tails(ctx context.Context, t *catalog.Topic, at Bounds, turn Turn) ([]Found, error) {
	NoteEnds(t, at.Home.Ends)
	begin := Begins(t, at.Home.Starts)
	for i, from := range begin {
		t.NoteStart(int32(i), t.Partition(int32(i)).ToVirtual(from))
	}
	out := make([]Found, len(begin))
	first := rand.IntN(max(len(out), 1)) // so that each is the first one at times, if there are more than a turn is enough for
	err := guard.Parallel(len(out), PartitionsAtOnce, func(i int) error {
		i = (i + first) % len(out)
		out[i] = p.tail(ctx, t, int32(i), Stretch{begin[i], at.Home.Ends[i]}, at.Copy.Of(i), turn)
		if IsUnread(out[i].Err) {
			return out[i].Err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, f := range out {
		if f.Err != nil {
			return out, f.Err
		}
	}
	return out, nil
}

// tail finds the distance of a partition's copy.
func (p Pair) tail(ctx context.Context, t *catalog.Topic, partition int32, our, their Stretch, turn Turn) (out Found) {
	there := p.Copy.Cluster.Name()
	part, same := t.Partition(partition), t.Copies[there] == p.Copy.Topic.ID
	known, stored := part.Copies[there]
	if p.Source == Identity {
		return p.identical(ctx, part, partition, our, their, stored && same)
	}
	var before *catalog.Alignment // what is known of this copy
	if stored && same {
		before = &known
	}
	if same && known.Follows() {
		out, out.Err = p.follow(ctx, partition, part, known, our, their, turn)
		if out.Err == nil && out.Cut && !out.Died && our.To-out.Compared.To > mostOfTail {
			// An unplanned move goes by the last records: they come first.
			if last, err := p.drifted(ctx, partition, part, our, their, &out.Alignment, turn.Pace); err == nil {
				return last
			}
		}
		if out.Err == nil || IsUnread(out.Err) || known.Died {
			return out
		}
		out = Found{}
	}
	d, _ := part.Delta(there)
	guesses := []int64{0}
	if stored {
		guesses = []int64{d, 0}
	}
	// Nothing is left to compare: what was verified before is better than the ends, of which the
	// copy may never get to the same.
	if !stored || !same || our.From < our.To || their.To-d > our.To {
		last, _, err := p.FindDelta(ctx, partition, our, their, guesses...)
		if err == nil && (!stored || !same || last != d) {
			err = p.Head(ctx, partition, our, their, last)
		}
		var inexact *InexactError
		if errors.As(err, &inexact) {
			if turn.Bytes = tailBytes; turn.Over(ctx) {
				return Found{Cut: true, Err: fmt.Errorf("partition %d: %w", partition, errWaits)}
			}
			out, out.Err = p.drifted(ctx, partition, part, our, their, before, turn.Pace)
			return out
		}
		if err != nil {
			return Found{Err: err}
		}
		d = last
	}
	to := min(their.To-d, our.To)
	out.Compared = Stretch{min(max(our.From, their.From-d, their.To-Tail-d), to), to}
	if out.Distance = part.Distance.Shift(d); same {
		out.Distance = part.Shifted(there, d, part.ToVirtual(out.Compared.From))
	}
	return out
}

// identical is tail of a copy of which the rule says that it keeps offsets. known says that it was
// found to do so before: then the last records are enough.
func (p Pair) identical(ctx context.Context, part *catalog.Partition, partition int32, our, their Stretch, known bool) (out Found) {
	places, there := Samples, p.Copy.Cluster.Name()
	if d, ok := part.Delta(there); known && ok && d == 0 {
		places = 0
	}
	both, err := p.Identical(ctx, partition, our, their, places, part.TailMayBegin(there)...)
	if err != nil {
		return Found{Err: err}
	}
	out.Distance, out.Compared = part.Distance, Stretch{max(both.From, both.To-Tail), both.To}
	return out
}

// IsUnread reports an error that says nothing of the records.
func IsUnread(err error) bool {
	var failed *UnreadError
	return errors.As(err, &failed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

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
	p := Pair{Home: a, Copy: b}
	p.Take(alike, config.Failover{IgnoreHeaders: ignoreHeaders})
	at, err := p.Bounds(ctx)
	if err != nil {
		return err
	}
	_, err = p.Tails(ctx, &catalog.Topic{}, at, Turn{})
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
